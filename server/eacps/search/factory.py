"""From settings or a snapshot to a running strategy."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from eacps.errors import FieldViolation, InvalidSearchSpec
from eacps.search.best_of_n import BestOfN
from eacps.search.context import SearchContext
from eacps.search.eacps import Eacps
from eacps.search.eacps_adaptive import EacpsAdaptive
from eacps.search.spec import AdaptiveSpec, BestOfNSpec, EacpsSpec, SearchSpec
from eacps.search.strategy import Strategy

# Any: each class takes its own kind of spec, which the key vouches for.
_CLASSES: dict[str, type[Any]] = {
    BestOfNSpec.strategy: BestOfN,
    EacpsSpec.strategy: Eacps,
    AdaptiveSpec.strategy: EacpsAdaptive,
}


def create(spec: SearchSpec, context: SearchContext) -> Strategy:
    """Make the strategy that ``spec`` asks for, its randomness seeded with ``spec.seed``."""
    strategy: Strategy = _CLASSES[spec.strategy](spec, context, np.random.Generator(np.random.PCG64(spec.seed)))
    return strategy


def restore(snapshot: Mapping[str, Any]) -> Strategy:
    """Continue a search from ``Strategy.snapshot()``, bit-identically to one that was never interrupted.

    Raises:
        InvalidSearchSpec: The snapshot is of another version or malformed.
    """
    try:
        strategy = snapshot["spec"]["strategy"]
    except (KeyError, TypeError) as exc:
        raise InvalidSearchSpec([FieldViolation("snapshot", "names no strategy")]) from exc
    if strategy not in _CLASSES:
        raise InvalidSearchSpec([FieldViolation("snapshot.spec.strategy", f"{strategy!r} is not known")])
    restored: Strategy = _CLASSES[strategy].restore(snapshot)
    return restored
