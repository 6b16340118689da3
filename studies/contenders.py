"""The strategies that are compared, at any budget, and the settings of each that are tried on other tasks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from eacps.search.defaults import adaptive_rounds
from eacps.search.spec import AdaptiveSpec, BestOfNSpec, EacpsSpec, LocalMove, SearchSpec, SeedOffset, SphericalMove
from studies.rivals.settings import (
    CrossEntropySpec,
    DraftedAdaptiveSpec,
    DraftedBestOfNSpec,
    DraftFit,
    EvolutionSpec,
    RivalSpec,
    TrustRegionSpec,
    ZenoSpec,
)

BUDGETS: Final = (8, 16, 32, 64)
"""In whole trajectories: the price of a search in denoiser evaluations, over the steps of one."""
BASELINE: Final = "best_of_n"
"""Compared with all others, and therefore always run."""
DEFAULT: Final = "adaptive_restarts"
"""What the service does unless a request says otherwise; all others are compared with it too."""
DRAFT_SHARES: Final = (0.25, 0.375, 0.5)
"""Steps of a draft, as shares of the full schedule's, that are tried."""

_FAMILIES: Final = {8: (4, 2, 1), 16: (8, 2, 2), 32: (16, 2, 4), 64: (32, 4, 4)}
"""Global candidates, parents, children of each, over two local rounds: half the budget explores."""
_ANGLES: Final = (0.3, 0.45, 0.6, 0.8, 1.0)
_FIRST_ROUNDS: Final = ((0.15, 8), (0.25, 6))
"""Share of the first round and number of later ones. The default's were chosen on other tasks: docs/experiments.md."""
_KEPT_SHARES: Final = ((0.25, 0.25), (0.375, 0.25), (0.375, 0.125), (0.5, 0.25))
"""Steps of a draft and candidates run in full, as shares."""
_KEPT_OF_N_SHARES: Final = ((0.25, 0.25), (0.25, 0.0625), (0.375, 0.125), (0.375, 0.0625), (0.5, 0.0625))
"""The same for best-of-N, which runs four in full at least."""
# The first setting of each is that of public code, where there is some, for larger models and budgets.
_TRIED: Final[Mapping[type[RivalSpec], tuple[dict[str, float], ...]]] = {
    TrustRegionSpec: (
        {"length": 0.8, "tolerance": 3, "regions_share": 0.75},
        {"length": 1.6, "tolerance": 3, "regions_share": 0.75},
        {"length": 2.4, "tolerance": 3, "regions_share": 0.75},
        {"length": 1.6, "tolerance": 1, "regions_share": 0.75},
        {"length": 2.4, "tolerance": 1, "regions_share": 0.25},
        {"length": 2.4, "most_length": 4.8, "tolerance": 1, "regions_share": 0.25},
    ),
    ZenoSpec: (
        {"angle": 0.7, "temperature": 0.5},
        {"angle": 0.45, "temperature": 0.5},
        {"angle": 1.0, "temperature": 0.5},
        {"angle": 0.7, "temperature": 0.25},
        {"angle": 0.7, "temperature": 0.5, "rounds": 8},
    ),
    CrossEntropySpec: (
        {"rounds": 3, "elite_share": 0.5},
        {"rounds": 3, "elite_share": 0.25},
        {"rounds": 5, "elite_share": 0.5},
        {"rounds": 8, "elite_share": 0.5},
    ),
    EvolutionSpec: (
        {"angle": 0.2, "tournament_share": 0.9},
        {"angle": 0.5, "tournament_share": 0.9},
        {"angle": 0.5, "tournament_share": 0.3},
    ),
}


@dataclass(frozen=True)
class Contender:
    """A strategy as it stands in tables: ``spec(budget, seed)`` makes its settings.

    Attributes:
        name, title: For programs and for people.
        spec: See above.
        setting: What sets it apart from others of its name, of which the best on other tasks is compared; empty where
            there is but one.
    """

    name: str
    title: str
    spec: Callable[[int, int], SearchSpec | RivalSpec]
    setting: str = ""


def two_rounds(budget: int, seed: int, local: LocalMove) -> EacpsSpec:
    """EACPS as first written: explore with half of the budget, then two local rounds of equal size."""
    explored, parents, children = _FAMILIES[budget]
    return EacpsSpec(seed, explored, parents, children, rounds=2, local=local)


