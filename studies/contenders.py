"""The strategies that are compared, at any budget, with settings that were fixed on other tasks."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final, NamedTuple

from eacps.search.spec import AdaptiveSpec, BestOfNSpec, EacpsSpec, LocalMove, SearchSpec, SeedOffset, SphericalMove
from studies.rivals.settings import (
    CrossEntropySpec,
    DraftedAdaptiveSpec,
    DraftedBestOfNSpec,
    EvolutionSpec,
    RivalSpec,
    TrustRegionSpec,
    ZenoSpec,
)

BUDGETS: Final = (8, 16, 32, 64)
"""In whole trajectories: the price of a search in denoiser evaluations, over the steps of one."""
BASELINE: Final = "best_of_n"
"""Compared with all others, and therefore always run."""
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
    return EacpsSpec(seed, explored, parents, children, rounds=2, local=local)


class Draft(NamedTuple):
    """How drafts are made; see `studies.rivals.settings.DraftedSpec`."""

    steps_share: float
    kept_share: float
    correlation: float


def drafted_contenders(draft: Draft) -> tuple[Contender, ...]:
    """Return those that draft: the adaptive search, and best-of-N after Flash-BoN."""
    settings = draft._asdict()
    return (
        Contender("adaptive_drafted", "adaptive, drafts", lambda n, seed: DraftedAdaptiveSpec(seed, n, **settings)),
        Contender(
            "adaptive_drafted_restarts",
            "adaptive, drafts and restarts",
            lambda n, seed: DraftedAdaptiveSpec(seed, n, **settings, restarts=True),
        ),
        Contender(
            "best_of_n_drafted",
            "best-of-N, drafts (Flash-BoN)",
            lambda n, seed: DraftedBestOfNSpec(seed, n, **settings),
        ),
    )


def contenders(angle: float, draft: Draft, only: Collection[str] = ()) -> tuple[Contender, ...]:
    """Return all of them, or those named and the baseline.

    Args:
        angle: Of the fixed spherical moves, in radians.
        draft: How those that draft do it.
        only: Names; none is all.

    Raises:
        ValueError: A name is not known.
    """
    found = _all(angle, draft)
    if unknown := sorted(set(only) - {one.name for one in found}):
        raise ValueError(f"no contenders: {', '.join(unknown)}; there are {', '.join(one.name for one in found)}")
    return tuple(one for one in found if not only or one.name in (*only, BASELINE))


def _all(angle: float, draft: Draft) -> tuple[Contender, ...]:
    fixed = SphericalMove(angle, decay=1.0)
    return (
        Contender("best_of_n", "best-of-N", lambda n, seed: BestOfNSpec(seed, n)),
        Contender("seed_offset", "EACPS, seed offset", lambda n, seed: two_rounds(n, seed, SeedOffset())),
        Contender("fixed", f"EACPS, fixed at {angle:g} rad", lambda n, seed: two_rounds(n, seed, fixed)),
        Contender("adaptive", "adaptive", lambda n, seed: AdaptiveSpec(seed, n, restarts=False)),
        Contender("adaptive_restarts", "adaptive, restarts", lambda n, seed: AdaptiveSpec(seed, n, restarts=True)),
        *drafted_contenders(draft),
        *rival_contenders(),
    )


def rival_contenders() -> tuple[Contender, ...]:
    """Return the published searches; see `studies.rivals`."""
    return (
        Contender("trust_region", "TRS", lambda n, seed: TrustRegionSpec(seed, n)),
        Contender("zeno", "ZeNO", lambda n, seed: ZenoSpec(seed, n)),
        Contender("cross_entropy", "cross-entropy (SES)", lambda n, seed: CrossEntropySpec(seed, n)),
        Contender("evolution", "EvoSearch", lambda n, seed: EvolutionSpec(seed, n)),
    )
