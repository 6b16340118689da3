"""The strategies that are compared, at any budget, with settings that were fixed on other tasks."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from eacps.search.calibration import Calibration
from eacps.search.pruning import Pruning, PruningMode, planned
from eacps.search.spec import AdaptiveSpec, BestOfNSpec, EacpsSpec, LocalMove, SearchSpec, SeedOffset, SphericalMove
from studies.rivals.settings import CrossEntropySpec, EvolutionSpec, RivalSpec, TrustRegionSpec, ZenoSpec

BUDGETS: Final = (8, 16, 32, 64)
"""In whole trajectories: the price of a search in denoiser evaluations, over the steps of one."""
PRUNED: Final = "_pruned"
"""How the names of those end that prune."""
BASELINE: Final = "best_of_n"
"""Compared with all others, and therefore always run."""
_OFF = Pruning(PruningMode.OFF)
_FAMILIES: Final = {8: (4, 2, 1), 16: (8, 2, 2), 32: (16, 2, 4), 64: (32, 4, 4)}
"""Global candidates, parents, children of each, over two local rounds: half the budget explores."""


@dataclass(frozen=True)
class Contender:
    """A strategy as it stands in tables: ``spec(budget, seed)`` makes its settings."""

    name: str
    title: str
    spec: Callable[[int, int], SearchSpec | RivalSpec]


def two_rounds(budget: int, seed: int, local: LocalMove) -> EacpsSpec:
    """EACPS as first written: explore with half of the budget, then two local rounds of equal size."""
    explored, parents, children = _FAMILIES[budget]
    return EacpsSpec(seed, explored, parents, children, rounds=2, local=local, pruning=_OFF)


Draft = tuple[float, float]
"""Steps of a draft as a share of the full schedule's, and the share of candidates that is run in full."""
Planned = Callable[[int], Pruning]
"""How a search of a budget prunes, as the checkpoint's calibration expects it to be best."""


def planner(calibration: Calibration, *, steps: int) -> Planned:
    """Plan by how previews correlate with finals, whatever came of it when it was tried."""

    def plan(budget: int) -> Pruning:
        found = planned(steps=steps, trajectories=budget, calibration=calibration)
        rungs = tuple((rung.stop_step / steps, rung.kept) for rung in found.rungs)
        return Pruning(PruningMode.FIXED, rungs) if rungs else _OFF

    return plan


def drafting(draft: Draft) -> Pruning:
    """See a round by drafts first, and run a share of it in full."""
    return Pruning(PruningMode.FIXED, (draft,), drafts=True)


def drafted_contenders(draft: Draft) -> tuple[Contender, ...]:
    """Give those that draft: the adaptive search, and best-of-N after Flash-BoN (arXiv 2607.04461).

    What is known here of that paper: with cheap drafts, best-of-N beats guided searches by wall clock. That drafts
    have a coarse schedule, of how many steps, and how many of them are run in full is our reading, tried on other
    tasks.
    """
    pruning = drafting(draft)
    return (
        Contender("adaptive_drafted", "adaptive, drafts", lambda n, seed: AdaptiveSpec(seed, n, pruning=pruning)),
        Contender(
            "best_of_n_drafted", "best-of-N, drafts (Flash-BoN)", lambda n, seed: BestOfNSpec(seed, n, pruning=pruning)
        ),
    )


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


def contenders(angle: float, plan: Planned, draft: Draft, only: Collection[str] = ()) -> tuple[Contender, ...]:
    """Give all of them, or those named and the baseline.

    Args:
        angle: Of the fixed spherical moves, in radians.
        plan: How those that prune do it.
        draft: How those that draft do it.
        only: Names; none is all.

    Raises:
        ValueError: A name is not known.
    """
    found = _all(angle, plan, draft)
    if unknown := sorted(set(only) - {one.name for one in found}):
        raise ValueError(f"no contenders: {', '.join(unknown)}; there are {', '.join(one.name for one in found)}")
    return tuple(one for one in found if not only or one.name in (*only, BASELINE))


def _all(angle: float, plan: Planned, draft: Draft) -> tuple[Contender, ...]:
    fixed = SphericalMove(angle, decay=1.0)
    return (
        Contender("best_of_n", "best-of-N", lambda n, seed: BestOfNSpec(seed, n, pruning=_OFF)),
        Contender("seed_offset", "EACPS, seed offset", lambda n, seed: two_rounds(n, seed, SeedOffset())),
        Contender("fixed", f"EACPS, fixed at {angle:g} rad", lambda n, seed: two_rounds(n, seed, fixed)),
        Contender("adaptive", "adaptive", lambda n, seed: AdaptiveSpec(seed, n, restarts=False)),
        Contender("adaptive_restarts", "adaptive, restarts", lambda n, seed: AdaptiveSpec(seed, n, restarts=True)),
        *pruned_contenders(plan),
        *drafted_contenders(draft),
        *rival_contenders(),
    )


def rival_contenders() -> tuple[Contender, ...]:
    """Give the published searches; see `studies.rivals`."""
    return (
        Contender("trust_region", "TRS", lambda n, seed: TrustRegionSpec(seed, n)),
        Contender("zeno", "ZeNO", lambda n, seed: ZenoSpec(seed, n)),
        Contender("cross_entropy", "cross-entropy (SES)", lambda n, seed: CrossEntropySpec(seed, n)),
        Contender("evolution", "EvoSearch", lambda n, seed: EvolutionSpec(seed, n)),
    )
