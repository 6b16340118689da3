"""Asking scorers, all at once, and holding their answers to the protocol."""

import asyncio
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from numbers import Real
from typing import Any

from eacps.errors import DeadlineExceeded, EacpsError
from eacps.evaluation.calls import Calls
from eacps.evaluation.observer import Observer, Silent
from eacps.evaluation.steps import Json
from eacps.imaging import Picture
from eacps.scoring.scorer import EditContext, Missing, Outcome, Scorer
from eacps.search.calibration import Calibration
from eacps.search.scores import ScoreCard

_log = logging.getLogger(__name__)


async def ask_scorers(
    scorers: Mapping[str, Scorer],
    pictures: Mapping[str, Picture],
    context: EditContext,
    *,
    calibration: Calibration,
    calls: Calls,
    timeout_s: float,
    observer: Observer | None = None,
) -> dict[str, ScoreCard]:
    """Ask every scorer about every picture, all scorers at once.

    A scorer that fails, or answers what is no score, leaves scores missing; it never spoils those of the others.

    Args:
        scorers: By name.
        pictures: ``uint8 [H, W, 3]`` by candidate id.
        context: The edit they result from; its time-out is set here.
        calibration: Puts raw scores on the scale on which weights mean something.
        calls: Makes the calls.
        timeout_s: Most time for one call that a scorer makes.
        observer: Watches.

    Returns:
        One card for each picture, with a value or a reason for each scorer.

    Raises:
        ExceptionGroup: Holds `DeadlineExceeded`, the search's time is up.
    """
    watching = observer or Silent()

    async def ask(name: str) -> Mapping[str, Outcome]:
        with watching.span(f"score {name}", {"pictures": len(pictures)}):
            return await _ask(scorers[name], pictures, context, calls=calls, timeout_s=timeout_s)

    async with asyncio.TaskGroup() as group:
        asked = {name: group.create_task(ask(name)) for name in scorers}
    answers = {name: task.result() for name, task in asked.items()}
    return {picture: _card({name: answers[name].get(picture) for name in scorers}, calibration) for picture in pictures}


def averaged(cards: Sequence[ScoreCard], calibration: Calibration) -> ScoreCard:
    """Put together the answers of several times asking: each scorer's mean over the times it answered.

    Args:
        cards: At least one; the first is of all scorers, later ones of those that were asked again.
        calibration: As for `ask_scorers`.
    """
    heard = {
        name: [card.raw[name] for card in cards if name in card.raw] for name in (*cards[0].raw, *cards[0].missing)
    }
    raw = {name: math.fsum(scores) / len(scores) for name, scores in heard.items() if scores}
    missing = {name: why for name, why in cards[0].missing.items() if name not in raw}
    return calibration.card(raw, missing, {name: len(scores) for name, scores in heard.items() if len(scores) > 1})


def cards_to_json(cards: Mapping[str, ScoreCard]) -> Json:
    """Give cards a JSON-able form."""
    return {
        name: {"values": dict(card.values), "missing": dict(card.missing), "raw": dict(card.raw)}
        for name, card in cards.items()
    }


def cards_from_json(data: Mapping[str, Any]) -> dict[str, ScoreCard]:
    """Restore cards from ``cards_to_json``'s form."""
    return {name: ScoreCard(card["values"], card["missing"], card["raw"]) for name, card in data.items()}


async def _ask(
    scorer: Scorer, pictures: Mapping[str, Picture], context: EditContext, *, calls: Calls, timeout_s: float
) -> Mapping[str, Outcome]:
    async def call(left_s: float) -> Mapping[str, Outcome]:
        return dict(await scorer.score(pictures, replace(context, timeout_s=left_s)))

    try:
        return await calls.patiently(call, cap_s=timeout_s)
    except DeadlineExceeded:
        raise
    except EacpsError as exc:
        _log.warning("scorer %s failed: %s", scorer.name, exc)
        return dict.fromkeys(pictures, Missing(f"{exc.reason}: {exc}"))
    except Exception as exc:
        # A bug of one scorer, or of a library below it, is no reason to lose the search.
        _log.exception("scorer %s broke", scorer.name)
        return dict.fromkeys(pictures, Missing(f"the scorer broke: {type(exc).__name__}"))


def _card(outcomes: Mapping[str, Outcome | None], calibration: Calibration) -> ScoreCard:
    values: dict[str, float] = {}
    missing: dict[str, str] = {}
    for name, outcome in outcomes.items():
        match outcome:
            case None:
                missing[name] = "the scorer gave no answer for this picture"
            case Missing(reason):
                missing[name] = reason
            case value if isinstance(value, Real) and math.isfinite(value) and 0.0 <= value <= 1.0:
                values[name] = float(value)
            case value:
                missing[name] = f"the scorer answered {value}, which is not in [0, 1]"
    return calibration.card(values, missing, {})
