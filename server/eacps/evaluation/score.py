"""Scoring: ask all scorers concurrently about the pictures of a micro-batch, and check their answers."""

import asyncio
import logging
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from numbers import Real

from eacps.arrays import Picture
from eacps.errors import CheckpointChanged, DeadlineExceeded, EacpsError, TritonUnavailable, ungrouped
from eacps.evaluation.observer import Observer
from eacps.evaluation.plan import Edit, SearchSettings
from eacps.evaluation.services import ModelCalls, Services
from eacps.evaluation.timing import Stopwatch
from eacps.scoring.score_maps import ScoreMaps
from eacps.scoring.scorer import EditContext, MissingScore, Score, Scorer
from eacps.search.potential import ScoreCard

_log = logging.getLogger(__name__)


class Scoring:
    """Scores the pictures of one search.

    Args:
        settings: Of the search.
        services: Score them.
        calls: Makes the calls.
        stopwatch: Measures how long it takes.
    """

    def __init__(
        self, settings: SearchSettings, services: Services, *, calls: ModelCalls, stopwatch: Stopwatch
    ) -> None:
        self._scorers, self._prompt = services.scorers_of(settings), settings.prompt
        self._timeout_s, self._observer = services.limits.call_timeout_s, services.observer
        self._calls, self._stopwatch = calls, stopwatch

    @property
    def vlm_calls(self) -> int:
        """Calls of vision-language models that scoring one picture takes."""
        return sum(scorer.vlm_calls for scorer in self._scorers.values())

    @property
    def stochastic(self) -> dict[str, int]:
        """Scorers whose answers differ from time to time, with the calls that one picture takes."""
        return {name: scorer.vlm_calls for name, scorer in self._scorers.items() if scorer.stochastic}

    @property
    def identities(self) -> dict[str, str]:
        """Identities of the scorers by name."""
        return {name: scorer.identity for name, scorer in self._scorers.items()}

    async def score(
        self, edit: Edit, pictures: Mapping[str, Picture], *, again: int = 0, only: Collection[str] | None = None
    ) -> dict[str, ScoreCard]:
        """Ask scorers about pictures.

        Args:
            edit: The edit they result from.
            pictures: ``uint8 [H, W, 3]`` by any name.
            again: How often the same was asked before.
            only: Names of the scorers to ask; None for all.

        Returns:
            One card for each picture.

        Raises:
            DeadlineExceeded, TritonUnavailable, CheckpointChanged: As for `ask_scorers`.
        """
        scorers = {name: one for name, one in self._scorers.items() if only is None or name in only}
        with self._stopwatch.measure("score", pictures=len(pictures)):
            return await ask_scorers(
                scorers,
                pictures,
                self._context(edit, again),
                maps=ScoreMaps.from_calibration(edit.checkpoint.calibration),
                calls=self._calls,
                timeout_s=self._timeout_s,
                observer=self._observer,
            )

    def _context(self, edit: Edit, again: int) -> EditContext:
        return EditContext(
            scene=edit.inputs.scene,
            prompt=self._prompt,
            reference_embedding=edit.embedding,
            character=edit.inputs.character,
            character_face=edit.character_face,
            scene_box=edit.scene_box,
            mask=edit.inputs.mask,
            again=again,
            more_characters=edit.more_characters,
        )


async def ask_scorers(
    scorers: Mapping[str, Scorer],
    pictures: Mapping[str, Picture],
    context: EditContext,
    *,
    maps: ScoreMaps,
    calls: ModelCalls,
    timeout_s: float,
    observer: Observer | None = None,
) -> dict[str, ScoreCard]:
    """Ask every scorer about every picture, all scorers at once.

    A scorer that fails, or answers what is no score, leaves its own scores missing and no others.

    Args:
        scorers: By name.
        pictures: ``uint8 [H, W, 3]`` by candidate id.
        context: The edit they result from; its time-out is set here.
        maps: Put raw scores on the scale on which weights mean something.
        calls: Makes the calls.
        timeout_s: Most time for one call that a scorer makes.
        observer: Watches.

    Returns:
        One card for each picture, with a value or a reason for each scorer.

    Raises:
        DeadlineExceeded: The search's time is up.
        TritonUnavailable, CheckpointChanged: They say nothing of a picture, and must not become missing scores.
    """
    watching = observer or Observer()

    async def ask(name: str) -> Mapping[str, Score]:
        with watching.span(f"score {name}", {"pictures": len(pictures)}):
            return await _ask(scorers[name], pictures, context, calls=calls, timeout_s=timeout_s)

    with ungrouped():
        async with asyncio.TaskGroup() as group:
            asked = {name: group.create_task(ask(name)) for name in scorers}
    answers = {name: task.result() for name, task in asked.items()}
    return {picture: _card({name: answers[name].get(picture) for name in scorers}, maps) for picture in pictures}


def averaged(cards: Sequence[ScoreCard], maps: ScoreMaps) -> ScoreCard:
    """Put together the answers of several times asking: each scorer's mean over the times it answered.

    Args:
        cards: At least one; the first is of all scorers, later ones of those that were asked again.
        maps: As for `ask_scorers`.
    """
    answers = {
        name: [card.raw[name] for card in cards if name in card.raw] for name in (*cards[0].raw, *cards[0].missing)
    }
    raw = {name: math.fsum(scores) / len(scores) for name, scores in answers.items() if scores}
    missing = {name: why for name, why in cards[0].missing.items() if name not in raw}
    repeats = {name: len(scores) for name, scores in answers.items() if len(scores) > 1}
    return ScoreCard(maps.values(raw), missing, raw, repeats)


async def _ask(
    scorer: Scorer, pictures: Mapping[str, Picture], context: EditContext, *, calls: ModelCalls, timeout_s: float
) -> Mapping[str, Score]:
    async def call(left_s: float) -> Mapping[str, Score]:
        return dict(await scorer.score(pictures, replace(context, timeout_s=left_s)))

    try:
        return await calls.with_retries(call, cap_s=timeout_s)
    except (CheckpointChanged, DeadlineExceeded, TritonUnavailable):
        raise
    except EacpsError as exc:
        _log.warning("scorer %s failed: %s", scorer.name, exc)
        return dict.fromkeys(pictures, MissingScore(f"{exc.reason}: {exc}"))
    except Exception as exc:
        # A bug of one scorer, or of a library below it, is no reason to lose the search.
        _log.exception("scorer %s broke", scorer.name)
        return dict.fromkeys(pictures, MissingScore(f"the scorer broke: {type(exc).__name__}"))


def _card(outcomes: Mapping[str, Score | None], maps: ScoreMaps) -> ScoreCard:
    raw: dict[str, float] = {}
    missing: dict[str, str] = {}
    for name, outcome in outcomes.items():
        match outcome:
            case None:
                missing[name] = "the scorer gave no answer for this picture"
            case MissingScore(reason):
                missing[name] = reason
            case value if isinstance(value, Real) and math.isfinite(value) and 0.0 <= value <= 1.0:
                raw[name] = float(value)
            case value:
                missing[name] = f"the scorer answered {value}, which is not in [0, 1]"
    return ScoreCard(maps.values(raw), missing, raw, {})
