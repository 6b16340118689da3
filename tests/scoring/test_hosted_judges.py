"""Gemini and Moondream over the wire: the providers' documented formats, spoken by a local server, well and badly."""

import asyncio
import base64
import email.utils
import io
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any, ClassVar

import httpx2
import numpy as np
import pytest
from google import genai
from google.genai import types
from PIL import Image

from eacps.scoring import EditContext, MissingScore, PictureJudge, Score, load_question
from eacps.scoring.gemini_provider import GeminiProvider
from eacps.scoring.judge import GRADE_EDGE, JudgeCallFailed, Provider, RetryPolicy
from eacps.scoring.moondream_provider import MoondreamProvider
from eacps.scoring.provider_limiter import ProviderLimiter
from eacps.scoring.retry_after import seconds_to_wait
from tests.scoring.endpoint import Endpoint, Reply, listening, send

PICTURES = {f"c{i}": np.full((32, 32, 3), 10 * i, np.uint8) for i in range(8)}
SCENE = np.full((32, 32, 3), 255, np.uint8)
CONTEXT = EditContext(
    scene=SCENE,
    prompt='make {her} "smile"',
    reference_embedding=np.zeros(512, np.float32),
    character=SCENE,
    character_face=0,
    scene_box=(8.0, 8.0, 24.0, 24.0),
)
KEY = "key-secret"
QUICK = RetryPolicy(attempts=2, first_s=0.01, longest_s=2.0)
Ask = Callable[..., Awaitable[dict[str, Score]]]


def gemini(text: str | None, *, ending: str = "STOP", thought: str | None = None) -> bytes:
    """An answer of ``generateContent``."""
    parts = [{"text": thought, "thought": True}] if thought else []
    parts += [] if text is None else [{"text": text}]
    content = {"role": "model", "parts": parts} if parts else {"role": "model"}
    return json.dumps({"candidates": [{"content": content, "finishReason": ending, "index": 0}]}).encode()


def graded(value: Any) -> bytes:
    return gemini(json.dumps({"probability_of_yes": value}))


def moondream(answer: Any) -> bytes:
    """An answer of ``/query``."""
    return json.dumps({"request_id": "x", "answer": answer}).encode()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with listening(Endpoint(lambda handler, _: send(handler, 500, b"{}"))) as opened:
        yield opened


@pytest.fixture(params=["gemini", "moondream"])
def provider(request: pytest.FixtureRequest) -> str:
    return str(request.param)


CERTAIN = 1.0 - GRADE_EDGE


def yes(provider: str) -> bytes:
    return graded(1) if provider == "gemini" else moondream("Yes")


def answering(body: bytes, status: int = 200) -> Reply:
    return lambda handler, _: send(handler, status, body)


def slowly(body: bytes, seconds: float) -> Reply:
    def reply(handler: BaseHTTPRequestHandler, _: int) -> None:
        time.sleep(seconds)
        send(handler, 200, body)

    return reply


def judged_by(
    name: str,
    url: str,
    client: Any,
    *,
    question: str = "realism",
    version: int = 1,
    model: str | None = None,
    **options: Any,
) -> PictureJudge:
    provider: Provider = MoondreamProvider(client, base_url=f"{url}/v1", api_key=KEY, model=model)
    if name == "gemini":
        provider = GeminiProvider(client, model="gemini-test")
    return PictureJudge(provider, load_question(question, version), **{"retry_policy": QUICK, **options})


@asynccontextmanager
async def client_of(provider: str, url: str, timeout_s: float) -> AsyncIterator[Any]:
    # No proxy of the environment stands between a test and its own server.
    if provider == "moondream":
        async with httpx2.AsyncClient(timeout=timeout_s, trust_env=False) as client:
            yield client
        return
    options = types.HttpOptions(base_url=url, timeout=round(1000 * timeout_s), async_client_args={"trust_env": False})
    client = genai.Client(api_key=KEY, http_options=options)
    try:
        yield client
    finally:
        await client.aio.aclose()


