"""Questions of the callers' own: what is accepted, who is asked what, and that a stored search remembers them."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from eacps.api import MessageCodec
from eacps.api.validation import plan_of
from eacps.arrays import Picture
from eacps.assembly import serving
from eacps.durable.protocols import ConcurrencyLimits
from eacps.errors import InvalidRequest
from eacps.evaluation import Services
from eacps.metrics import SearchMetrics
from eacps.scoring import EditContext, MissingScore, Question, Score, callers_question
from eacps.settings import JudgeProvider, JudgeSettings, Settings
from eacps.testing import ToyModels, ToyScorer
from eacps.triton.embedded import EmbeddedTriton
from eacps.v1 import search_service_pb2 as pb
from eacps.v1.search_service_pb2_grpc import SearchServiceStub
from tests.api.conftest import RULES as TOY_RULES
from tests.api.conftest import SAMPLE, Serve, engine_over, events_in
from tests.api.test_metrics import scraped
from tests.scoring.endpoint import Endpoint, listening, send
from tests.scoring.test_openai_provider import completion

MakeRequest = Callable[..., pb.RunSearchRequest]
RULES = replace(TOY_RULES, judges=frozenset({"triton", "openai"}))
NO_HAT = "Is the person without a hat?"


class RecordingJudge:
    """A judge that keeps what it was asked, and finds a picture the better the brighter it is."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, question: Question) -> "AskedScorer":
        return AskedScorer(self, question)


class AskedScorer:
    def __init__(self, judge: RecordingJudge, question: Question) -> None:
        self.name, self.identity = f"triton.{question.name}", f"asked:m:{question.identity}"
        self.stochastic, self.vlm_calls = False, 1
        self._judge, self._question = judge, question

    async def score(self, pictures: Mapping[str, Picture], context: EditContext) -> Mapping[str, Score]:
        self._judge.texts.append(self._question.text(context.prompt))
        if "nothing" in self._question.template:
            return {name: MissingScore("it does not say") for name in pictures}
        return {name: float(picture.mean()) / 255 for name, picture in pictures.items()}


def asking(*asked: tuple[str, str], **fields: Any) -> list[pb.ScorerSettings]:
    own = [pb.ScorerSettings(name=name, question=text, **({"weight": 1.0} | fields)) for name, text in asked]
    return [pb.ScorerSettings(name="brightness", weight=1.0), *own]


def faults(request: pb.RunSearchRequest) -> dict[str, str]:
    with pytest.raises(InvalidRequest) as caught:
        plan_of(request, RULES, search_id="test", drawn_seed=0)
    return {violation.field: violation.description for violation in caught.value.violations}


BAD: list[tuple[tuple[str, str], str, str]] = [
    (("triton.no_hat", ""), "question", "empty"),
    (("triton.no_hat", " \t "), "question", "empty"),
    (("triton.no_hat", "?" * 501), "question", "501 characters"),
    (("triton.no_hat", "Is it <|im_end|>?"), "question", "reserved mark <|im_end|>"),
    (("triton.no_hat", "Is it\nso?"), "question", "line break"),
    (("triton.no_hat", "Is it\u2028so?"), "question", "line break"),
    (("triton.no_hat", "Is it\x1b[2Jso?"), "question", "control character"),
    (("gemini.no_hat", NO_HAT), "name", "one of the judges openai, triton"),
    (("no_hat", NO_HAT), "name", "is not <judge>.<label>"),
    (("", NO_HAT), "name", "is not <judge>.<label>"),
    (("triton", NO_HAT), "name", "is not <judge>.<label>"),
    (("triton.", NO_HAT), "name", "is not a label"),
    (("triton.No hat", NO_HAT), "name", "is not a label"),
    (("triton.a.b", NO_HAT), "name", "is not a label"),
    (("triton." + "a" * 33, NO_HAT), "name", "is not a label"),
    (("other", NO_HAT), "name", "a scorer of the server"),
]


@pytest.mark.parametrize(("asked", "field", "description"), BAD)
def test_what_cannot_be_asked_is_named(
    make_request: MakeRequest, asked: tuple[str, str], field: str, description: str
) -> None:
    found = faults(make_request(scorers=asking(asked)))
    assert list(found) == [f"scorers[1].{field}"]
    assert description in found[f"scorers[1].{field}"]


def test_a_name_asks_one_question(make_request: MakeRequest) -> None:
    asked = asking(("triton.a", "Is it?"), ("triton.a", "Is it not?"))
    assert "named twice" in faults(make_request(scorers=asked))["scorers[2].name"]


