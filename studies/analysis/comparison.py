"""Strategies at equal cost: paired differences, and what it takes to be as good as best-of-32."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from eacps.search.statistics import expected_best
from studies.analysis.by_task import Array, Estimate, columns, estimate
from studies.prices import Prices
from studies.tables import FreshRow, SearchRow


@dataclass(frozen=True, slots=True)
class Comparison:
    """One contender at one budget and one noise, over tasks. Differences are in standard deviations within tasks.

    Attributes:
        contender, budget, noise_sd: Which.
        paired: Result minus best-of-N's on the same tasks, whose first seeds it shares.
        expected: Result minus the task's Q(N), of which best-of-N's result is one draw.
        uncapped: As ``expected``, by the potential without caps.
        held_out: Gain of the held-out verifier's cosine over one fresh seed.
        nfe: Mean denoising steps spent.
    """

    contender: str
    budget: int
    noise_sd: float
    paired: Estimate
    expected: Estimate
    uncapped: Estimate
    held_out: Estimate
    nfe: float


Results = Mapping[int, SearchRow]


def results(rows: Sequence[SearchRow]) -> dict[tuple[str, int, float], dict[int, SearchRow]]:
    """Return the last rows by contender, budget and noise, then by task."""
    found: dict[tuple[str, int, float], dict[int, SearchRow]] = defaultdict(dict)
    for row in rows:
        if row.last:
            found[row.contender, row.budget, row.noise_sd][row.task] = row
    return dict(found)


def compare(rows: Sequence[SearchRow], fresh: Sequence[FreshRow], sd: float, sd_uncapped: float) -> list[Comparison]:
    """Compare every contender with best-of-N at the same budget and noise."""
    found = results(rows)
    values = {name: columns(fresh, name) for name in ("potential", "uncapped", "identity_heldout")}
    out = []
    for (contender, budget, noise_sd), by_task in found.items():
        baseline = found["best_of_n", budget, noise_sd]
        tasks = sorted(by_task.keys() & baseline.keys() & values["potential"].keys())

        def over_expected(
            name: str, scale: float, n: int, by_task: Results = by_task, tasks: Sequence[int] = tasks
        ) -> Estimate:
            gains = [getattr(by_task[t], name) - expected_best(values[name][t].tolist(), n) for t in tasks]
            return estimate(np.array(gains) / scale)

        paired = np.array([by_task[task].potential - baseline[task].potential for task in tasks]) / sd
        out.append(
            Comparison(
                contender,
                budget,
                noise_sd,
                paired=estimate(paired),
                expected=over_expected("potential", sd, budget),
                uncapped=over_expected("uncapped", sd_uncapped, budget),
                held_out=over_expected("identity_heldout", 1.0, 1),
                nfe=float(np.mean([by_task[task].nfe for task in tasks])),
            )
        )
    return out


def best_by_cost(
    rows: Sequence[SearchRow],
    fresh: Sequence[FreshRow],
    contender: str,
    budget: int,
    grid: Array,
    prices: Prices | None = None,
) -> Array:
    """Return the mean over tasks of the best so far at every cost of ``grid``; before its first result Q(1).

    Costs are evaluations, or seconds where there are ``prices``.
    """
    means = {task: float(values.mean()) for task, values in columns(fresh, "potential").items()}
    by_task: dict[int, list[SearchRow]] = defaultdict(list)
    for row in rows:
        if (row.contender, row.budget, row.noise_sd) == (contender, budget, 0.0):
            by_task[row.task].append(row)
    lines = []
    for task, steps in by_task.items():
        places = np.searchsorted([_cost(row, prices) for row in steps], grid, side="right")
        lines.append(np.array([means[task], *(row.potential for row in steps)])[places])
    return np.mean(lines, axis=0)


def _cost(row: SearchRow, prices: Prices | None) -> float:
    return row.nfe if prices is None else prices.seconds(row.nfe, row.pictures)


def seconds_spent(rows: Sequence[SearchRow], contender: str, prices: Prices) -> dict[int, float]:
    """Return the mean seconds of a contender's whole searches, by budget."""
    by_budget: dict[int, list[float]] = defaultdict(list)
    for row in rows:
        if row.last and row.noise_sd == 0.0 and row.contender == contender:
            by_budget[row.budget].append(_cost(row, prices))
    return {budget: float(np.mean(seconds)) for budget, seconds in by_budget.items()}


def cost_of(
    rows: Sequence[SearchRow],
    fresh: Sequence[FreshRow],
    contender: str,
    budgets: Sequence[int],
    *,
    steps: int,
    prices: Prices | None = None,
) -> tuple[float, int] | None:
    """Find the least cost at which a contender is on average as good as best-of-32.

    Args:
        rows, fresh: Of the study.
        contender: Whose.
        budgets: Those it was run with; the cheapest way of them counts.
        steps: Of one trajectory.
        prices: Of evaluations and pictures.

    Returns:
        Evaluations, or seconds where there are prices, and the budget it was planned for; None where it never is.
    """
    wanted = float(np.mean([expected_best(values.tolist(), 32) for values in columns(fresh, "potential").values()]))
    found = []
    for budget in budgets:
        costs = {_cost(row, prices) for row in rows if (row.contender, row.budget) == (contender, budget)}
        grid = np.array(sorted(costs)) if prices else np.arange(1.0, budget * steps + 1)
        reached = np.flatnonzero(best_by_cost(rows, fresh, contender, budget, grid, prices) >= wanted)
        if len(reached):
            found.append((float(grid[reached[0]]), budget))
    return min(found, default=None)
