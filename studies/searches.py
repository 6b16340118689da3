"""Driving a strategy over one task: ask, look up or make the pictures, tell; and what came of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from eacps.search.cohort import Outcome, Trial, TrialKey, evaluations_of
from eacps.search.context import SearchContext
from eacps.search.recipe import Recipe
from eacps.search.spec import SearchSpec
from studies.pool import Scores
from studies.potentials import Yardstick
from studies.rivals import factory
from studies.rivals.settings import RivalSpec


class Scoreboard(Protocol):
    """Scores one task's pictures."""

    def __call__(self, recipes: Sequence[Recipe], stop: int, *, draft: bool = False) -> Awaitable[list[Scores]]:
        """Return the raw scores of these recipes' pictures after ``stop`` steps, or of drafts of so many, in order."""


Noise = Callable[[Recipe, int], float]
"""By how much a verifier's reading of a picture is off; the same whenever the same picture is read."""


@dataclass(frozen=True)
class Found:
    """What a search had found when it had spent so much.

    Attributes:
        steps: Denoiser evaluations spent, over all trajectories.
        pictures: Decoded and scored, previews and drafts included.
        potential: True potential of the candidate that the search held to be the best.
        scores: Its raw scores.
    """

    steps: int
    pictures: int
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
        noise: Of the verifier that the search is told of.

    Returns:
        The best so far after every cohort from the first with a final picture; the last entry is the result.
    """
    strategy = factory.create(spec, SearchContext(steps, yardstick.objective, yardstick.calibration))
    seen: dict[TrialKey, Scores] = {}
    trials: list[Trial] = []
    course: list[Found] = []
    while not strategy.done and (cohort := strategy.ask()) is not None:
        stop, draft = cohort.trials[0].stop_step, cohort.trials[0].draft
        scores = await scoreboard([trial.candidate.recipe for trial in cohort.trials], stop, draft=draft)
        trials += cohort.trials
        seen |= {trial.key: one for trial, one in zip(cohort.trials, scores, strict=True)}
        strategy.tell({trial.key: _told(trial, seen, yardstick, noise) for trial in cohort.trials})
        if best := strategy.best():
            found = seen[TrialKey(best.candidate.id, steps)]
            course.append(Found(evaluations_of(trials), len(seen), yardstick.potential(found).value, found))
    return course


def gaussian_noise(sd: float, seed: int) -> Noise:
    """Errors of a normal distribution, drawn from the recipe and the step."""

    def error(recipe: Recipe, stop: int) -> float:
        entropy = [seed, stop, *(int(s) for s, _ in recipe.terms), *(round(abs(c) * 1e9) for _, c in recipe.terms)]
        entropy += [number for one in recipe.restarts for number in (one.step, one.seed)]
        return sd * float(np.random.default_rng(entropy).standard_normal())

    return error


def _told(trial: Trial, seen: Mapping[TrialKey, Scores], yardstick: Yardstick, noise: Noise | None) -> Outcome:
    error = 0.0 if noise is None else noise(trial.candidate.recipe, trial.stop_step)
    return yardstick.potential(seen[trial.key], error=error)
