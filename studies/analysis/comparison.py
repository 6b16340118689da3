"""Strategies at equal cost: paired differences, and what it takes to be as good as best-of-32."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from eacps.search.statistics import expected_best
from studies.analysis.best_of_n import of_the_best
from studies.analysis.by_task import Array, Estimate, columns, estimate
from studies.contenders import BASELINE
from studies.costs import Prices
from studies.pool import SCORES, Scores
from studies.potentials import Yardstick
from studies.tables import FreshRow, SearchRow

REFERENCE_BUDGET: Final = 32
"""Of the best-of-N that costs are compared with."""
_RESAMPLES: Final = 1000


@dataclass(frozen=True, slots=True)
class Comparison:
    """One contender at one budget and one noise, over tasks. Differences are in standard deviations within tasks.

    Attributes:
        contender, budget, noise_sd: Which.
        paired: Result minus best-of-N's on the same tasks, whose first seeds it shares.
        expected: Result minus the task's Q(N), of which best-of-N's result is one draw.
        uncapped: As ``expected``, by the potential without caps of what was chosen by the one with them.
        held_out: Gain of the held-out verifier's cosine over one fresh seed.
        truth_error: Change of the distance to the drawn truth from one fresh seed, in 8-bit levels; below 0 is nearer.
        nfe: Mean denoising steps spent.
        pictures: Mean number of pictures decoded and scored.
    """

    contender: str
    budget: int
    noise_sd: float
    paired: Estimate
    expected: Estimate
    uncapped: Estimate
    held_out: Estimate
    truth_error: Estimate
    nfe: float
    pictures: float


@dataclass(frozen=True, slots=True)
class Difference:
    """One contender's results minus another's, paired by task.

    Attributes:
        contender: Whose are subtracted.
        potential, uncapped: In standard deviations within tasks.
        held_out: Of the held-out verifier's cosine.
        truth_error: Of the distance to the drawn truth, in 8-bit levels; below 0 is nearer.
    """

    contender: str
    potential: Estimate
    uncapped: Estimate
    held_out: Estimate
    truth_error: Estimate


@dataclass(frozen=True, slots=True)
class Reached:
    """The least cost at which a contender is on average as good as best-of-32; infinite where it never is.

    Attributes:
        cost: Evaluations, or seconds.
        low, high: 95% bootstrap interval over tasks.
        least: Of the cheapest search that was run; where one of the others is as low, it may be lower still.
    """

    cost: float
    low: float
    high: float
    least: float = 0.0


ByTask = Mapping[int, SearchRow]


def last_rows(rows: Sequence[SearchRow]) -> dict[tuple[str, int, float], dict[int, SearchRow]]:
    """Return the last rows by contender, budget and noise, then by task."""
    found: dict[tuple[str, int, float], dict[int, SearchRow]] = defaultdict(dict)
    for row in rows:
        if row.last:
            found[row.contender, row.budget, row.noise_sd][row.task] = row
    return dict(found)


def compare(rows: Sequence[SearchRow], fresh: Sequence[FreshRow], sd: float, sd_uncapped: float) -> list[Comparison]:
    """Compare every contender with best-of-N at the same budget and noise."""
    found = last_rows(rows)
    values = {name: columns(fresh, name) for name in ("potential", "uncapped", "identity_heldout", "truth_error")}
    potentials = values["potential"]
    out = []
    for (contender, budget, noise_sd), by_task in found.items():
        baseline = found[BASELINE, budget, noise_sd]
        tasks = sorted(by_task.keys() & baseline.keys() & potentials.keys())

        def over_expected(
            name: str, scale: float, n: int, by_task: ByTask = by_task, tasks: Sequence[int] = tasks
        ) -> Estimate:
            gains = [getattr(by_task[t], name) - of_the_best(potentials[t], values[name][t], n) for t in tasks]
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
                truth_error=over_expected("truth_error", 1.0, 1),
                nfe=float(np.mean([by_task[task].nfe for task in tasks])),
                pictures=float(np.mean([by_task[task].pictures for task in tasks])),
            )
        )
    return out


def differences(
    rows: Sequence[SearchRow], contender: str, budget: int, sd: float, sd_uncapped: float
) -> list[Difference]:
    """Subtract every other contender's results from one's, at one budget and without noise."""
    found = {
        name: by_task for (name, n, noise_sd), by_task in last_rows(rows).items() if (n, noise_sd) == (budget, 0.0)
    }
    own = found.pop(contender, {})
    out = []
    for name, other in found.items():
        tasks = sorted(own.keys() & other.keys())

        def paired(column: str, scale: float = 1.0, other: ByTask = other, tasks: Sequence[int] = tasks) -> Estimate:
            return estimate(np.array([getattr(own[t], column) - getattr(other[t], column) for t in tasks]) / scale)

        if tasks:
            figures = (paired("potential", sd), paired("uncapped", sd_uncapped))
            out.append(Difference(name, *figures, paired("identity_heldout"), paired("truth_error")))
    return out


def leads(rows: Sequence[SearchRow], budget: int, yardstick: Yardstick, sd: float) -> dict[str, dict[str, Estimate]]:
    """Split each contender's lead over best-of-N, paired and without noise, into the parts that the scorers have in it.

    Returns:
        By contender and scorer, in standard deviations of the potential within tasks.
    """
    parts = {
        name: {task: yardstick.parts(_raw(row)) for task, row in by_task.items()}
        for (name, n, noise_sd), by_task in last_rows(rows).items()
        if (n, noise_sd) == (budget, 0.0)
    }
    baseline = parts.pop(BASELINE)
    return {
        name: {
            scorer: estimate([(by_task[task][scorer] - baseline[task][scorer]) / sd for task in by_task])
            for scorer in yardstick.objective.weights.normalized
        }
        for name, by_task in parts.items()
    }


def _raw(row: SearchRow) -> Scores:
    return {name: getattr(row, name) for name in SCORES}


def best_by_cost(
    rows: Sequence[SearchRow],
    fresh: Sequence[FreshRow],
    contender: str,
    budget: int,
    grid: Array,
    prices: Prices | None = None,
) -> Array:
    """Return the best so far ``[task, cost]`` at every cost of ``grid``, by ascending task; before a result Q(1).

    Costs are evaluations, or seconds where there are ``prices``.
    """
    means = {task: float(values.mean()) for task, values in columns(fresh, "potential").items()}
    by_task: dict[int, list[SearchRow]] = defaultdict(list)
    for row in rows:
        if (row.contender, row.budget, row.noise_sd) == (contender, budget, 0.0):
            by_task[row.task].append(row)
    lines = []
    for task in sorted(by_task):
        steps = by_task[task]
        indices = np.searchsorted([_cost(row, prices) for row in steps], grid, side="right")
        lines.append(np.array([means[task], *(row.potential for row in steps)])[indices])
    return np.stack(lines)


def _cost(row: SearchRow, prices: Prices | None) -> float:
    return row.nfe if prices is None else prices.seconds(row.work)


def seconds_spent(rows: Sequence[SearchRow], contender: str, prices: Prices) -> dict[int, float]:
    """Return the mean seconds of a contender's whole searches, by budget."""
    by_budget: dict[int, list[float]] = defaultdict(list)
    for row in rows:
        if row.last and row.noise_sd == 0.0 and row.contender == contender:
            by_budget[row.budget].append(_cost(row, prices))
    return {budget: float(np.mean(seconds)) for budget, seconds in by_budget.items()}


