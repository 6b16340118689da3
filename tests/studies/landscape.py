"""A landscape whose every figure is known: potentials are one coordinate of the noise, through a normal's curve."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from eacps.scoring.score_maps import Scale, ScoreMap, ScoreMaps
from eacps.search.recipe import Recipe
from studies.parts import Bench
from studies.pool import SCORES, Scores
from studies.potentials import Yardstick

STEPS = 8
MEAN, SD = 0.5, 0.08
NAMES = ("identity", "realism", "prompt")


def height(task: int, recipe: Recipe, stream: int = 0) -> float:
    """A standard normal; noises that correlate by c have heights that do, a restart and its parent by the step."""

    def drawn(seed: int) -> float:
        return float(np.random.default_rng([task, stream, seed]).standard_normal())

    found = sum(c * drawn(seed) for seed, c in recipe.terms)
    for one in recipe.restarts:
        share = one.step / STEPS
        found = share * found + (1 - share**2) ** 0.5 * drawn(one.seed)
    return float(found)


def drafted(task: int, recipe: Recipe, steps: int) -> float:
    """The height as a schedule of so many steps shows it: drafts correlate with it by the root of their share."""
    share = (steps / STEPS) ** 0.5
    return share * height(task, recipe) + (1 - share**2) ** 0.5 * height(task, recipe, stream=steps)


def bench(task: int) -> Bench:
    """All three scorers give the same score, the held-out one half of it; pictures are gray, and as bright."""

    async def scoreboard(recipes: Sequence[Recipe], steps: int) -> list[Scores]:
        return [_scores(drafted(task, recipe, steps)) for recipe in recipes]

    async def pictures(recipes: Sequence[Recipe]) -> NDArray[np.uint8]:
        levels = [255 * _scores(height(task, recipe))["identity"] for recipe in recipes]
        return np.broadcast_to(np.array(levels, np.uint8)[:, None, None, None], (len(levels), 128, 128, 3)).copy()

    maps = dict.fromkeys(NAMES, ScoreMap(Scale.LINEAR, 0.0, 1.0))
    return Bench(task, scoreboard, pictures, Yardstick(maps=ScoreMaps(maps)), STEPS)


def _scores(standard: float) -> Scores:
    value = min(1.0, max(0.0, MEAN + SD * standard))
    return {**dict.fromkeys(SCORES, value), "identity_heldout": value / 2, "truth_error": 10 - value}