def test_of_too_many_scorers_only_the_first_are_read(make_request: MakeRequest) -> None:
    found = faults(make_request(scorers=[pb.ScorerSettings(question="")] * 1000))
    assert found["scorers"] == "are 1000; at most 16 are accepted"
    assert len(found) <= 1 + 2 * 16


def test_a_name_without_its_question_is_not_offered(make_request: MakeRequest) -> None:
    found = faults(make_request(scorers=[pb.ScorerSettings(name="triton.no_hat", weight=1.0)]))
    assert "is not offered" in found["scorers[0].name"]


def test_words_of_any_script_and_braces_are_a_question(make_request: MakeRequest) -> None:
    text = "帽子\u3000{ x } 👩\u200d🚀 à droite {prompt}?"
    request = make_request(scorers=asking(("openai.hat_2", text)))
    made = plan_of(request, RULES, search_id="test", drawn_seed=0)
    assert made.settings.questions["openai.hat_2"].template == text
    assert made.settings.scorers == ["brightness", "openai.hat_2"]


def test_a_mistyped_placeholder_is_named(make_request: MakeRequest) -> None:
    found = faults(make_request(scorers=asking(("openai.hat_2", "Does it show {promt}?"))))
    assert found["scorers[1].question"] == "contains {promt}; the placeholders are {prompt}, {result}, {scene}"


async def test_a_search_asks_ranks_names_and_counts_it(serve: Serve, make_request: MakeRequest) -> None:
    judge = RecordingJudge()
    text = "Does {result} show what {prompt} says?"
    asked = asking(("triton.said", text), floor=0.2)
    async with serve(rules=RULES, judges={"triton": judge}) as channel:
        call = SearchServiceStub(channel).RunSearch(make_request(scorers=asked), timeout=60)
        events = await events_in(call)
    finished = next(event.finished for event in events if event.HasField("finished"))
    assert set(judge.texts) == {"Does the picture show what make the person smile says?"}
    identity = finished.versions["scorer.triton.said"]
    assert identity.startswith("asked:m:said@sha256:")
    assert len(identity) == len("asked:m:said@sha256:") + 16
    scores = {score.scorer: score for score in finished.evaluation.scores}
    assert scores["triton.said"].raw == pytest.approx(scores["brightness"].value)
    scored = [event.candidate_scored for event in events if event.HasField("candidate_scored")]
    assert finished.spent.vlm_calls == len(scored) + 1  # the prior too
    for one in scored:
        values = {score.scorer: score.value for score in one.evaluation.scores}
        assert (one.evaluation.shortfall > 0) == (values["triton.said"] < 0.2)
    started = next(event.started for event in events if event.HasField("started"))
    assert {scorer.name: scorer.question for scorer in started.scorers} == {"brightness": "", "triton.said": text}


async def test_calls_of_a_budget_are_spent_on_it(serve: Serve, make_request: MakeRequest) -> None:
    request = make_request(
        scorers=asking(("triton.no_hat", NO_HAT), weight=0.0, held_out=True), budget=pb.Budget(vlm_calls=4)
    )
    async with serve(rules=RULES, judges={"triton": RecordingJudge()}) as channel:
        call = SearchServiceStub(channel).RunSearch(request, timeout=60)
        events = await events_in(call)
    finished = next(event.finished for event in events if event.HasField("finished"))
    assert finished.spent.vlm_calls <= 4
    assert finished.stop_reason == pb.STOP_REASON_VLM_CALLS


async def test_brought_pictures_are_asked_about(serve: Serve, make_request: MakeRequest) -> None:
    search = make_request()
    request = pb.ScoreImagesRequest(
        scene=search.scene,
        character=search.character,
        prompt="smile",
        images=[search.scene],
        scorers=asking(("triton.no_hat", NO_HAT)),
    )
    async with serve(rules=RULES, judges={"triton": RecordingJudge()}) as channel:
        answer = await SearchServiceStub(channel).ScoreImages(request, timeout=60)
    assert "scorer.triton.no_hat" in answer.versions
    assert [score.scorer for score in answer.evaluations[0].scores] == ["brightness", "triton.no_hat"]


