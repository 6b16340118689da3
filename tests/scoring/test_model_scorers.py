"""What the scorers over Triton make of its answers; the answers themselves are tested against the real server."""

import asyncio
from collections.abc import Sequence

import numpy as np
import openai
import pytest

from eacps.errors import FieldViolation, InvalidRequest, TritonUnavailable
from eacps.scene.faces import Faces
from eacps.scoring import (
    EditContext,
    IdentityScorer,
    JoinedQuestions,
    PictureJudge,
    TritonJudge,
    callers_question,
    load_question,
)
from eacps.scoring.openai_provider import OpenAIProvider

PICTURES = {"a": np.zeros((32, 32, 3), np.uint8), "b": np.ones((32, 32, 3), np.uint8)}


def unit(index: int) -> np.ndarray:
    vector = np.zeros(512, np.float32)
    vector[index] = 1
    return vector


CONTEXT = EditContext(
    scene=PICTURES["a"],
    prompt="smile",
    reference_embedding=unit(0),
    character=PICTURES["b"],
    character_face=0,
    scene_box=(2.0, 2.0, 6.0, 6.0),
    timeout_s=7.0,
)


class Embedder:
    """Finds faces of these embeddings, in each picture."""

    def __init__(self, *people: Sequence[np.ndarray]) -> None:
        self._found = [faces_with(*one) for one in people]

    async def embed_faces(self, pictures: np.ndarray, *, timeout_s: float | None = None) -> list[Faces]:
        assert pictures.shape == (2, 32, 32, 3)
        assert timeout_s == 7.0
        return self._found


def faces_with(*embeddings: np.ndarray) -> Faces:
    count = len(embeddings)
    shapes = (count, 4), (count, 5, 2), (count,)
    return Faces(*(np.zeros(shape, np.float32) for shape in shapes), np.array(embeddings).reshape(-1, 512))


class Judge:
    async def judge(
        self, pictures: np.ndarray, questions: Sequence[str], *, timeout_s: float | None = None
    ) -> np.ndarray:
        assert pictures.shape == (2, 1, 32, 32, 3)
        assert timeout_s == 7.0
        assert questions == ['Does the picture follow the instruction "smile"?']
        return np.array([[0.25], [0.75]], np.float32)


class Down:
    async def embed_faces(self, pictures: np.ndarray, *, timeout_s: float | None = None) -> list[Faces]:
        raise TritonUnavailable("gone")

    async def judge(
        self, pictures: np.ndarray, questions: Sequence[str], *, timeout_s: float | None = None
    ) -> np.ndarray:
        raise TritonUnavailable("gone")


async def test_the_likest_face_counts() -> None:
    faces = Embedder([unit(5), (unit(0) + unit(1)) / 2**0.5], [unit(0)])
    scores = await IdentityScorer(faces).score(PICTURES, CONTEXT)
    assert scores == {"a": pytest.approx(0.5**0.5), "b": pytest.approx(1.0)}


async def test_no_face_and_opposite_faces_are_worth_nothing() -> None:
    faces = Embedder([], [-unit(0)])
    assert await IdentityScorer(faces).score(PICTURES, CONTEXT) == {"a": 0.0, "b": 0.0}


async def test_the_judge_asks_once_for_all_pictures() -> None:
    scores = await TritonJudge(JoinedQuestions(Judge()), load_question("prompt")).score(PICTURES, CONTEXT)
    assert scores == {"a": 0.25, "b": 0.75}


async def test_the_judge_is_shown_the_scene_first_where_the_question_is_about_both() -> None:
    class Both:
        async def judge(
            self, pictures: np.ndarray, questions: Sequence[str], *, timeout_s: float | None = None
        ) -> np.ndarray:
            assert pictures.shape == (2, 2, 32, 32, 3)
            assert pictures[:, 0].max() == 0
            assert pictures[:, 1].max(axis=(1, 2, 3)).tolist() == [0, 1]
            assert questions == ["Is the second picture like the first picture?"]
            return np.array([[0.25], [0.75]], np.float32)

    question = callers_question("alike", "Is {result} like {scene}?")
    assert await TritonJudge(JoinedQuestions(Both()), question).score(PICTURES, CONTEXT) == {"a": 0.25, "b": 0.75}


@pytest.mark.parametrize(
    "scorer", [IdentityScorer(Down()), TritonJudge(JoinedQuestions(Down()), load_question("realism"))]
)
async def test_a_lost_triton_is_told_not_scored(scorer: IdentityScorer | TritonJudge) -> None:
    with pytest.raises(TritonUnavailable):
        await scorer.score(PICTURES, CONTEXT)


