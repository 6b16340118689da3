"""Evolutionary search over noise and denoising states (EvoSearch, arXiv 2505.17618).

After the authors' public code (github.com/tinnerhrhe/EvoSearch-codes), with its populations of 42, 26, 26, 26 and 30
for a budget of 100 trajectories: the first is fresh seeds, the others begin at the steps 0, 20, 30 and 40 of 50. At
step 0 the initial noise is turned by a mutation rate of 0.2, at later steps Gaussian noise is added to a state of that
step. The parent of each child is the best of a random share of all candidates so far.

Departures: a recipe knows no states in the middle of a trajectory, so that later generations noise the parent's
finished picture to the level of the step, which takes them further from it. Elites are not run again, which saves
evaluations; the last generation is larger by what is left.
"""

from __future__ import annotations

from typing import ClassVar, Final

from eacps.search.cohort import Candidate, Move
from eacps.search.recipe import perturb, restart
from studies.rivals.rival import Rival
from studies.rivals.settings import EvolutionSpec, RivalSpec

_POPULATIONS: Final = (0.42, 0.26, 0.26, 0.26, 0.30)
"""Candidates of each generation, as shares of the budget in trajectories."""
_STARTS: Final = (0.0, 0.0, 0.4, 0.6, 0.8)
"""Where trajectories of each generation begin, as shares of the schedule."""


class EvolutionarySearch(Rival[EvolutionSpec]):
    """See the module."""

    kind: ClassVar[type[RivalSpec]] = EvolutionSpec

    @property
    def _rounds(self) -> int:
        return min(len(_POPULATIONS), self._settings.candidates)

    def _count(self, generation: int) -> int:
        return max(1, round(_POPULATIONS[generation] * self._settings.candidates))

    def _finished(self) -> bool:
        return super()._finished() or self._affordable() < 1

    def _first_round(self, count: int) -> list[Candidate]:
        return self._explore(min(count, self._affordable()))

    def _round(self, count: int) -> list[Candidate]:
        last = self._generation == self._rounds - 1
        affordable, step = self._affordable(), self._step()
        return [self._mutant(step, index) for index in range(affordable if last else min(count, affordable))]

    def _step(self) -> int:
        """Where this generation begins: with the noise in the first two, and where nothing was scored yet."""
        start = _STARTS[self._generation] if self._scored() else 0.0
        return min(self.steps - 1, max(1, round(start * self.steps))) if start else 0

    def _affordable(self) -> int:
        """How many candidates of this generation the rest of the budget pays for."""
        spent = sum(one.candidate.evaluations(self.steps) for one in self._history)
        return (self._settings.candidates * self.steps - spent) // (self.steps - self._step())

    def _mutant(self, step: int, index: int) -> Candidate:
        parent = self._parent()
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
