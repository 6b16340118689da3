"""Driving a strategy over one task: ask, look up or make the pictures, tell; and what came of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from eacps.search import factory
from eacps.search.cohort import Outcome, Trial, TrialKey
from eacps.search.context import Context
from eacps.search.recipe import Recipe
from eacps.search.spec import SearchSpec
from studies.pool import Scores
from studies.potentials import Yardstick

Scoreboard = Callable[[Sequence[Recipe], int], Awaitable[list[Scores]]]
"""Raw scores of one task's pictures: of these recipes, after so many steps, in their order."""
Noise = Callable[[Recipe, int], float]
"""By how much a verifier's reading of a picture is off; the same whenever the same picture is read."""


@dataclass(frozen=True)
class Found:
    """What a search had found when it had spent so much.

    Attributes:
        steps: Denoising steps spent, over all trajectories.
        potential: True potential of the candidate that the search held to be the best.
        scores: Its raw scores.
    """

    steps: int
    potential: float
    scores: Scores


async def search(
    scoreboard: Scoreboard, spec: SearchSpec, yardstick: Yardstick, *, steps: int, noise: Noise | None = None
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
    strategy = factory.create(spec, Context(steps, yardstick.objective, yardstick.calibration))
    seen: dict[TrialKey, Scores] = {}
    course: list[Found] = []
    while not strategy.done and (cohort := strategy.ask()) is not None:
        stop = cohort.trials[0].stop_step
        scores = await scoreboard([trial.candidate.recipe for trial in cohort.trials], stop)
        seen |= {trial.key: one for trial, one in zip(cohort.trials, scores, strict=True)}
        strategy.tell({trial.key: _told(trial, seen, yardstick, noise) for trial in cohort.trials})
        if best := strategy.best():
            found = seen[TrialKey(best.candidate.id, steps)]
            course.append(Found(spent_steps(seen), yardstick.potential(found).value, found))
    return course


def spent_steps(seen: Mapping[TrialKey, object]) -> int:
    """Count the denoising steps of all trials: a candidate costs as many as its furthest stop."""
    furthest: dict[str, int] = {}
    for key in seen:
        furthest[key.candidate_id] = max(key.stop_step, furthest.get(key.candidate_id, 0))
    return sum(furthest.values())


def gaussian_noise(sd: float, seed: int) -> Noise:
    """Errors of a normal distribution, drawn from the recipe and the step."""

    def error(recipe: Recipe, stop: int) -> float:
        entropy = [seed, stop, *(int(s) for s, _ in recipe.terms), *(round(abs(c) * 1e9) for _, c in recipe.terms)]
        return sd * float(np.random.default_rng(entropy).standard_normal())

    return error


def _told(trial: Trial, seen: Mapping[TrialKey, Scores], yardstick: Yardstick, noise: Noise | None) -> Outcome:
    error = 0.0 if noise is None else noise(trial.candidate.recipe, trial.stop_step)
    return yardstick.potential(seen[trial.key], error=error)