def test_identities_name_judge_question_and_version() -> None:
    client, question = openai.AsyncOpenAI(api_key="k", base_url="http://127.0.0.1:1"), load_question("realism")
    assert IdentityScorer(Down()).identity == "identity@1"
    assert TritonJudge(JoinedQuestions(Down()), question).identity == "vlm_judge:realism@v1"
    asked = TritonJudge(JoinedQuestions(Down()), callers_question("no_hat", "Is the person without a hat?"))
    assert (asked.name, asked.identity) == ("triton.no_hat", "vlm_judge:no_hat@sha256:f7a476c031476715")
    assert PictureJudge(OpenAIProvider(client, model="m"), question).identity == "openai:m:realism@v1"


@pytest.mark.parametrize(
    "scorer", [IdentityScorer(Down()), TritonJudge(JoinedQuestions(Down()), load_question("realism"))]
)
async def test_no_pictures_no_call(scorer: IdentityScorer | TritonJudge) -> None:
    assert await scorer.score({}, CONTEXT) == {}


class Answering:
    """Answers each question's length and each picture's brightness once that is allowed; refuses what is too long."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.allowed = asyncio.Event()
        self.cancelled = 0

    async def judge(
        self, pictures: np.ndarray, questions: Sequence[str], *, timeout_s: float | None = None
    ) -> np.ndarray:
        self.asked.append(list(questions))
        try:
            await self.allowed.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if any(len(one) > 90 for one in questions):
            raise InvalidRequest([FieldViolation("questions", "one is too long")])
        brightness = pictures[:, -1].mean(axis=(1, 2, 3))
        return (0.1 * brightness[:, None] + 0.001 * np.array([len(one) for one in questions])[None]).astype(np.float32)


REALISM, FOLLOWS = load_question("realism"), load_question("prompt")


def about(judge: JoinedQuestions, name: str, text: str) -> TritonJudge:
    return TritonJudge(judge, callers_question(name, text))


async def test_questions_of_one_turn_are_one_call() -> None:
    answering = Answering()
    answering.allowed.set()
    judge = JoinedQuestions(answering)
    scorers = [TritonJudge(judge, REALISM), TritonJudge(judge, FOLLOWS)]
    one, other = await asyncio.gather(*(scorer.score(PICTURES, CONTEXT) for scorer in scorers))
    assert answering.asked == [[scorer.question.text("smile") for scorer in scorers]]
    for found, scorer in ((one, scorers[0]), (other, scorers[1])):
        length = len(scorer.question.text("smile"))
        assert found == {"a": pytest.approx(0.001 * length), "b": pytest.approx(0.1 + 0.001 * length)}
    await scorers[0].score(PICTURES, CONTEXT)
    assert len(answering.asked) == 2, "a later question is a call of its own"


async def test_questions_about_other_pictures_are_calls_of_their_own() -> None:
    answering = Answering()
    answering.allowed.set()
    judge = JoinedQuestions(answering)
    copies = {name: picture.copy() for name, picture in PICTURES.items()}
    both = about(judge, "alike", "Is {result} like {scene}?")
    await asyncio.gather(
        TritonJudge(judge, REALISM).score(PICTURES, CONTEXT),
        TritonJudge(judge, REALISM).score(copies, CONTEXT),
        both.score(PICTURES, CONTEXT),
    )
    assert [len(questions) for questions in answering.asked] == [1, 1, 1]


async def test_a_refused_question_fails_alone() -> None:
    answering = Answering()
    answering.allowed.set()
    judge = JoinedQuestions(answering)
    scorers = [TritonJudge(judge, REALISM), about(judge, "long", "Is it " + "very " * 30 + "good?")]
    fine, refused = await asyncio.gather(
        *(scorer.score(PICTURES, CONTEXT) for scorer in scorers), return_exceptions=True
    )
    assert isinstance(refused, InvalidRequest)
    assert isinstance(fine, dict)
    assert fine.keys() == PICTURES.keys()


@pytest.mark.parametrize("turns", [0, 1, 3])
async def test_a_cancelled_question_takes_no_answer_from_others(turns: int) -> None:
    answering = Answering()
    judge = JoinedQuestions(answering)
    leaving, staying = (asyncio.create_task(about(judge, n, n).score(PICTURES, CONTEXT)) for n in ("left?", "right?"))
    for _ in range(turns):
        await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait([leaving])
    answering.allowed.set()
    assert (await staying).keys() == PICTURES.keys()
    assert answering.cancelled == 0


@pytest.mark.parametrize("turns", [1, 2, 3])
async def test_a_call_that_nobody_waits_for_ends(turns: int) -> None:
    answering = Answering()
    judge = JoinedQuestions(answering)
    asking = [asyncio.create_task(about(judge, n, n).score(PICTURES, CONTEXT)) for n in ("left?", "right?")]
    for _ in range(turns):
        await asyncio.sleep(0)
    for task in asking:
        task.cancel()
    await asyncio.wait(asking)
    assert answering.cancelled == len(answering.asked)
    assert len(asyncio.all_tasks()) == 1
    answering.allowed.set()
    assert (await about(judge, "again", "again?").score(PICTURES, CONTEXT)).keys() == PICTURES.keys()
