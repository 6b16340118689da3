"""The cross-entropy method over the initial noise: spectral evolution search (SES, arXiv 2602.03208) without wavelets.

After the public code (github.com/modelscope/DiffSynth-Studio, `diffsynth/utils/ses`): three populations of ten are
drawn from a normal distribution, the first from N(0, I). It is fitted anew to the best of all noises so far, half as
many as a population has, with the unbiased variance and without smoothing.

Departures: SES searches the coarse wavelet band alone; a recipe combines whole noises, so that the whole noise is
searched here. Instead of a variance for each coordinate there is one for all, and draws are put on the sphere of
N(0, I).
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
        elites = self._elites()
        recipes = [candidate.recipe for candidate in elites]
        weights = [1 / len(recipes)] * len(recipes)
        mean, length = combine(recipes, weights), _norm(recipes, weights)
        deviation = self._deviation(length, len(recipes))
        draws = [combine((mean, Recipe.from_seed(self._fresh_seed())), (length, deviation)) for _ in range(count)]
        return [self._child(recipe, index, elites) for index, recipe in enumerate(draws)]

    def _elites(self) -> tuple[Candidate, ...]:
        scored = sorted(self._scored(), key=lambda one: -one[1])
        kept = max(2, round(self._settings.elite_share * self._count(0)))
        return tuple(candidate for candidate, _ in scored[:kept])

    @staticmethod
    def _deviation(length: float, count: int) -> float:
        """By coordinate, of noises of unit variance around their mean, which has this length; 1 for a single one."""
        return 1.0 if count == 1 else math.sqrt(max(0.0, 1.0 - length**2) * count / (count - 1))


def _norm(recipes: list[Recipe], weights: list[float]) -> float:
    """Length of a weighted sum of noises, 1 being that of one noise."""
    pairs = [
        (a, b, w * v) for a, w in zip(recipes, weights, strict=True) for b, v in zip(recipes, weights, strict=True)
    ]
    return math.sqrt(max(0.0, math.fsum(weight * correlation(a, b) for a, b, weight in pairs)))
