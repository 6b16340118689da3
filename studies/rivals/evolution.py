"""Evolutionary search over noise and denoising states (EvoSearch, arXiv 2505.17618).

After the authors' public code (github.com/tinnerhrhe/EvoSearch-codes): a population evolves along the denoising
trajectory, at the steps 0, 20, 30 and 40 of 50. At step 0 the initial noise is turned by a mutation rate of 0.2, at
later steps Gaussian noise is added to a state of that step. The parent of each child is the best of a random share of
all candidates so far.

Departures: a recipe knows no states in the middle of a trajectory, so that later generations noise the parent's
finished picture to the level of the step, which takes them further from it. Elites are not run again, which only saves.
All generations cost the same, so that later ones are larger.
"""

from __future__ import annotations

from typing import ClassVar, Final

from eacps.search.cohort import Candidate, Move
from eacps.search.recipe import MAX_RESTARTS, perturb, restart
from studies.rivals.rival import Rival
from studies.rivals.settings import EvolutionSpec, RivalSpec

_FIRST_RESTART: Final = 0.4
_LAST_RESTART: Final = 0.8
"""Shares of the schedule after which the generations that mutate states begin, spread evenly."""


class EvolutionarySearch(Rival[EvolutionSpec]):
    """See the module."""

    kind: ClassVar[type[RivalSpec]] = EvolutionSpec

    def _round(self, count: int) -> list[Candidate]:
        step = self._step()
        steps = count * self.steps + self._unspent()
        return [self._mutant(step, index) for index in range(max(1, steps // (self.steps - step)))]

    def _step(self) -> int:
        """Where this generation begins: with the noise at first, then at later and later steps."""
        later = self._rounds - 2  # generations that mutate states
        if self._generation < 2:
            return 0
        share = (self._generation - 2) / max(1, later - 1)
        step = round(self.steps * (_FIRST_RESTART + share * (_LAST_RESTART - _FIRST_RESTART)))
        return min(self.steps - 1, max(1, step))

    def _unspent(self) -> int:
        """Steps that earlier generations left of their share."""
        due = sum(self._count(generation) for generation in range(self._generation))
        return due * self.steps - sum(one.candidate.evaluations(self.steps) for one in self._history)

    def _mutant(self, step: int, index: int) -> Candidate:
        parent = self._parent()
        if step and len(parent.recipe.restarts) == MAX_RESTARTS:
            return self._explore(1, start=index)[0]
        if step:
            recipe, move = restart(parent.recipe, step=step, seed=self._fresh_seed()), Move.RESTART
        else:
            recipe, move = perturb(parent.recipe, angle=self._settings.angle, seed=self._fresh_seed()), Move.SPHERICAL
        return Candidate(self._id(index), recipe, (parent.id,), self._generation, move)

    def _parent(self) -> Candidate:
        """The best of a random share of all candidates."""
        scored = self._scored()
        count = max(1, int(self._settings.tournament_share * len(scored)))
        drawn = self._rng.choice(len(scored), size=count, replace=False)
        return max((scored[int(index)] for index in drawn), key=lambda one: one[1])[0]
