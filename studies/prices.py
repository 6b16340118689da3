"""Measuring what evaluations of the denoiser and pictures take on this machine."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Final

from eacps.search.defaults import DEFAULT_MICRO_BATCH
from eacps.search.recipe import Recipe
from studies.costs import Prices
from studies.runner import Runner
from studies.subjects import FIRST_TUNED

PRICES_FILE: Final = "prices.json"
_FEW: Final = 2
_REPEATS: Final = 5
_FIRST_SEED: Final = 4_000_000_000
"""Of pictures that no search has made, so that none is known already."""


async def prices_of(runner: Runner, file: Path) -> Prices:
    """Read prices, or measure and write them where there are none: delete the file on another machine."""
    if file.exists():
        return Prices(**json.loads(file.read_text(encoding="utf-8")))
    prices = await measure(runner)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(asdict(prices), indent=2) + "\n", encoding="utf-8")
    return prices


async def measure(runner: Runner) -> Prices:
    """Time small and whole batches of one step and of all; the best of a few, since others only slow a machine down."""
    steps = runner.oracle.steps
    await _timed(runner, _FEW, steps)  # the subject is prepared, and everything is warm
    short = {count: await _timed(runner, count, 1) for count in (_FEW, DEFAULT_MICRO_BATCH)}
    whole = {count: await _timed(runner, count, steps) for count in (_FEW, DEFAULT_MICRO_BATCH)}
    call = {count: (whole[count] - short[count]) / (steps - 1) for count in short}
    call_s, evaluation_s = _line(call)
    batch_s, picture_s = _line({count: short[count] - call[count] for count in short})
    return Prices(evaluation_s, picture_s, call_s, batch_s)


def _line(seconds: dict[int, float]) -> tuple[float, float]:
    """Constant and slope of a line through two points, neither below 0."""
    (few, few_s), (many, many_s) = seconds.items()
    slope = max(0.0, many_s - few_s) / (many - few)
    return round(max(0.0, few_s - few * slope), 6), round(slope, 6)


async def _timed(runner: Runner, count: int, steps: int) -> float:
    recipes = [Recipe.from_seed(_FIRST_SEED + n) for n in range(count)]
    weighted = runner.yardstick.objective.weights.normalized
    return min([await runner.oracle.seconds(FIRST_TUNED, recipes, steps, weighted) for _ in range(_REPEATS)])
