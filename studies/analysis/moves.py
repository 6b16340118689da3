"""How a child's potential correlates with its parents', by move."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eacps.search.landscape import kernel
from studies.analysis.by_task import Array, columns
from studies.probes import SIBLING_ANGLE
from studies.tables import FreshRow, ProbeRow

RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class MoveCorrelation:
    """One move.

    Attributes:
        move: See `studies.probes.Probe`.
        angle: Likewise.
        noise: Correlation of the child's noise with a parent's.
        rho: Correlation of child and parent (of two: their mean), both standardized within their task.
        low, high: 95% bootstrap interval of ``rho`` over tasks.
        shift: Mean of children minus mean of fresh seeds, in standard deviations: 0, as the recipe's noise is N(0, I).
        pairs: Number of pairs.
    """

    move: str
    angle: float
    noise: float
    rho: float
    low: float
    high: float
    shift: float
    pairs: int


def move_correlations(probes: Sequence[ProbeRow], fresh: Sequence[FreshRow]) -> list[MoveCorrelation]:
    """Measure every move that was probed."""
    scale = {task: (values.mean(), values.std(ddof=1)) for task, values in columns(fresh, "potential").items()}
    pairs: dict[tuple[str, float], dict[int, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    for row in probes:
        mean, sd = scale[row.task]
        if sd > 0:
            parent = row.parent if math.isnan(row.other_parent) else (row.parent + row.other_parent) / 2
            pairs[row.move, row.angle][row.task].append(((parent - mean) / sd, (row.child - mean) / sd))
    return [_measured(move, angle, by_task) for (move, angle), by_task in sorted(pairs.items())]


def fitted_curvature(found: Sequence[MoveCorrelation]) -> float:
    """Fit the kernel's one parameter to the spherical moves, by least squares."""
    spherical = [one for one in found if one.move == "spherical"]
    noise, rho = np.array([one.noise for one in spherical]), np.array([one.rho for one in spherical])
    tried = np.exp(np.linspace(math.log(0.05), math.log(30), 400))
    losses = [float(np.square(kernel(noise, q) - rho).sum()) for q in tried]
    return float(tried[int(np.argmin(losses))])


def noise_correlation(move: str, angle: float) -> float:
    """Return the correlation of a child's noise with one parent's; for siblings with the angle they were made at."""
    if move == "spherical":
        return math.cos(angle)
    if move == "strangers":
        return math.sqrt(0.5)
    if move == "siblings":
        return math.sqrt((1 + math.cos(SIBLING_ANGLE) ** 2) / 2)
    return 0.0


def _measured(move: str, angle: float, by_task: dict[int, list[tuple[float, float]]]) -> MoveCorrelation:
    blocks = [np.array(pairs) for pairs in by_task.values()]
    rng = np.random.default_rng(0)
    draws = [
        _correlation([blocks[index] for index in rng.integers(len(blocks), size=len(blocks))]) for _ in range(RESAMPLES)
    ]
    together = np.concatenate(blocks)
    low, high = np.quantile(draws, [0.025, 0.975])
    shift = float(together[:, 1].mean())
    noise = noise_correlation(move, angle)
    return MoveCorrelation(move, angle, noise, _correlation(blocks), float(low), float(high), shift, len(together))


def _correlation(blocks: Sequence[Array]) -> float:
    pairs = np.concatenate(blocks)
    return float(np.corrcoef(pairs[:, 0], pairs[:, 1])[0, 1])