def families(drafts: Mapping[float, DraftFit], only: Collection[str] = ()) -> tuple[tuple[Contender, ...], ...]:
    """Return every strategy with each setting that is tried, or those named and the baseline.

    Args:
        drafts: What they say of full trajectories, for each of `DRAFT_SHARES`.
        only: Names; none is all.

    Raises:
        ValueError: A name is not known.
    """
    found = (*_own(), *_drafted(drafts), *published())
    names = [family[0].name for family in found]
    if unknown := sorted(set(only) - set(names)):
        raise ValueError(f"no contenders: {', '.join(unknown)}; there are {', '.join(names)}")
    return tuple(family for family in found if not only or family[0].name in (*only, BASELINE))


def _own() -> tuple[tuple[Contender, ...], ...]:
    return (
        (Contender(BASELINE, "best-of-N", lambda n, seed: BestOfNSpec(seed, n)),),
        (Contender("seed_offset", "EACPS, seed offset", partial(two_rounds, local=SeedOffset())),),
        tuple(_fixed(angle) for angle in _ANGLES),
        tuple(_adaptive(*one) for one in _FIRST_ROUNDS),
        (Contender(DEFAULT, "adaptive, restarts", lambda n, seed: AdaptiveSpec(seed, n, restarts=True)),),
    )


def _fixed(angle: float) -> Contender:
    local = SphericalMove(angle, decay=1.0)
    return Contender("fixed", "EACPS, fixed angle", partial(two_rounds, local=local), f"{angle:g} rad")


def _adaptive(first_share: float, rounds: int) -> Contender:
    def spec(budget: int, seed: int) -> AdaptiveSpec:
        return AdaptiveSpec(seed, budget, first_share, rounds, restarts=False)

    return Contender("adaptive", "adaptive", spec, _setting({"first_share": first_share, "rounds": rounds}))


def _drafted(fits: Mapping[float, DraftFit]) -> tuple[tuple[Contender, ...], ...]:
    """Return those that draft: the adaptive search, and best-of-N after Flash-BoN."""

    def drafts(shares: Iterable[tuple[float, float]]) -> list[dict[str, float]]:
        return [{"steps_share": share, "kept_share": kept, **fits[share]._asdict()} for share, kept in shares]

    adaptive, of_n = drafts(_KEPT_SHARES), drafts(_KEPT_OF_N_SHARES)
    firsts = ((adaptive[0], 0.15), (adaptive[0], 0.25), (adaptive[1], 0.15))
    restarting = [one | {"restarts": True, "first_share": share} for one, share in firsts]
    return (
        _tried("adaptive_drafted", "adaptive, drafts", DraftedAdaptiveSpec, adaptive),
        _tried("adaptive_drafted_restarts", "adaptive, drafts and restarts", DraftedAdaptiveSpec, restarting),
        _tried("best_of_n_drafted", "best-of-N, coarse drafts (after Flash-BoN)", DraftedBestOfNSpec, of_n),
    )


def published() -> tuple[tuple[Contender, ...], ...]:
    """Return the published searches; see `studies.rivals`."""
    named = {
        TrustRegionSpec: ("trust_region", "trust regions (TRS)"),
        ZenoSpec: ("zeno", "ZeNO, our reading"),
        CrossEntropySpec: ("cross_entropy", "cross-entropy (SES without wavelets)"),
        EvolutionSpec: ("evolution", "evolution (after EvoSearch)"),
    }
    return tuple(_tried(*named[kind], kind, settings) for kind, settings in _TRIED.items())


def _tried(
    name: str, title: str, kind: type[RivalSpec], settings: Collection[Mapping[str, Any]]
) -> tuple[Contender, ...]:
    return tuple(Contender(name, title, partial(_spec, kind, dict(one)), _setting(one)) for one in settings)


def _spec(kind: type[RivalSpec], settings: Mapping[str, Any], budget: int, seed: int) -> RivalSpec:
    if settings.get("restarts"):
        settings = {"rounds": 1 + adaptive_rounds(budget), **settings}  # as the default
    return kind(seed, budget, **settings)


def _setting(settings: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name.replace('_', ' ')} {value:g}"
        for name, value in settings.items()
        if name not in ("correlation", "slope", "restarts")
    )
