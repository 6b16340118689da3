"""From settings or a snapshot to a running strategy, the product's own and the rivals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from eacps.search import factory
from eacps.search.context import SearchContext
from eacps.search.spec import SearchSpec
from eacps.search.strategy import Strategy
from studies.rivals.cross_entropy import CrossEntropySearch
from studies.rivals.drafts import DraftedAdaptive, DraftedBestOfN, Drafting
from studies.rivals.evolution import EvolutionarySearch
from studies.rivals.rival import Rival
from studies.rivals.settings import RivalSpec
from studies.rivals.trust_region import TrustRegionSearch
from studies.rivals.zeno import ZerothOrderNoiseOptimization

_ALL: tuple[type[Rival[Any]] | type[Drafting], ...] = (
    TrustRegionSearch,
    ZerothOrderNoiseOptimization,
    CrossEntropySearch,
    EvolutionarySearch,
    DraftedBestOfN,
    DraftedAdaptive,
)
# Any: each class takes its own kind of settings, which the key vouches for.
_CLASSES: dict[str, type[Any]] = {one.kind.strategy: one for one in _ALL}


def create(spec: SearchSpec | RivalSpec, context: SearchContext) -> Strategy:
    """Make the strategy that ``spec`` asks for, its randomness seeded with ``spec.seed``."""
    if isinstance(spec, RivalSpec):
        rng = np.random.Generator(np.random.PCG64(spec.seed))
        strategy: Strategy = _CLASSES[spec.strategy](spec, context, rng)
        return strategy
    return factory.create(spec, context)


def restore(snapshot: Mapping[str, Any]) -> Strategy:
    """Continue a search from ``Strategy.snapshot()``; errors as of `eacps.search.factory.restore`."""
    rival = _CLASSES.get(snapshot["spec"]["strategy"])
    strategy: Strategy = factory.restore(snapshot) if rival is None else rival.restore(snapshot)
    return strategy
