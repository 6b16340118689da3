"""A landscape whose every figure is known: potentials are one coordinate of the noise, through a normal's curve."""

from collections.abc import Sequence

import numpy as np

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


def previewed(task: int, recipe: Recipe, stop: int, *, draft: bool = False) -> float:
    """The height as seen early: previews correlate with it by the share of the steps, drafts by its root."""
    share = (stop / STEPS) ** (0.5 if draft else 1.0)
    stop += 100 * draft
    return share * height(task, recipe) + (1 - share**2) ** 0.5 * height(task, recipe, stream=stop)


def bench(task: int) -> Bench:
    """All three scorers give the same score, the held-out one half of it; nothing is made."""

    async def scoreboard(recipes: Sequence[Recipe], stop: int, *, draft: bool = False) -> list[Scores]:
        return [_scores(previewed(task, recipe, stop, draft=draft)) for recipe in recipes]

    maps = dict.fromkeys(NAMES, ScoreMap(Scale.LINEAR, 0.0, 1.0))
    return Bench(task, scoreboard, Yardstick(maps=ScoreMaps(maps)), STEPS)


def _scores(standard: float) -> Scores:
    value = min(1.0, max(0.0, MEAN + SD * standard))
    return {**dict.fromkeys(SCORES, value), "identity_heldout": value / 2, "truth_error": 10 - value}
