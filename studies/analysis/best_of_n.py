"""What more seeds alone give: Q(N), which law it follows, and what it does to figures that nobody searched for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eacps.search.expectation import expected_maximum_of_normals
from eacps.search.statistics import best_of_shares, expected_best
from studies.analysis.by_task import Array, Estimate, columns, estimate
from studies.tables import FreshRow


@dataclass(frozen=True, slots=True)
class Fit:
    """A law of two parameters for Q(N), fitted to each task by least squares.

    Attributes:
        name: The law.
        error: Root mean square over tasks and N of what it leaves, in standard deviations within tasks.
        better: Share of tasks that it fits better than the other law.
        predicted: Mean over tasks of its Q at the largest N, fitted to the lower points of the curve (up to 16 of 128),
            minus the measured one: does it extrapolate?
    """

    name: str
    error: float
    better: float
    predicted: Estimate


@dataclass(frozen=True, slots=True)
class HeldOutRow:
    """What best-of-N by the potential gives, against one fresh seed, by figures that were not searched for.

    Attributes:
        n: Seeds.
        potential: Gain of the potential.
        held_out: Gain of the held-out verifier's cosine.
        truth_error: Change of the distance to the drawn truth, in 8-bit levels; below 0 is nearer.
        step: Gain of ``held_out`` by the last doubling.
    """

    n: int
    potential: Estimate
    held_out: Estimate
    truth_error: Estimate
    step: Estimate


def doublings(most: int) -> list[int]:
    """Return 1, 2, 4 ... up to ``most``."""
    return [1 << power for power in range(most.bit_length())]


def curve(values: Array) -> Array:
    """Return the unbiased Q(N) for N = 1, 2, 4 ... of one task's fresh seeds."""
    pool = values.tolist()
    return np.array([expected_best(pool, n) for n in doublings(len(pool))])


def curves(fresh: Sequence[FreshRow], name: str = "potential") -> dict[int, Array]:
    """Return Q(N) by task."""
    return {task: curve(values) for task, values in columns(fresh, name).items()}


def fits(fresh: Sequence[FreshRow], sd: float) -> list[Fit]:
    """Fit ``a + b log N`` and ``mu + sigma E[max of N normals]`` to every task."""
    found = np.stack(list(curves(fresh).values()))
    ns = doublings(len(next(iter(columns(fresh, "potential").values()))))
    laws = {
        "a + b log N": np.array([math.log(n) for n in ns]),
        "mu + sigma E[max of N normals]": np.array([expected_maximum_of_normals(n) for n in ns]),
    }
    losses = {name: _residuals(x, found) for name, x in laws.items()}
    names = list(laws)
    half = (len(ns) + 1) // 2 + 1
    out = []
    for name, other in (names, names[::-1]):
        x = laws[name]
        ahead = np.array([np.polyval(np.polyfit(x[:half], row[:half], 1), x[-1]) - row[-1] for row in found]) / sd
        error = math.sqrt(float(losses[name].mean())) / sd
        better = float((losses[name] < losses[other]).mean())
        out.append(Fit(name, error, better, estimate(ahead)))
    return out


def held_out(fresh: Sequence[FreshRow]) -> list[HeldOutRow]:
    """Follow best-of-N's choice, by the potential, in figures that it does not see; unbiased for every N."""
    potentials = columns(fresh, "potential")
    others = {name: columns(fresh, name) for name in ("potential", "identity_heldout", "truth_error")}
    ns = doublings(min(len(values) for values in potentials.values()))
    chosen = {
        name: np.array([[of_the_best(potentials[task], values[task], n) for n in ns] for task in potentials])
        for name, values in others.items()
    }
    gains = {name: table - table[:, :1] for name, table in chosen.items()}
    rows = []
    for index, n in enumerate(ns):
        step = gains["identity_heldout"][:, index] - gains["identity_heldout"][:, max(0, index - 1)]
        rows.append(
            HeldOutRow(
                n,
                estimate(gains["potential"][:, index]),
                estimate(gains["identity_heldout"][:, index]),
                estimate(gains["truth_error"][:, index]),
                estimate(step),
            )
        )
    return rows


def of_the_best(potentials: Array, others: Array, n: int) -> float:
    """Return what the best of ``n`` draws by ``potentials`` is expected to have of ``others``."""
    order = np.argsort(potentials, kind="stable")
    return float(best_of_shares(len(order), n) @ others[order])


def _residuals(x: Array, rows: Array) -> Array:
    """Mean square that a straight line in ``x`` leaves of each row."""
    return np.array([np.square(np.polyval(np.polyfit(x, row, 1), x) - row).mean() for row in rows])
