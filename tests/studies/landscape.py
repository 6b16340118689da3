"""A landscape whose every figure is known: potentials are one coordinate of the noise, through a normal's curve."""

from collections.abc import Sequence

import numpy as np

from eacps.search.calibration import Calibration, Scale, ScoreMap
from eacps.search.recipe import Recipe
from studies.parts import Bench
from studies.pool import SCORES, Scores
from studies.potentials import Yardstick

STEPS = 8
MEAN, SD = 0.5, 0.08
NAMES = ("identity", "realism", "prompt")


def height(task: int, recipe: Recipe, stream: int = 0) -> float:
    """A standard normal; recipes whose noises correlate by c have heights that correlate by c."""
    drawn = (np.random.default_rng([task, stream, seed]).standard_normal() for seed in recipe.seeds)
    return float(sum(c * z for (_, c), z in zip(recipe.terms, drawn, strict=True)))


def previewed(task: int, recipe: Recipe, stop: int) -> float:
    """The height as a preview shows it: correlates with the final one by the share of the steps."""
    share = stop / STEPS
    return share * height(task, recipe) + (1 - share**2) ** 0.5 * height(task, recipe, stream=stop)


def bench(task: int) -> Bench:
    """All three scorers give the same score, the held-out one half of it; nothing is made."""

    async def scoreboard(recipes: Sequence[Recipe], stop: int) -> list[Scores]:
        return [_scores(previewed(task, recipe, stop)) for recipe in recipes]

    maps = dict.fromkeys(NAMES, ScoreMap(Scale.LINEAR, 0.0, 1.0))
    return Bench(task, scoreboard, Yardstick(Calibration(maps=maps)), STEPS)


def _scores(standard: float) -> Scores:
    value = min(1.0, max(0.0, MEAN + SD * standard))
    return {**dict.fromkeys(SCORES, value), "identity_heldout": value / 2, "truth_error": 10 - value}