@pytest.fixture
def ask(endpoint: Endpoint) -> Ask:
    """Asks a provider about the first so many pictures."""

    async def asking(provider: str, pictures: int = 1, *, timeout_s: float = 5.0, **options: Any) -> dict[str, Score]:
        chosen = dict(list(PICTURES.items())[:pictures])
        async with client_of(provider, endpoint.url, timeout_s) as client:
            return dict(await judged_by(provider, endpoint.url, client, **options).score(chosen, CONTEXT))

    return asking


def shade_of(data: str) -> int:
    """What a flat picture was filled with, from its base64, in whose URL-safe form the client writes it."""
    with Image.open(io.BytesIO(base64.urlsafe_b64decode(data))) as image:
        return int(np.asarray(image)[0, 0, 0])


class TestGemini:
    async def test_a_graded_answer_is_the_score(self, endpoint: Endpoint, ask: Ask) -> None:
        endpoint.reply = answering(graded(0.73))
        assert await ask("gemini") == {"c0": 0.73}

    async def test_thoughts_are_not_the_answer(self, endpoint: Endpoint, ask: Ask) -> None:
        endpoint.reply = answering(gemini('{"probability_of_yes": 0.5}', thought="hm, 0.9 perhaps"))
        assert await ask("gemini") == {"c0": 0.5}

    async def test_the_request_asks_for_the_schema_and_shows_scene_and_result(
        self, endpoint: Endpoint, ask: Ask
    ) -> None:
        endpoint.reply = answering(graded(1))
        await ask("gemini", 2, question="prompt", version=2, limiter=ProviderLimiter(1))
        body = endpoint.bodies[1]
        assert endpoint.paths[1].endswith("/models/gemini-test:generateContent")
        assert endpoint.headers[1]["x-goog-api-key"] == KEY
        scene, result, question = body["contents"][0]["parts"]
        assert [shade_of(part["inlineData"]["data"]) for part in (scene, result)] == [255, 10]
        assert 'with the instruction "make {her} "smile""' in question["text"]
        assert "the second picture" in question["text"]
        assert body["generationConfig"]["responseMimeType"] == "application/json"
        assert body["generationConfig"]["responseSchema"]["required"] == ["probability_of_yes"]

    async def test_a_question_about_the_picture_shows_it_alone(self, endpoint: Endpoint, ask: Ask) -> None:
        endpoint.reply = answering(graded(1))
        await ask("gemini")
        assert len(endpoint.bodies[0]["contents"][0]["parts"]) == 2

    @pytest.mark.parametrize(
        ("part", "message"),
        [
            ("systemInstruction", "Developer instruction is not enabled for models/gemma-3-27b-it"),
            ("responseSchema", "JSON mode is not enabled for models/gemma-3-27b-it"),
            ("temperature", "Unable to submit request because temperature is not supported"),
            ("maxOutputTokens", "maxOutputTokens must be at most 8192"),
        ],
    )
    async def test_what_a_model_refuses_is_left_out_from_then_on(
        self, endpoint: Endpoint, ask: Ask, part: str, message: str
    ) -> None:
        error = {"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}}

        def reply(handler: BaseHTTPRequestHandler, number: int) -> None:
            if part in json.dumps(endpoint.bodies[number - 1]):
                send(handler, 400, json.dumps(error).encode())
            else:
                send(handler, 200, gemini('```json\n{"probability_of_yes": 0.5}\n```'))

        endpoint.reply = reply
        assert await ask("gemini", 3, limiter=ProviderLimiter(1)) == {"c0": 0.5, "c1": 0.5, "c2": 0.5}
        assert len(endpoint.bodies) == 4
        texts = [one["text"] for one in endpoint.bodies[-1]["contents"][0]["parts"] if "text" in one]
        instructed = "probability_of_yes" in texts[-1] or "systemInstruction" in endpoint.bodies[-1]
        assert instructed, "without a place of its own the instruction is part of the question"

    async def test_retry_info_in_the_body_is_heeded_too(self, endpoint: Endpoint, ask: Ask) -> None:
        info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.6s"}
        error = {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": KEY, "details": [{}, info]}}
        busy, ready = answering(json.dumps(error).encode(), 429), answering(graded(1))
        endpoint.reply = lambda handler, n: (busy if n == 1 else ready)(handler, n)
        started = time.monotonic()
        assert await ask("gemini") == {"c0": CERTAIN}
        assert time.monotonic() - started >= 0.6

    FAULTS: ClassVar[dict[str, tuple[bytes, str]]] = {
        "blocked": (b'{"promptFeedback": {"blockReason": "SAFETY"}}', "blocked: SAFETY"),
        "refused": (gemini(None, ending="SAFETY"), "did not answer: SAFETY"),
        "cut off": (gemini(None, ending="MAX_TOKENS"), "did not answer: MAX_TOKENS"),
        "no candidates": (b'{"candidates": []}', "did not answer: no candidate"),
        "empty": (b"{}", "did not answer"),
        "half an answer": (gemini('{"probability_of'), "neither"),
        "cut off in the middle": (gemini('{"probability_of_yes": 0.', ending="MAX_TOKENS"), "cut off"),
        "prose": (gemini("It looks natural."), "neither"),
        "another field": (gemini('{"confidence": 0.5}'), "neither"),
        "a list": (gemini("[0.5]"), "neither"),
        "words for a number": (graded("many"), "no number"),
        "true for a number": (graded(True), "no number"),
        "above one": (graded(1.5), "no number"),
        "not a number": (gemini('{"probability_of_yes": NaN}'), "no number"),
        "declined in the middle": (gemini('{"probability_of_yes": 0.5}', ending="SAFETY"), "did not answer: SAFETY"),
        "truncated": (graded(1)[:30], "cannot be read"),
        "a web page": (b"<html>", "cannot be read"),
    }

    @pytest.mark.parametrize("fault", FAULTS)
    async def test_what_cannot_be_read_is_missing(self, endpoint: Endpoint, ask: Ask, fault: str) -> None:
        body, reason = self.FAULTS[fault]
        endpoint.reply = answering(body)
        outcome = (await ask("gemini"))["c0"]
        assert isinstance(outcome, MissingScore)
        assert reason in outcome.reason
        assert len(endpoint.bodies) == 2


class TestMoondream:
    @pytest.mark.parametrize(
        ("text", "score"), [("0.8", 0.8), ("Yes", CERTAIN), (" no.", GRADE_EDGE), ("Yes, it does.", CERTAIN)]
    )
    async def test_a_grade_or_a_word_is_the_score(self, endpoint: Endpoint, ask: Ask, text: str, score: float) -> None:
        endpoint.reply = answering(moondream(text))
        assert await ask("moondream") == {"c0": score}

    async def test_the_request_is_the_documented_one(self, endpoint: Endpoint, ask: Ask) -> None:
        endpoint.reply = answering(moondream("Yes"))
        await ask("moondream", question="prompt", model="moondream-9")
        (body,) = endpoint.bodies
        assert endpoint.paths == ["/v1/query"]
        assert endpoint.headers[0]["x-moondream-auth"] == KEY
        assert body["image_url"].startswith("data:image/png;base64,")
        assert 'make {her} "smile"' in body["question"]
        assert (body["stream"], body["model"]) == (False, "moondream-9")

    async def test_a_question_about_the_edit_shows_both_side_by_side_and_says_so(
        self, endpoint: Endpoint, ask: Ask
    ) -> None:
        endpoint.reply = answering(moondream("Yes"))
        await ask("moondream", 2, question="prompt", version=2, limiter=ProviderLimiter(1))
        body = endpoint.bodies[1]
        with Image.open(io.BytesIO(base64.b64decode(body["image_url"].partition(",")[2]))) as shown:
            pixels = np.asarray(shown)
        width = SCENE.shape[1]
        assert (pixels[:, :width] == SCENE).all()
        assert (pixels[:, -width:] == PICTURES["c1"]).all()
        assert "edited the picture on the left" in body["question"]
        assert "got the picture on the right" in body["question"]

    FAULTS: ClassVar[dict[str, tuple[bytes, str]]] = {
        "nonsense": (moondream("A lovely picture."), "neither"),
        "refused": (moondream("I cannot help with that."), "neither"),
        "empty": (moondream(""), "empty"),
        "no text": (moondream(None), "no text"),
        "no answer": (b"{}", "no text"),
        "a list": (b'["Yes"]', "no text"),
        "truncated": (moondream("Yes")[:20], "no JSON"),
        "a web page": (b"<html>", "no JSON"),
        "no text at all": (b"\xff\xfe\xff", "no JSON"),
    }

    @pytest.mark.parametrize("fault", FAULTS)
    async def test_what_cannot_be_read_is_missing(self, endpoint: Endpoint, ask: Ask, fault: str) -> None:
        body, reason = self.FAULTS[fault]
        endpoint.reply = answering(body)
        outcome = (await ask("moondream"))["c0"]
        assert isinstance(outcome, MissingScore)
        assert reason in outcome.reason


class TestBoth:
    async def test_an_unreadable_answer_is_asked_for_again(self, endpoint: Endpoint, ask: Ask, provider: str) -> None:
        endpoint.reply = lambda handler, n: send(handler, 200, b"{}" if n == 1 else yes(provider))
        assert await ask(provider) == {"c0": CERTAIN}

    async def test_too_many_requests_are_retried_after_the_time_asked_for(
        self, endpoint: Endpoint, ask: Ask, provider: str
    ) -> None:
        def busy_once(handler: BaseHTTPRequestHandler, number: int) -> None:
            if number == 1:
                send(handler, 429, b'{"error": {"message": "slow down"}}', retry_after="1")
            else:
                send(handler, 200, yes(provider))

        endpoint.reply = busy_once
        started = time.monotonic()
        assert await ask(provider) == {"c0": CERTAIN}
        assert time.monotonic() - started >= 0.95

    async def test_who_asks_for_more_time_than_there_is_patience_is_not_waited_for(
        self, endpoint: Endpoint, ask: Ask, provider: str
    ) -> None:
        endpoint.reply = lambda handler, _: send(handler, 429, b"{}", retry_after="3600")
        outcome = (await ask(provider))["c0"]
        assert outcome == MissingScore("HTTP 429 (1 of 2 attempts)")

    @pytest.mark.parametrize(("status", "calls"), [(500, 2), (503, 2), (400, 1), (401, 1), (403, 1), (404, 1)])
    async def test_only_what_may_succeed_is_tried_again_and_nothing_said_there_is_repeated(
        self, endpoint: Endpoint, ask: Ask, provider: str, status: int, calls: int
    ) -> None:
        body = {"error": {"code": status, "status": "X", "message": f"bad {KEY}"}}
        endpoint.reply = answering(json.dumps(body).encode(), status)
        outcome = (await ask(provider))["c0"]
        assert outcome == MissingScore(f"HTTP {status} ({calls} of 2 attempts)")
        assert len(endpoint.bodies) == calls

    async def test_a_slow_answer_is_given_up(self, endpoint: Endpoint, ask: Ask, provider: str) -> None:
        endpoint.reply = slowly(yes(provider), 1.0)
        outcome = (await ask(provider, timeout_s=0.3, retry_policy=RetryPolicy(1)))["c0"]
        assert isinstance(outcome, MissingScore)
        assert "no answer" in outcome.reason

    @pytest.mark.parametrize("status", [200, 401, 429, 500])
    async def test_the_key_is_in_no_log_line_and_no_reason(
        self, endpoint: Endpoint, ask: Ask, provider: str, caplog: pytest.LogCaptureFixture, status: int
    ) -> None:
        caplog.set_level(logging.DEBUG)
        endpoint.reply = answering(json.dumps({"error": {"code": status, "message": f"bad {KEY}"}}).encode(), status)
        outcomes = await ask(provider)
        assert KEY in endpoint.headers[0].values()
        assert caplog.text, "the libraries log"
        assert KEY not in caplog.text + str(outcomes)

    async def test_an_endpoint_that_is_not_there_is_missing(self, provider: str, unused_tcp_port: int) -> None:
        url = f"http://127.0.0.1:{unused_tcp_port}"
        async with client_of(provider, url, 2.0) as client:
            outcome = (await judged_by(provider, url, client, retry_policy=RetryPolicy(1)).score(PICTURES, CONTEXT))[
                "c3"
            ]
            assert isinstance(outcome, MissingScore)
            assert "no answer" in outcome.reason

    async def test_many_calls_are_in_flight_within_the_limit(self, endpoint: Endpoint, ask: Ask, provider: str) -> None:
        endpoint.reply = slowly(yes(provider), 0.2)
        assert await ask(provider, 8, limiter=ProviderLimiter(4)) == dict.fromkeys(PICTURES, CERTAIN)
        assert 2 <= endpoint.peak <= 4

    async def test_one_failed_call_leaves_the_others_alone(self, endpoint: Endpoint, ask: Ask, provider: str) -> None:
        endpoint.reply = lambda handler, n: send(handler, 403 if n == 3 else 200, yes(provider))
        outcomes = await ask(provider, 8, limiter=ProviderLimiter(1))
        assert [isinstance(outcome, MissingScore) for outcome in outcomes.values()] == [i == 2 for i in range(8)]

    async def test_cancelling_the_score_cancels_its_calls(self, endpoint: Endpoint, ask: Ask, provider: str) -> None:
        endpoint.reply = slowly(yes(provider), 0.5)
        task = asyncio.create_task(ask(provider, 8, limiter=ProviderLimiter(2)))
        async with asyncio.timeout(10):
            while len(endpoint.bodies) < 3:
                await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.5)
        assert len(endpoint.bodies) == 3


class TestPatience:
    def test_pauses_double_up_to_the_longest_and_are_drawn_from_nothing_on(self) -> None:
        retry_policy, failure = RetryPolicy(attempts=20, first_s=1.0, longest_s=6.0), JudgeCallFailed("x", again=True)
        for attempt, most in ((1, 1.0), (2, 2.0), (3, 4.0), (4, 6.0), (12, 6.0)):
            pauses = [retry_policy.pause_s(attempt, failure) or 0.0 for _ in range(300)]
            assert 0.0 <= min(pauses) < 0.2 * most
            assert 0.8 * most < max(pauses) <= most

    def test_it_ends(self) -> None:
        assert RetryPolicy(3).pause_s(3, JudgeCallFailed("x", again=True)) is None
        assert RetryPolicy(3).pause_s(1, JudgeCallFailed("x", again=False)) is None

    @pytest.mark.parametrize(
        ("value", "seconds"),
        [("7", 7.0), ("0.5", 0.5), ("", None), ("-1", None), ("soon", None), ("inf", None), ("nan", None)],
    )
    def test_retry_after_is_read_in_seconds(self, value: str, seconds: float | None) -> None:
        assert seconds_to_wait({"retry-after": value}) == seconds

    def test_retry_after_may_be_milliseconds_or_a_date(self) -> None:
        assert seconds_to_wait({}) is None
        assert seconds_to_wait({"retry-after-ms": "1500", "retry-after": "9"}) == 1.5
        assert seconds_to_wait({"retry-after": "Wed, 21 Oct 2020 07:28:00 GMT"}) == 0.0
        later = email.utils.formatdate(time.time() + 100.0, usegmt=True)
        assert 95.0 < (seconds_to_wait({"retry-after": later}) or 0.0) <= 100.0
