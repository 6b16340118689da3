"""Summary tables of what best-of-32's quality costs, in evaluations and in time."""

from __future__ import annotations

import numpy as np

from eacps.search.defaults import DEFAULT_MICRO_BATCH
from studies.analysis import comparison
from studies.analysis.by_task import Estimate
from studies.analysis.comparison import REFERENCE_BUDGET
from studies.contenders import BASELINE, Contender
from studies.costs import Prices, Work
from studies.markdown import table
from studies.results import Results


def by_evaluations(results: Results) -> str:
    """Return the table of evaluations."""
    whole = REFERENCE_BUDGET * results.steps
    rows = []
    for contender in _others(results):
        on_the_way = comparison.cost_on_the_way(results.searches, results.fresh, contender.name, results.compared)
        planned = _plan(results, contender)
        rows.append((contender.title, shown(on_the_way, whole), shown(planned, whole)))
    head = ("strategy", f"when planned for {results.compared} [95%]", "a plan that ends there [95%]")
    title = f"3e. Evaluations for best-of-{REFERENCE_BUDGET}'s mean quality, as a share of its {whole}"
    return table(title, head, rows)


def by_time(results: Results, sd: float) -> str:
    """Return the table of wall times at the measured prices, scoring included.

    Args:
        results: Of the study.
        sd: Of the potential within tasks.
    """
    budgets, prices, whole = _budgets(results), results.prices, _seconds_of_reference(results)
    rows = []
    for contender in _others(results):
        spent = comparison.seconds_spent(results.searches, contender.name, prices)
        on_the_way = comparison.cost_on_the_way(
            results.searches, results.fresh, contender.name, results.compared, prices
        )
        planned = _plan(results, contender, prices)
        gain = comparison.gain_of_a_plan(results.searches, results.fresh, contender.name, whole, prices)
        rows.append(
            (
                contender.title,
                *(f"{spent[budget]:.2f}" for budget in budgets),
                shown(on_the_way, whole),
                shown(planned, whole),
                "needs more budgets" if gain is None else str(Estimate(gain.mean / sd, gain.error / sd)),
            )
        )
    head = (
        "strategy",
        *(f"s at {budget}" for budget in budgets),
        f"when planned for {results.compared} [95%]",
        "a plan that ends there [95%]",
        f"planned to take the time of best-of-{REFERENCE_BUDGET}: over Q({REFERENCE_BUDGET}), sd",
    )
    title = f"3f. Wall time, as a share of best-of-{REFERENCE_BUDGET}'s {whole:.2f} s"
    return table(title, head, rows) + f"\n\n{_prices(prices)}"


def _prices(prices: Prices) -> str:
    return (
        f"Prices: {prices.evaluation_s * 1e3:.2f} ms for each evaluation and {prices.call_s * 1e3:.2f} ms for each "
        f"call of the denoiser, {prices.picture_s * 1e3:.2f} ms for each picture, decoded and scored by the weighted "
        f"scorers, and {prices.batch_s * 1e3:.2f} ms for each batch of them, of {DEFAULT_MICRO_BATCH} at most. The "
        "search's own computing is not in it."
    )


def _others(results: Results) -> list[Contender]:
    """All but best-of-N."""
    return [one for one in results.contenders if one.name != BASELINE]


def _budgets(results: Results) -> list[int]:
    return sorted({row.budget for row in results.searches})


def _seconds_of_reference(results: Results) -> float:
    return results.prices.seconds(Work().plus([results.steps] * REFERENCE_BUDGET))


def _plan(results: Results, contender: Contender, prices: Prices | None = None) -> comparison.Reached | None:
    """What a plan costs that ends there; None where one budget says nothing of others."""
    if len(_budgets(results)) == 1:
        return None
    return comparison.cost_of_a_plan(results.searches, results.fresh, contender.name, prices)


def shown(found: comparison.Reached | None, whole: float) -> str:
    """Write a cost as a share of another, with its interval; ``≤`` where cheaper searches were not run."""
    if found is None:
        return "needs more budgets"
    if not np.isfinite(found.cost):
        return "not reached"

    def written(cost: float) -> str:
        if not np.isfinite(cost):
            return "never"
        return f"{'≤ ' if cost <= found.least else ''}{cost / whole:.0%}"

    return f"{written(found.cost)} [{written(found.low)}, {written(found.high)}]"
