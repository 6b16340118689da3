"""Evolutionary search over noise and denoising states (EvoSearch, arXiv 2505.17618).

From the paper: a population is evolved along the denoising trajectory. Elites are kept, parents are drawn by
tournament, and mutation is by Gaussian noise: of the initial noise as a spherical move, of intermediate states by noise
of their level, so that later generations begin later and cost less. Our reading:

- The first generation is fresh seeds; each later one begins at a later step of the schedule, spread evenly. An
  intermediate state is a finished picture noised to the level of that step, which is where its mutants begin.
- Every generation costs the same, so that later ones are larger.
- Sizes of the elite and of a tournament are ours.
"""

from __future__ import annotations

import math
from typing import ClassVar

from eacps.search.cohort import Candidate, Move
from eacps.search.recipe import MAX_RESTARTS, restart
from studies.rivals.rival import Rival, Scored
from studies.rivals.settings import EvolutionSpec, RivalSpec


class EvolutionarySearch(Rival[EvolutionSpec]):
    """See the module."""

    kind: ClassVar[type[RivalSpec]] = EvolutionSpec

    def _round(self, count: int) -> list[Candidate]:
        step = min(self.steps - 1, max(1, round(self.steps * self._generation / self._rounds)))
        elite = self._elite()
        return [
            self._mutant(self._parent(elite), step, index) for index in range(count * self.steps // (self.steps - step))
        ]

    def _elite(self) -> list[Scored]:
        """The best of all generations."""
        scored = sorted(self._scored(), key=lambda one: -one[1])
        return scored[: max(1, math.ceil(self._settings.elite_share * len(scored)))]

    def _parent(self, elite: list[Scored]) -> Candidate:
        """The best of a few of the elite."""
        drawn = self._rng.integers(len(elite), size=self._settings.tournament)
        return elite[int(drawn.min())][0]

    def _mutant(self, parent: Candidate, step: int, index: int) -> Candidate:
        if len(parent.recipe.restarts) == MAX_RESTARTS:
            return self._explore(1, start=index)[0]
        recipe = restart(parent.recipe, step=step, seed=self._fresh_seed())
        return Candidate(self._id(index), recipe, (parent.id,), self._generation, Move.RESTART)
