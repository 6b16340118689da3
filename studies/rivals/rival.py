"""What the rivals share: rounds of equal size, and a state that follows from the history, so that snapshots hold it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Final, Generic, TypeVar

import numpy as np

from eacps.search.cohort import Candidate, Move
from eacps.search.context import SearchContext
from eacps.search.potential import Potential
from eacps.search.recipe import Recipe
from eacps.search.strategy import Strategy
from studies.rivals.settings import RivalSpec

Settings = TypeVar("Settings", bound=RivalSpec)
Scored = tuple[Candidate, float]
_LEAST_ROUND: Final = 4
"""Candidates of a round at least: of fewer there is nothing to select."""


class Rival(Strategy, Generic[Settings]):
    """A search in rounds; the first one is fresh seeds unless a rival says otherwise.

    Args:
        spec: Settings.
        context: What the search is about.
        rng: Source of all randomness, on PCG64.
    """

    kind: ClassVar[type[RivalSpec]]
    """Of its settings."""

    def __init__(self, spec: Settings, context: SearchContext, rng: np.random.Generator) -> None:
        super().__init__(spec, context, rng)
        self._settings = spec

    @classmethod
    def _spec_from(cls, data: Mapping[str, Any]) -> Any:
        return cls.kind.from_dict(data)

    def _finished(self) -> bool:
        return self._generation >= self._rounds

    @property
    def _rounds(self) -> int:
        return min(self._settings.rounds, max(1, self._settings.candidates // _LEAST_ROUND))

    def _propose(self) -> list[Candidate]:
        """Spread the candidates evenly over the rounds; where nothing was scored yet, propose fresh seeds."""
        count = self._count(self._generation)
        return self._round(count) if self._generation and self._scored() else self._first_round(count)

    def _count(self, generation: int) -> int:
        """A round's share of the candidates."""
        candidates = self._settings.candidates
        return candidates * (generation + 1) // self._rounds - candidates * generation // self._rounds

    def _first_round(self, count: int) -> list[Candidate]:
        return self._explore(count)

    @abstractmethod
    def _round(self, count: int) -> list[Candidate]:
        """Propose a later round, once something was scored."""

    def _scored(self, generation: int | None = None) -> list[Scored]:
        """Return candidates with their potentials, in order of proposal: of one round, or of all."""
        return [
            (one.candidate, one.outcome.value)
            for one in self._history
            if isinstance(one.outcome, Potential) and generation in (None, one.candidate.generation)
        ]

    def _child(self, recipe: Recipe, index: int, parents: tuple[Candidate, ...]) -> Candidate:
        move = Move.SPHERICAL if len(parents) == 1 else Move.CROSSOVER
        return Candidate(self._id(index), recipe, tuple(parent.id for parent in parents), self._generation, move)
