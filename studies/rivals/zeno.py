"""Zeroth-order noise optimization (ZeNO, arXiv 2605.11347).

From the paper's abstract: optimizing the noise is a path-integral control problem that is estimated from rewards alone;
with an Ornstein-Uhlenbeck reference process the update is connected to Langevin dynamics that targets the distribution
tilted by the reward. Samples of a round, temperature and step were not at hand. Our reading:

- One noise is optimized. Each round draws from the reference process around it: ``cos(a) z + sin(a) eps``, which keeps
  N(0, I).
- Path-integral control weighs the draws by ``exp(reward / temperature)``, normalized; the noise moves to their weighted
  mean, put back on the sphere of N(0, I). The temperature is a share of the round's own scatter of rewards, so that no
  scale of rewards must be known.
- The noise that is optimized is not itself evaluated: it is seen in the draws around it. The first round is the first
  seed, and draws around it.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from eacps.search.cohort import Candidate
from eacps.search.recipe import Recipe, combine, perturb
from studies.rivals.rival import Rival, Scored
from studies.rivals.settings import RivalSpec, ZenoSpec


class ZerothOrderNoiseOptimization(Rival[ZenoSpec]):
    """See the module."""

    kind: ClassVar[type[RivalSpec]] = ZenoSpec

    def _first_round(self, count: int) -> list[Candidate]:
        if self._generation:  # nothing was scored yet
            return self._explore(count)
        first = self._explore(1)
        return first + self._draws(first[0].recipe, count - 1, tuple(first), start=1)

    def _round(self, count: int) -> list[Candidate]:
        last = max(candidate.generation for candidate, _ in self._scored())
        scored = self._scored(last)
        return self._draws(self._moved(scored), count, tuple(candidate for candidate, _ in scored), start=0)

    def _moved(self, scored: list[Scored]) -> Recipe:
        """The weighted mean of a round's draws, over its norm."""
        return combine([candidate.recipe for candidate, _ in scored], self._weights(scored).tolist())

    def _weights(self, scored: list[Scored]) -> NDArray[np.float64]:
        values = np.array([value for _, value in scored])
        scale = max(float(values.std()) * self._settings.temperature, 1e-9)
        weights = np.exp((values - values.max()) / scale)
        return np.asarray(weights / weights.sum())

    def _draws(self, around: Recipe, count: int, parents: tuple[Candidate, ...], *, start: int) -> list[Candidate]:
        return [
            self._child(perturb(around, angle=self._settings.angle, seed=self._fresh_seed()), start + index, parents)
            for index in range(count)
        ]
