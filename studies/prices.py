"""What an evaluation of the denoiser and a picture take on this machine: the study's wall time.

The study keeps scores and makes no picture twice, so that its own clock says nothing of a search. A search's seconds
are counted from its evaluations and its pictures, drafts included, at prices measured once.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from eacps.search.recipe import Recipe
from studies.runner import Runner
from studies.subjects import FIRST_TUNED

PRICES_FILE: Final = "prices.json"
_PICTURES: Final = 16
_REPEATS: Final = 3
_FIRST_SEED: Final = 4_000_000_000
"""Of pictures that no search has made, so that none is known already."""


@dataclass(frozen=True)
class Prices:
    """Seconds on a machine that did nothing else.

    Attributes:
        evaluation_s: Of the denoiser, for each candidate of a batch of 16.
        picture_s: Decoding and all of the study's scorers, for each.
    """

    evaluation_s: float
    picture_s: float

    def seconds(self, evaluations: float, pictures: float) -> float:
        """Return what so many take one after the other."""
        return evaluations * self.evaluation_s + pictures * self.picture_s


async def prices_of(runner: Runner, file: Path) -> Prices:
    """Read prices, or measure and write them where there are none: delete the file on another machine."""
    if file.exists():
        return Prices(**json.loads(file.read_text(encoding="utf-8")))
    prices = await measure(runner)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(asdict(prices), indent=2) + "\n", encoding="utf-8")
    return prices


async def measure(runner: Runner) -> Prices:
    """Time pictures of one step and of all; the best of a few repeats, since others only slow a machine down."""
    steps = runner.oracle.steps
    await _timed(runner, 1, 0)  # the subject is prepared, and everything is warm
    short = min([await _timed(runner, 1, repeat + 1) for repeat in range(_REPEATS)])
    whole = min([await _timed(runner, steps, repeat + 1 + _REPEATS) for repeat in range(_REPEATS)])
    evaluation_s = max(0.0, whole - short) / (steps - 1)
    return Prices(round(evaluation_s, 5), round(max(0.0, short - evaluation_s), 5))


async def _timed(runner: Runner, steps: int, repeat: int) -> float:
    recipes = [Recipe.from_seed(_FIRST_SEED + repeat * _PICTURES + n) for n in range(_PICTURES)]
    return await runner.oracle.seconds(FIRST_TUNED, recipes, steps) / _PICTURES
