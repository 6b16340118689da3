"""What the scorers over Triton make of its answers; the answers themselves are tested against the real server."""

from collections.abc import Sequence

import numpy as np
import openai
import pytest

from eacps.errors import TritonUnavailable
from eacps.scene.faces import Faces
from eacps.scoring import EditContext, IdentityScorer, PictureJudge, TritonJudge, callers_question, load_question
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
    scores = await TritonJudge(Judge(), load_question("prompt")).score(PICTURES, CONTEXT)
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
    assert await TritonJudge(Both(), question).score(PICTURES, CONTEXT) == {"a": 0.25, "b": 0.75}


@pytest.mark.parametrize("scorer", [IdentityScorer(Down()), TritonJudge(Down(), load_question("realism"))])
async def test_a_lost_triton_is_told_not_scored(scorer: IdentityScorer | TritonJudge) -> None:
    with pytest.raises(TritonUnavailable):
        await scorer.score(PICTURES, CONTEXT)


def test_identities_name_judge_question_and_version() -> None:
    client, question = openai.AsyncOpenAI(api_key="k", base_url="http://127.0.0.1:1"), load_question("realism")
    assert IdentityScorer(Down()).identity == "identity@1"
    assert TritonJudge(Down(), question).identity == "vlm_judge:realism@v1"
    asked = TritonJudge(Down(), callers_question("no_hat", "Is the person without a hat?"))
    assert (asked.name, asked.identity) == ("triton.no_hat", "vlm_judge:no_hat@sha256:f7a476c031476715")
    assert PictureJudge(OpenAIProvider(client, model="m"), question).identity == "openai:m:realism@v1"


@pytest.mark.parametrize("scorer", [IdentityScorer(Down()), TritonJudge(Down(), load_question("realism"))])
async def test_no_pictures_no_call(scorer: IdentityScorer | TritonJudge) -> None:
    assert await scorer.score({}, CONTEXT) == {}
