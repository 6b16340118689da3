"""Driving a strategy over one task: ask, look up or make the pictures, tell; and what came of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from eacps.search.context import SearchContext
from eacps.search.recipe import Recipe
from eacps.search.spec import SearchSpec
from studies.costs import Work
from studies.pool import Scores
from studies.potentials import Yardstick
from studies.rivals import factory
from studies.rivals.drafts import DraftCohort
from studies.rivals.settings import RivalSpec


class Scoreboard(Protocol):
    """Scores one task's pictures."""

    def __call__(self, recipes: Sequence[Recipe], steps: int) -> Awaitable[list[Scores]]:
        """Return the raw scores of these recipes' pictures by a schedule of so many steps, in order."""


class PictureMaker(Protocol):
    """Makes one task's pictures."""

    def __call__(self, recipes: Sequence[Recipe]) -> Awaitable[NDArray[np.uint8]]:
        """Return these recipes' pictures by the full schedule, uint8 [N, H, W, 3]."""


Noise = Callable[[Recipe, int], float]
"""By how much a verifier's reading of a picture is off; the same whenever the same picture is read."""


@dataclass(frozen=True)
class Found:
    """What a search had found when it had spent so much.

    Attributes:
        work: Done so far.
        recipe: Of the candidate that the search held to be the best.
        potential: Its true potential.
        scores: Its raw scores.
    """

    work: Work
    recipe: Recipe
    potential: float
    scores: Scores


async def search(
    scoreboard: Scoreboard,
    spec: SearchSpec | RivalSpec,
    yardstick: Yardstick,
    *,
    steps: int,
    noise: Noise | None = None,
) -> list[Found]:
    """Run one search.

    Args:
        scoreboard: Of the task.
        spec: Settings.
        yardstick: What is climbed.
        steps: Of the full schedule.
        noise: Of the verifier whose potentials the search gets.

    Returns:
        The best so far after every cohort from the first that is no draft's; the last entry is the result.
    """
    strategy = factory.create(spec, SearchContext(steps, yardstick.objective, yardstick.calibration))
    finals: dict[str, Scores] = {}
    drafted: set[str] = set()
    progress: list[Found] = []
    work = Work()
    while not strategy.done and (cohort := strategy.ask()) is not None:
        drafts = cohort.steps if isinstance(cohort, DraftCohort) else None
        scores = await scoreboard([one.recipe for one in cohort.candidates], drafts or steps)
        seen = {one.id: score for one, score in zip(cohort.candidates, scores, strict=True)}
        if drafts is not None:
            work = work.plus([drafts] * len(seen))
            drafted |= cohort.ids
        else:
            work = work.plus([one.evaluations(steps) - (one.id in drafted) for one in cohort.candidates])
            finals |= seen
        errors = {one.id: noise(one.recipe, drafts or steps) if noise else 0.0 for one in cohort.candidates}
        strategy.tell({name: yardstick.potential(score, error=errors[name]) for name, score in seen.items()})
        if best := strategy.best():
            found = finals[best.candidate.id]
            progress.append(Found(work, best.candidate.recipe, yardstick.potential(found).value, found))
    return progress


def gaussian_noise(sd: float, seed: int) -> Noise:
    """Errors of a normal distribution, drawn from the recipe and the steps."""

    def error(recipe: Recipe, steps: int) -> float:
        entropy = [seed, steps, *(int(s) for s, _ in recipe.terms), *(round(abs(c) * 1e9) for _, c in recipe.terms)]
        entropy += [number for one in recipe.restarts for number in (one.step, one.seed)]
        return sd * float(np.random.default_rng(entropy).standard_normal())

    return error