def cost_on_the_way(
    rows: Sequence[SearchRow],
    fresh: Sequence[FreshRow],
    contender: str,
    budget: int,
    prices: Prices | None = None,
) -> Reached:
    """Find when a contender, planned for a budget, is on its way as good as best-of-32.

    Costs are evaluations, or seconds where there are ``prices``.
    """
    own = [row for row in rows if (row.contender, row.budget, row.noise_sd) == (contender, budget, 0.0)]
    grid = np.array(sorted({_cost(row, prices) for row in own}))
    gains = best_by_cost(rows, fresh, contender, budget, grid, prices) - _expected(fresh)[:, None]

    def crossing(means: Array) -> float:
        reached = np.flatnonzero(means >= 0)
        return float(grid[reached[0]]) if len(reached) else np.inf

    return _with_interval(gains, crossing)


def cost_of_a_plan(
    rows: Sequence[SearchRow],
    fresh: Sequence[FreshRow],
    contender: str,
    prices: Prices | None = None,
) -> Reached:
    """Find how much a contender must be planned for to end as good as best-of-32, between the budgets it was run with.

    A plan between two budgets is interpolated, by the logarithm of their costs.
    """
    costs, gains = final_gains(rows, fresh, contender, prices)

    def crossing(means: Array) -> float:
        reached = np.flatnonzero(means >= 0)
        if not len(reached):
            return np.inf
        index = int(reached[0])
        if index == 0:
            return float(costs[0])
        share = -means[index - 1] / (means[index] - means[index - 1])
        return float(costs[index - 1] * (costs[index] / costs[index - 1]) ** share)

    return _with_interval(gains, crossing, least=float(costs[0]))


