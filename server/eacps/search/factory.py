"""From settings or a snapshot to a running strategy."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from eacps.errors import FieldViolation, InvalidSearchSpec
from eacps.search.best_of_n import BestOfN
from eacps.search.eacps import Eacps
from eacps.search.spec import BestOfNSpec, SearchSpec
from eacps.search.strategy import Strategy


def create(spec: SearchSpec, *, steps: int) -> Strategy:
    """Make the strategy that ``spec`` asks for, its randomness seeded with ``spec.seed``.

    Args:
        spec: Settings.
        steps: Denoising steps of the full schedule, at least 1.

    Raises:
        InvalidSearchSpec: ``steps`` below 1.
    """
    rng = np.random.Generator(np.random.PCG64(spec.seed))
    if isinstance(spec, BestOfNSpec):
        return BestOfN(spec, steps=steps, rng=rng)
    return Eacps(spec, steps=steps, rng=rng)


def restore(snapshot: Mapping[str, Any]) -> Strategy:
    """Continue a search from ``Strategy.snapshot()``, bit-identically to one that was never interrupted.

    Raises:
        InvalidSearchSpec: The snapshot is of another version or malformed.
    """
    try:
        strategy = snapshot["spec"]["strategy"]
    except (KeyError, TypeError) as exc:
        raise InvalidSearchSpec([FieldViolation("snapshot", "names no strategy")]) from exc
    if strategy == "best_of_n":
        return BestOfN.restore(snapshot)
    if strategy == "eacps":
        return Eacps.restore(snapshot)
    raise InvalidSearchSpec([FieldViolation("snapshot.spec.strategy", f"{strategy!r} is not known")])
