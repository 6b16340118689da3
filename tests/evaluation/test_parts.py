"""The small parts of an evaluation: scores, artifacts, micro-batches, stopwatch, deadline."""

import asyncio
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from eacps.errors import DeadlineExceeded, ScorerFailed, TritonModelFailed, TritonUnavailable
from eacps.evaluation import Deadline, MemoryArtifacts, Pace
from eacps.evaluation.artifacts import get_picture, get_vector, put_picture, put_vector
from eacps.evaluation.calls import Calls
from eacps.evaluation.pipeline import micro_batches
from eacps.evaluation.scores import ask_scorers, cards_from_json, cards_to_json
from eacps.evaluation.shelf import Shelf
from eacps.evaluation.stopwatch import Stopwatch
from eacps.imaging import Picture
from eacps.scoring import EditContext, Missing, Outcome
from eacps.search.calibration import Calibration
from eacps.search.cohort import Candidate, Move, Trial
from eacps.search.recipe import Recipe
from eacps.search.scores import ScoreCard

NO_DEADLINE = Deadline()
PICTURES = {name: np.zeros((8, 8, 3), np.uint8) for name in ("a", "b")}
CONTEXT = EditContext(
    scene=np.zeros((8, 8, 3), np.uint8),
    prompt="smile",
    reference_embedding=np.zeros(512, np.float32),
    character=np.zeros((8, 8, 3), np.uint8),
    character_face=-1,
    scene_box=(2.0, 2.0, 6.0, 6.0),
)


def calls_within(deadline: Deadline) -> Calls:
    return Calls("test", deadline, pace=Pace(retry_delay_s=0.0))


async def ask(scorers: Mapping[str, "Scripted"], *, deadline: Deadline = NO_DEADLINE) -> dict[str, ScoreCard]:
    return await ask_scorers(
        scorers, PICTURES, CONTEXT, calibration=Calibration(), calls=calls_within(deadline), timeout_s=60.0
    )


class Scripted:
    """Answers what it is told to; of several answers the next one each time, the last one for ever."""

    name, identity, stochastic, vlm_calls = "scripted", "scripted@1", False, 0

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.timeouts_s: list[float | None] = []

    async def score(self, pictures: Mapping[str, Picture], context: EditContext) -> Mapping[str, Outcome]:
        assert set(pictures) == {"a", "b"}
        assert context.prompt == "smile"
        self.timeouts_s.append(context.timeout_s)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer


class Slow(Scripted):
    """Never answers."""

    async def score(self, pictures: Mapping[str, Picture], context: EditContext) -> Mapping[str, Outcome]:
        await asyncio.sleep(3600)
        raise AssertionError(f"slept through {list(pictures)} {context}")


