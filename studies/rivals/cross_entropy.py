"""The cross-entropy method over the initial noise: spectral evolution search (SES, arXiv 2602.03208) without wavelets.

From its repository's description: the noise is split by a wavelet transform, only the coarse coefficients are searched,
by the cross-entropy method: sample, score, refit the sampling distribution to the best. Our reading, in the whole space
of noises:

- The distribution is a normal one with a mean and one variance for all coordinates: of the few elites that budgets as
  ours have, a variance for each coordinate could not be told.
- Noises of unit variance whose mean has the squared norm m have the variance 1 - m around it, by coordinate. So a draw
  ``mean + sqrt(1 - m) eps`` is again of unit variance; it is put on the sphere exactly.
- Mean and variance follow the elites of the last round with smoothing, as is usual. Share of elites and smoothing are
  ours.
"""

from __future__ import annotations

import math
from typing import ClassVar

from eacps.search.cohort import Candidate
from eacps.search.recipe import Recipe, combine, correlation
from studies.rivals.rival import Rival
from studies.rivals.settings import CrossEntropySpec, RivalSpec


class CrossEntropySearch(Rival[CrossEntropySpec]):
    """See the module."""

    kind: ClassVar[type[RivalSpec]] = CrossEntropySpec

    def _round(self, count: int) -> list[Candidate]:
        mean, length, deviation = None, 0.0, 1.0
        elites: tuple[Candidate, ...] = ()
        for generation in range(self._generation):
            elites = self._elites(generation) or elites
            if elites:
                mean, length, deviation = self._refitted(mean, length, deviation, elites)
        assert mean is not None, "a later round is proposed only once something was scored"
        draws = [
            combine((mean, Recipe.from_seed(self._fresh_seed())), (length, max(deviation, 1e-3))) for _ in range(count)
        ]
        return [self._child(recipe, index, elites) for index, recipe in enumerate(draws)]

    def _elites(self, generation: int) -> tuple[Candidate, ...]:
        scored = sorted(self._scored(generation), key=lambda one: -one[1])
        kept = max(2, round(self._settings.elite_share * len(scored)))
        return tuple(candidate for candidate, _ in scored[:kept])

    def _refitted(
        self, mean: Recipe | None, length: float, deviation: float, elites: tuple[Candidate, ...]
    ) -> tuple[Recipe, float, float]:
        """Direction and length of the mean, and the deviation around it, after one round."""
        recipes = [candidate.recipe for candidate in elites]
        new = self._settings.smoothing if mean is not None else 1.0
        weights = [new / len(recipes)] * len(recipes)
        norm = _norm(recipes, [1 / len(recipes)] * len(recipes))
        variance = new * max(0.0, 1.0 - norm**2) + (1 - new) * deviation**2
        if mean is not None:
            recipes, weights = [*recipes, mean], [*weights, (1 - new) * length]
        return combine(recipes, weights), _norm(recipes, weights), math.sqrt(variance)


def _norm(recipes: list[Recipe], weights: list[float]) -> float:
    """Length of a weighted sum of noises, 1 being that of one noise."""
    pairs = [
        (a, b, w * v) for a, w in zip(recipes, weights, strict=True) for b, v in zip(recipes, weights, strict=True)
    ]
    return math.sqrt(max(0.0, math.fsum(weight * correlation(a, b) for a, b, weight in pairs)))
