"""The strategies that are compared, at any budget, with settings that were fixed on other tasks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from eacps.search.calibration import Calibration
from eacps.search.pruning import Pruning, PruningMode, planned
from eacps.search.spec import AdaptiveSpec, BestOfNSpec, EacpsSpec, LocalMove, SearchSpec, SeedOffset, SphericalMove

BUDGETS: Final = (8, 16, 32, 64)
"""In whole trajectories: the price of a search in denoiser evaluations, over the steps of one."""
PRUNED: Final = "_pruned"
"""How the names of those end that prune."""
_OFF = Pruning(PruningMode.OFF)
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


Planned = Callable[[int], Pruning]
"""How a search of a budget prunes, as the checkpoint's calibration expects it to be best."""


def planner(calibration: Calibration, *, steps: int) -> Planned:
    """Plan by how previews correlate with finals, whatever came of it when it was tried."""

    def plan(budget: int) -> Pruning:
        found = planned(steps=steps, trajectories=budget, calibration=calibration)
        rungs = tuple((rung.stop_step / steps, rung.kept) for rung in found.rungs)
        return Pruning(PruningMode.FIXED, rungs) if rungs else _OFF

    return plan


def plain_contenders() -> tuple[Contender, ...]:
    """Give those of `pruned_contenders` without pruning, in the same order."""
    return (
        Contender("adaptive", "adaptive", lambda n, seed: AdaptiveSpec(seed, n)),
        Contender("best_of_n", "best-of-N", lambda n, seed: BestOfNSpec(seed, n, pruning=_OFF)),
    )


def pruned_contenders(plan: Planned) -> tuple[Contender, ...]:
    """Give those that prune."""
    return (
        Contender(f"adaptive{PRUNED}", "adaptive, pruned", lambda n, seed: AdaptiveSpec(seed, n, pruning=plan(n))),
        Contender(f"best_of_n{PRUNED}", "best-of-N, pruned", lambda n, seed: BestOfNSpec(seed, n, pruning=plan(n))),
    )


def contenders(angle: float, plan: Planned) -> tuple[Contender, ...]:
    """Give all of them.

    Args:
        angle: Of the fixed spherical moves, in radians.
        plan: How those that prune do it.
    """
    fixed = SphericalMove(angle, decay=1.0)
    return (
        Contender("best_of_n", "best-of-N", lambda n, seed: BestOfNSpec(seed, n, pruning=_OFF)),
        Contender("seed_offset", "EACPS, seed offset", lambda n, seed: two_rounds(n, seed, SeedOffset())),
        Contender("fixed", f"EACPS, fixed at {angle:g} rad", lambda n, seed: two_rounds(n, seed, fixed)),
        Contender("adaptive", "adaptive", lambda n, seed: AdaptiveSpec(seed, n)),
        *pruned_contenders(plan),
    )