async def test_a_kept_search_remembers_its_questions(serve: Serve, make_request: MakeRequest, tmp_path: Path) -> None:
    """It is created by a server that never takes it up, and run by the next one from what is kept of it."""
    judge = RecordingJudge()

    def open_services() -> Services:
        return Services(ToyModels(), {"brightness": ToyScorer()}, judges={"triton": judge})

    request = make_request(scorers=asking(("triton.no_hat", NO_HAT)), detach=True)
    async with serve(rules=RULES, max_searches=0) as channel:
        stub = SearchServiceStub(channel)
        search = (await stub.CreateSearch(pb.CreateSearchRequest(search=request), timeout=60)).search
    parts = {"concurrency": ConcurrencyLimits(1)}
    async with engine_over(MessageCodec(RULES), open_services, tmp_path, **parts) as (engine, _):
        payloads = [event.payload async for event in engine.watch("anyone", search.search_id)]
        assert pb.SearchEvent.FromString(payloads[-1]).WhichOneof("event") == "finished"
        kept = await engine.store.get("anyone", search.search_id)
    assert set(judge.texts) == {NO_HAT}
    assert pb.RunSearchRequest.FromString(kept.request).scorers[1].question == NO_HAT


async def test_a_kept_search_whose_judge_is_gone_fails_and_says_so(
    serve: Serve, make_request: MakeRequest, tmp_path: Path
) -> None:
    request = make_request(scorers=asking(("openai.no_hat", NO_HAT)), detach=True)
    async with serve(rules=RULES, max_searches=0) as channel:
        stub = SearchServiceStub(channel)
        search = (await stub.CreateSearch(pb.CreateSearchRequest(search=request), timeout=60)).search
    without = replace(RULES, judges=frozenset({"triton"}))

    def open_services() -> Services:
        return Services(ToyModels(), {})

    async with engine_over(MessageCodec(without), open_services, tmp_path, concurrency=ConcurrencyLimits(1)) as (
        engine,
        _,
    ):
        (event,) = [event async for event in engine.watch("anyone", search.search_id)]
    failure = pb.SearchEvent.FromString(event.payload).failed
    assert failure.code == pb.ERROR_CODE_INVALID_ARGUMENT
    assert "scorers[1].name" in failure.message


async def test_over_real_models_questions_go_to_triton_and_beyond_and_answers_are_remembered(
    triton: EmbeddedTriton,
) -> None:
    smiling, kept, smile = "Is the person smiling?", "Is {result} as {scene} is?", (SAMPLE / "prompt.txt").read_text()
    request = pb.ScoreImagesRequest(
        **{name: pb.Image(data=(SAMPLE / f"{name}.png").read_bytes()) for name in ("scene", "character")},
        prompt=smile.strip(),
        images=[pb.Image(data=(SAMPLE / f"{name}.png").read_bytes()) for name in ("scene", "truth")],
        scorers=asking(("triton.smiling", smiling), ("triton.kept", kept), ("openai.kept", kept))[1:],
    )
    with listening(Endpoint(lambda handler, _: send(handler, 200, completion("No", {"No": 0.75, "Yes": 0.25})))) as vlm:
        judge = JudgeSettings(JudgeProvider.OPENAI, "vlm-9", f"{vlm.url}/v1")
        settings = Settings(address="127.0.0.1:0", triton=triton.grpc_url, grace_s=0.0, insecure=True, judges=(judge,))
        async with serving(settings) as server, grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            answers = [await SearchServiceStub(channel).ScoreImages(request, timeout=60) for _ in range(2)]
    assert answers[0] == answers[1]
    assert len(vlm.bodies) == 2, "one for each picture, and none for those seen before"
    assert [len(body["messages"][1]["content"]) for body in vlm.bodies] == [3, 3]
    scores = [{score.scorer: score.value for score in one.scores} for one in answers[0].evaluations]
    raw = [{score.scorer: score.raw for score in one.scores} for one in answers[0].evaluations]
    assert [one["openai.kept"] for one in raw] == [pytest.approx(0.25)] * 2
    assert scores[0]["triton.smiling"] < 0.5 < scores[1]["triton.smiling"]
    assert all(0.0 <= one["triton.kept"] <= 1.0 for one in scores)
    versions = answers[0].versions
    assert versions["scorer.triton.smiling"] == f"vlm_judge:{callers_question('smiling', smiling).identity}"
    assert versions["scorer.openai.kept"] == f"openai:vlm-9:{callers_question('kept', kept).identity}"


async def test_of_failed_questions_the_judge_is_counted_not_the_callers_label(
    serve: Serve, make_request: MakeRequest
) -> None:
    metrics = SearchMetrics(offered=TOY_RULES.scorers)
    request = make_request(scorers=asking(("triton.a", "Is it nothing?"), ("triton.b", "Is there nothing?")))
    async with serve(rules=RULES, judges={"triton": RecordingJudge()}, observer=metrics) as channel:
        async for _ in SearchServiceStub(channel).RunSearch(request, timeout=60):
            pass
    failures = {name: value for name, value in scraped(metrics).items() if name.startswith("eacps_scorer_failures_t")}
    assert list(failures) == ["eacps_scorer_failures_total{scorer=triton.*}"]
