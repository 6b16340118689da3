"""Asking scorers, all at once, and holding their answers to the protocol."""

import asyncio
import logging
import math
from collections.abc import Mapping
from typing import Any

from eacps.errors import EacpsError
from eacps.evaluation.steps import Json
from eacps.imaging import Picture
from eacps.scoring.scorer import EditContext, Missing, Outcome, Scorer
from eacps.search.potential import ScoreCard

_log = logging.getLogger(__name__)


async def ask_scorers(
    scorers: Mapping[str, Scorer], pictures: Mapping[str, Picture], context: EditContext
) -> dict[str, ScoreCard]:
    """Ask every scorer about every picture, all scorers at once.

    A scorer that fails, or answers what is no score, leaves scores missing; it never spoils those of the others.

    Args:
        scorers: By name.
        pictures: ``uint8 [H, W, 3]`` by candidate id.
        context: The edit they result from.

    Returns:
        One card for each picture, with a value or a reason for each scorer.
    """
    async with asyncio.TaskGroup() as group:
        asked = {name: group.create_task(_ask(name, scorer, pictures, context)) for name, scorer in scorers.items()}
    answers = {name: task.result() for name, task in asked.items()}
    return {picture: _card({name: answers[name].get(picture) for name in scorers}) for picture in pictures}


def cards_to_json(cards: Mapping[str, ScoreCard]) -> Json:
    """Give cards a JSON-able form."""
    return {name: {"values": dict(card.values), "missing": dict(card.missing)} for name, card in cards.items()}


def cards_from_json(data: Mapping[str, Any]) -> dict[str, ScoreCard]:
    """Restore cards from ``cards_to_json``'s form."""
    return {name: ScoreCard(card["values"], card["missing"]) for name, card in data.items()}


async def _ask(
    name: str, scorer: Scorer, pictures: Mapping[str, Picture], context: EditContext
) -> Mapping[str, Outcome]:
    try:
        return await scorer.score(pictures, context)
    except EacpsError as exc:
        _log.warning("scorer %s failed: %s", name, exc)
        return dict.fromkeys(pictures, Missing(f"{exc.reason}: {exc}"))


def _card(outcomes: Mapping[str, Outcome | None]) -> ScoreCard:
    values, missing = {}, {}
    for name, outcome in outcomes.items():
        match outcome:
            case None:
                missing[name] = "the scorer gave no answer for this picture"
            case Missing(reason):
                missing[name] = reason
            case value if math.isfinite(value) and 0.0 <= value <= 1.0:
                values[name] = float(value)
            case value:
                missing[name] = f"the scorer answered {value}, which is not in [0, 1]"
    return ScoreCard(values, missing)
