"""Scores of all scorers about a micro-batch: what is missing, what is an error, and in which time."""

import asyncio
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from eacps.arrays import Picture
from eacps.errors import CheckpointChanged, DeadlineExceeded, ScorerFailed, TritonModelFailed, TritonUnavailable
from eacps.evaluation import Deadline, ExecutionLimits
from eacps.evaluation.codec import card_from_json, card_to_json
from eacps.evaluation.score import ask_scorers
from eacps.evaluation.services import ModelCalls
from eacps.scoring import EditContext, MissingScore, Score
from eacps.scoring.score_maps import ScoreMaps
from eacps.search.potential import ScoreCard
from eacps.testing import ToyModels

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


def calls_within(deadline: Deadline) -> ModelCalls:
    return ModelCalls("test", ToyModels(), deadline, limits=ExecutionLimits(retry_delay_s=0.0))


async def ask(scorers: Mapping[str, "Scripted"], *, deadline: Deadline = NO_DEADLINE) -> dict[str, ScoreCard]:
    return await ask_scorers(scorers, PICTURES, CONTEXT, maps=ScoreMaps(), calls=calls_within(deadline), timeout_s=60.0)


class Scripted:
    """Answers what it is told to; of several answers the next one each time, the last one for ever."""

    name, identity, stochastic, vlm_calls = "scripted", "scripted@1", False, 0

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.timeouts_s: list[float | None] = []

    async def score(self, pictures: Mapping[str, Picture], context: EditContext) -> Mapping[str, Score]:
        assert set(pictures) == {"a", "b"}
        assert context.prompt == "smile"
        self.timeouts_s.append(context.timeout_s)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer


class Slow(Scripted):
    """Never answers."""

    async def score(self, pictures: Mapping[str, Picture], context: EditContext) -> Mapping[str, Score]:
        await asyncio.sleep(3600)
        raise AssertionError(f"slept through {list(pictures)} {context}")


class TestScores:
    async def test_are_attached_by_id(self) -> None:
        cards = await ask({"scripted": Scripted({"b": 0.25, "a": 1.0})})
        assert {name: card.values for name, card in cards.items()} == {"a": {"scripted": 1.0}, "b": {"scripted": 0.25}}

    @pytest.mark.parametrize(
        ("answer", "reason"),
        [
            ({"a": 0.5, "b": MissingScore("no answer")}, "no answer"),
            ({"a": 0.5}, "gave no answer"),
            ({"a": 0.5, "b": float("nan")}, "not in"),
            ({"a": 0.5, "b": 1.5}, "not in"),
            ({"a": 0.5, "b": "0.5"}, "not in"),
        ],
    )
    async def test_that_are_none_are_missing(self, answer: Mapping[str, Score], reason: str) -> None:
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

    async def test_are_missing_where_a_model_breaks(self) -> None:
        scorer = Scripted(TritonModelFailed("bad"))
        assert "bad" in (await ask({"scripted": scorer}))["a"].missing["scripted"]
        assert len(scorer.timeouts_s) == 1

    async def test_are_not_taken_from_other_weights(self) -> None:
        with pytest.raises(CheckpointChanged):
            await ask({"scripted": Scripted(CheckpointChanged("another build"))})

    async def test_are_waited_for_where_triton_stays_away(self) -> None:
        scorer = Scripted(TritonUnavailable("away"))
        with pytest.raises(TritonUnavailable):
            await ask({"scripted": scorer})
        assert len(scorer.timeouts_s) == 2

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
        with pytest.raises(DeadlineExceeded):
            await ask({"scripted": hung}, deadline=Deadline.after(5.0))

    async def test_survive_json(self) -> None:
        cards = await ask({"scripted": Scripted({"a": 0.1, "b": MissingScore("x")})})
        assert {name: card_from_json(card_to_json(card)) for name, card in cards.items()} == cards
