"""The strategies that are compared, at any budget, with settings that were fixed on other tasks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from eacps.search.pruning import Pruning, PruningMode
from eacps.search.spec import AdaptiveSpec, BestOfNSpec, EacpsSpec, LocalMove, SearchSpec, SeedOffset, SphericalMove

BUDGETS: Final = (8, 16, 32, 64)
"""In whole trajectories: the price of a search in denoiser evaluations, over the steps of one."""
_OFF, _AUTO = Pruning(PruningMode.OFF), Pruning(PruningMode.AUTO)
_FAMILIES: Final = {8: (4, 2, 1), 16: (8, 2, 2), 32: (16, 2, 4), 64: (32, 4, 4)}
"""Global candidates, parents, children of each, over two local rounds: half the budget explores."""


@dataclass(frozen=True)
class Contender:
    """A strategy as it stands in tables: ``spec(budget, seed)`` makes its settings."""

    name: str
    title: str
    spec: Callable[[int, int], SearchSpec]


def two_rounds(budget: int, seed: int, local: LocalMove) -> EacpsSpec:
    """EACPS as first written: explore with half of the budget, then two local rounds of equal size."""
    explored, parents, children = _FAMILIES[budget]
    return EacpsSpec(seed, explored, parents, children, rounds=2, local=local, pruning=_OFF)


def contenders(angle: float) -> tuple[Contender, ...]:
    """Give all of them.

    Args:
        angle: Of the fixed spherical moves, in radians.
    """
    fixed = SphericalMove(angle, decay=1.0)
    return (
        Contender("best_of_n", "best-of-N", lambda n, seed: BestOfNSpec(seed, n, pruning=_OFF)),
        Contender("seed_offset", "EACPS, seed offset", lambda n, seed: two_rounds(n, seed, SeedOffset())),
        Contender("fixed", f"EACPS, fixed at {angle:g} rad", lambda n, seed: two_rounds(n, seed, fixed)),
        Contender("adaptive", "adaptive", lambda n, seed: AdaptiveSpec(seed, n)),
        Contender("adaptive_pruned", "adaptive, pruned", lambda n, seed: AdaptiveSpec(seed, n, pruning=_AUTO)),
        Contender("best_of_n_pruned", "best-of-N, pruned", lambda n, seed: BestOfNSpec(seed, n, pruning=_AUTO)),
    )
