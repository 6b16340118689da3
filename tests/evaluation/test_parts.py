"""The small parts of an evaluation: scores, artifacts, micro-batches, stopwatch, deadline."""

import asyncio
from collections.abc import Mapping

import numpy as np
import pytest

from eacps.errors import ScorerFailed
from eacps.evaluation import Deadline, MemoryArtifacts
from eacps.evaluation.artifacts import get_picture, get_vector, put_picture, put_vector
from eacps.evaluation.pipeline import micro_batches
from eacps.evaluation.scores import ask_scorers, cards_from_json, cards_to_json
from eacps.evaluation.stopwatch import Stopwatch
from eacps.imaging import Picture
from eacps.scoring import EditContext, Missing, Outcome
from eacps.search.cohort import Candidate, Move, Trial
from eacps.search.recipe import Recipe

PICTURES = {name: np.zeros((8, 8, 3), np.uint8) for name in ("a", "b")}
CONTEXT = EditContext(np.zeros((8, 8, 3), np.uint8), "smile", np.zeros(512, np.float32))


class Scripted:
    """Answers what it is told to."""

    name = "scripted"

    def __init__(self, answer: Mapping[str, Outcome] | Exception) -> None:
        self.answer = answer

    async def score(self, pictures: Mapping[str, Picture], context: EditContext) -> Mapping[str, Outcome]:
        assert set(pictures) == {"a", "b"}
        assert context is CONTEXT
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class TestScores:
    async def test_are_attached_by_id(self) -> None:
        cards = await ask_scorers({"scripted": Scripted({"b": 0.25, "a": 1.0})}, PICTURES, CONTEXT)
        assert {name: card.values for name, card in cards.items()} == {"a": {"scripted": 1.0}, "b": {"scripted": 0.25}}

    @pytest.mark.parametrize(
        ("answer", "reason"),
        [
            ({"a": 0.5, "b": Missing("no answer")}, "no answer"),
            ({"a": 0.5}, "gave no answer"),
            ({"a": 0.5, "b": float("nan")}, "not in"),
            ({"a": 0.5, "b": 1.5}, "not in"),
        ],
    )
    async def test_that_are_none_are_missing(self, answer: Mapping[str, Outcome], reason: str) -> None:
        cards = await ask_scorers({"scripted": Scripted(answer)}, PICTURES, CONTEXT)
        assert cards["a"].values == {"scripted": 0.5}
        assert cards["b"].values == {}
        assert reason in cards["b"].missing["scripted"]

    async def test_a_failing_scorer_spoils_no_other(self) -> None:
        scorers = {"bad": Scripted(ScorerFailed("gone")), "good": Scripted({"a": 0.1, "b": 0.2})}
        cards = await ask_scorers(scorers, PICTURES, CONTEXT)
        assert cards["b"].values == {"good": 0.2}
        assert cards["b"].missing == {"bad": "SCORER_FAILED: gone"}

    async def test_survive_json(self) -> None:
        cards = await ask_scorers({"scripted": Scripted({"a": 0.1, "b": Missing("x")})}, PICTURES, CONTEXT)
        assert cards_from_json(cards_to_json(cards)) == cards


class TestArtifacts:
    async def test_pictures_come_back_pixel_for_pixel(self) -> None:
        store = MemoryArtifacts()
        picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
        assert np.array_equal(await get_picture(store, await put_picture(store, picture)), picture)

    async def test_vectors_come_back_bit_for_bit(self) -> None:
        store = MemoryArtifacts()
        vector = np.random.default_rng(0).standard_normal(512).astype(np.float32)
        assert (await get_vector(store, await put_vector(store, vector))).tobytes() == vector.tobytes()

    async def test_equal_content_has_one_name(self) -> None:
        store = MemoryArtifacts()
        assert await store.put(b"abc") == await store.put(b"abc") != await store.put(b"abd")

    async def test_what_is_not_there_is_an_error(self) -> None:
        with pytest.raises(KeyError):
            await MemoryArtifacts().get("0" * 64)


class TestMicroBatches:
    def test_hold_candidates_that_stop_at_the_same_step(self) -> None:
        trials = [_trial(number, stop) for number, stop in enumerate([4, 2, 4, 4, 2])]
        batches = micro_batches(trials, 2)
        assert [[trial.candidate.id for trial in batch] for batch in batches] == [["1", "4"], ["0", "2"], ["3"]]
        assert all(len({trial.stop_step for trial in batch}) == 1 for batch in batches)


class TestStopwatch:
    def test_counts_overlapping_time_once(self) -> None:
        now = [0.0]
        watch = Stopwatch(lambda: now[0])
        with watch.measure("score"):
            now[0] = 1.0
            with watch.measure("score"), watch.measure("generate"):
                now[0] = 3.0
            now[0] = 4.0
        with watch.measure("score"):
            now[0] = 5.0
        assert watch.spent_s() == {"score": 5.0, "generate": 2.0}


class TestDeadline:
    def test_none_never_passes(self) -> None:
        assert Deadline().left_s() is None
        assert Deadline.after(None).left_s() is None

    async def test_what_is_left_falls_to_zero(self) -> None:
        deadline = Deadline.after(0.02)
        assert 0 < deadline.left_s() <= 0.02
        await asyncio.sleep(0.03)
        assert deadline.left_s() == 0.0


def _trial(number: int, stop_step: int) -> Trial:
    return Trial(Candidate(str(number), Recipe.from_seed(number), (), 0, Move.EXPLORE), stop_step)