def gain_of_a_plan(
    rows: Sequence[SearchRow], fresh: Sequence[FreshRow], contender: str, seconds: float, prices: Prices
) -> Estimate | None:
    """Return by how much a contender that is planned to take ``seconds`` ends above Q(32), interpolated likewise.

    Returns:
        None where all budgets it was run with take more, or all take less.
    """
    costs, gains = final_gains(rows, fresh, contender, prices)
    above = int(np.searchsorted(costs, seconds))
    if above == len(costs) or (above == 0 and costs[0] > seconds):
        return None
    if costs[above] == seconds:
        return estimate(gains[:, above])
    share = np.log(seconds / costs[above - 1]) / np.log(costs[above] / costs[above - 1])
    return estimate((1 - share) * gains[:, above - 1] + share * gains[:, above])


def final_gains(
    rows: Sequence[SearchRow], fresh: Sequence[FreshRow], contender: str, prices: Prices | None
) -> tuple[Array, Array]:
    """Return mean costs ``[budget]`` of whole searches, ascending, and their results ``[task, budget]`` minus Q(32)."""
    by_budget = {
        budget: [by_task[task] for task in sorted(by_task)]
        for (name, budget, noise_sd), by_task in sorted(last_rows(rows).items())
        if (name, noise_sd) == (contender, 0.0)
    }
    costs = np.array([np.mean([_cost(row, prices) for row in ends]) for ends in by_budget.values()])
    found = np.array([[row.potential for row in ends] for ends in by_budget.values()]).T
    return costs, found - _expected(fresh)[:, None]


def _expected(fresh: Sequence[FreshRow]) -> Array:
    """Q(32) of every task, by ascending task."""
    values = columns(fresh, "potential")
    return np.array([expected_best(values[task].tolist(), REFERENCE_BUDGET) for task in sorted(values)])


def _with_interval(gains: Array, crossing: Callable[[Array], float], least: float = 0.0) -> Reached:
    """Return the cost at which the mean over tasks of ``gains[task, ...]`` is above 0, with its bootstrap interval."""
    tasks, cost = len(gains), crossing(gains.mean(axis=0))
    drawn = np.random.default_rng(0).multinomial(tasks, [1 / tasks] * tasks, size=_RESAMPLES) / tasks
    low, high = np.quantile([crossing(shares @ gains) for shares in drawn], [0.025, 0.975], method="nearest")
    return Reached(cost, float(low), float(high), least)