class TestScores:
    async def test_are_attached_by_id(self) -> None:
        cards = await ask({"scripted": Scripted({"b": 0.25, "a": 1.0})})
        assert {name: card.values for name, card in cards.items()} == {"a": {"scripted": 1.0}, "b": {"scripted": 0.25}}

    @pytest.mark.parametrize(
        ("answer", "reason"),
        [
            ({"a": 0.5, "b": Missing("no answer")}, "no answer"),
            ({"a": 0.5}, "gave no answer"),
            ({"a": 0.5, "b": float("nan")}, "not in"),
            ({"a": 0.5, "b": 1.5}, "not in"),
            ({"a": 0.5, "b": "0.5"}, "not in"),
        ],
    )
    async def test_that_are_none_are_missing(self, answer: Mapping[str, Outcome], reason: str) -> None:
        cards = await ask({"scripted": Scripted(answer)})
        assert cards["a"].values == {"scripted": 0.5}
        assert cards["b"].values == {}
        assert reason in cards["b"].missing["scripted"]

    async def test_a_failing_scorer_spoils_no_other(self) -> None:
        scorers = {"bad": Scripted(ScorerFailed("gone")), "good": Scripted({"a": 0.1, "b": 0.2})}
        cards = await ask(scorers)
        assert cards["b"].values == {"good": 0.2}
        assert cards["b"].missing == {"bad": "SCORER_FAILED: gone"}

    @pytest.mark.parametrize("answer", [AttributeError("no message"), None, 0.5])
    async def test_a_broken_scorer_is_logged_and_missing(self, answer: Any, caplog: pytest.LogCaptureFixture) -> None:
        cards = await ask({"bad": Scripted(answer), "good": Scripted({"a": 0.1, "b": 0.2})})
        assert cards["a"].values == {"good": 0.1}
        assert "broke" in cards["a"].missing["bad"]
        assert "Traceback" in caplog.text

    async def test_a_cancelled_scorer_is_cancelled(self) -> None:
        task = asyncio.create_task(ask({"slow": Slow()}))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def test_are_asked_for_again_where_triton_was_away(self) -> None:
        scorer = Scripted(TritonUnavailable("away"), {"a": 0.1, "b": 0.2})
        assert (await ask({"scripted": scorer}))["b"].values == {"scripted": 0.2}

    @pytest.mark.parametrize(("error", "times"), [(TritonUnavailable("away"), 2), (TritonModelFailed("bad"), 1)])
    async def test_are_missing_where_triton_stays_away_or_breaks(self, error: Exception, times: int) -> None:
        scorer = Scripted(error)
        assert str(error) in (await ask({"scripted": scorer}))["a"].missing["scripted"]
        assert len(scorer.timeouts_s) == times

    async def test_are_asked_for_within_the_time_left(self) -> None:
        patient, pressed = Scripted({}), Scripted({})
        await ask({"scripted": patient})
        await ask({"scripted": pressed}, deadline=Deadline.after(5.0))
        assert patient.timeouts_s == [60.0]
        assert pressed.timeouts_s[0] == pytest.approx(5.0, abs=1.0)

    async def test_a_hung_call_is_missing_but_a_passed_deadline_is_an_error(self) -> None:
        hung = Scripted(DeadlineExceeded("face_embed"))
        assert "no answer within 60 s" in (await ask({"scripted": hung}))["a"].missing["scripted"]
        assert len(hung.timeouts_s) == 1
        with pytest.raises(ExceptionGroup) as caught:
            await ask({"scripted": hung}, deadline=Deadline.after(5.0))
        assert caught.group_contains(DeadlineExceeded)

    async def test_survive_json(self) -> None:
        cards = await ask({"scripted": Scripted({"a": 0.1, "b": Missing("x")})})
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

    @pytest.mark.parametrize("keep", [False, True])
    async def test_what_is_dropped_goes_unless_all_is_kept(self, keep: bool) -> None:
        store = MemoryArtifacts(keep=keep)
        digest = await store.put(b"abc")
        await store.drop(digest)
        if keep:
            assert await store.get(digest) == b"abc"
        else:
            with pytest.raises(KeyError):
                await store.get(digest)


class TestShelf:
    async def test_gives_back_the_very_array_until_it_is_put_away(self) -> None:
        shelf = Shelf(MemoryArtifacts())
        digest = await shelf.put(PICTURES["a"])
        assert await shelf.get(digest) is PICTURES["a"]
        shelf.put_away(digest)
        again = await shelf.get(digest)
        assert again is not PICTURES["a"]
        assert np.array_equal(again, PICTURES["a"])

    async def test_drops_a_picture_with_its_last_use(self) -> None:
        shelf = Shelf(MemoryArtifacts())
        digest = await shelf.put(PICTURES["a"])
        assert await shelf.put(PICTURES["b"]) == digest  # equal pixels
        await shelf.drop(digest)
        assert np.array_equal(await shelf.get(digest), PICTURES["a"])
        await shelf.drop(digest)
        with pytest.raises(KeyError):
            await shelf.get(digest)


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
