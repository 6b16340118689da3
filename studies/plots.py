"""The study's plots, one PNG each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from eacps.search.expectation import expected_maximum_of_normals
from eacps.search.landscape import kernel
from studies.analysis import best_of_n, comparison, moves
from studies.analysis.by_task import Array, within_task_sd
from studies.contenders import BASELINE, DEFAULT
from studies.costs import Prices, Work

if TYPE_CHECKING:
    from studies.results import Results

_DPI = 140
_PUBLISHED = ("trust_region", "zeno", "cross_entropy", "evolution", "best_of_n_drafted")
_STYLE: dict[Any, Any] = {  # matplotlib types the keys as literals
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "font.size": 10,
    "legend.frameon": False,
}


def plot_all(results: Results, out: Path) -> None:
    """Write every plot into a folder."""
    with _axes(out / "moves.png") as axes:
        _moves(axes, results)
    with _axes(out / "best_of_n.png") as axes:
        _best_of_n(axes, results)
    with _axes(out / "comparison.png", width=13.0, columns=2) as (by_evaluations, by_time):
        _comparison(by_evaluations, by_time, results)
    if len({row.budget for row in results.searches}) > 1:
        with _axes(out / "plans.png", width=13.0, columns=2) as (by_evaluations, by_time):
            _plans(by_evaluations, by_time, results)
    with _axes(out / "held_out.png") as axes:
        _held_out(axes, results)


@contextmanager
def _axes(path: Path, width: float = 7.0, columns: int = 1) -> Iterator[Any]:
    """One set of axes, or an array of them beside each other, saved at the end."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, 4.4), layout="constrained")
        yield figure.add_subplot() if columns == 1 else figure.subplots(1, columns, sharey=True)
        figure.savefig(path, dpi=_DPI, metadata={"Software": None})


def _moves(axes: Axes, results: Results) -> None:
    found = moves.move_correlations(results.probes, results.fresh)
    fitted = moves.fitted_curvature(found)
    noise = np.linspace(0, 1, 200)
    axes.plot(noise, kernel(noise, fitted), color="0.4", label=f"kernel, curvature {fitted:.2f}")
    for move, marker in (("spherical", "o"), ("seed_offset", "s"), ("siblings", "^"), ("strangers", "v")):
        chosen = [one for one in found if one.move == move]
        center = np.array([one.rho for one in chosen])
        band = np.abs(np.array([[one.low for one in chosen], [one.high for one in chosen]]) - center)
        axes.errorbar([one.noise for one in chosen], center, band, fmt=marker, capsize=3, label=move.replace("_", " "))
    axes.set(xlabel="correlation of the child's noise with a parent's", ylabel="correlation of their potentials")
    axes.set_title("How children take after their parents")
    axes.legend()


def _best_of_n(axes: Axes, results: Results) -> None:
    table = np.stack(list(best_of_n.curves(results.fresh).values()))
    mean = table.mean(axis=0)
    ns = [1 << index for index in range(table.shape[1])]
    normal, logs = np.array([expected_maximum_of_normals(n) for n in ns]), np.log(ns)
    axes.plot(ns, mean, "o", label="measured")
    for name, x in (("mu + sigma E[max of N normals]", normal), ("a + b log N", logs)):
        axes.plot(ns, np.polyval(np.polyfit(x, mean, 1), x), label=name)
    axes.set_xscale("log", base=2)
    axes.set_xticks(ns, [str(n) for n in ns])
    axes.set(xlabel="N", ylabel="expected best potential", title="Best-of-N")
    axes.legend()


def _comparison(by_evaluations: Axes, by_time: Axes, results: Results) -> None:
    """The best so far by evaluations and by time, both as shares of best-of-32's."""
    sd = within_task_sd(results.fresh)
    curve = np.stack(list(best_of_n.curves(results.fresh).values())).mean(axis=0)
    scales = _scales(results)
    ends = {  # the last step is seen
        "evaluations": 1.05 * results.compared * results.steps,
        "time": 2 * scales["time"][0],
    }
    for axes, (kind, end) in zip((by_evaluations, by_time), ends.items(), strict=True):
        scale, priced = scales[kind]
        grid = np.linspace(end / 128, end, 512)
        for contender, style in zip(results.contenders, _styles(results), strict=True):
            if contender.name != BASELINE:
                best = comparison.best_by_cost(
                    results.searches, results.fresh, contender.name, results.compared, grid, priced
                )
                gain = (best.mean(axis=0) - curve[0]) / sd
                axes.plot(grid / scale, np.where(np.abs(gain) < 1e-9, np.nan, gain), label=contender.title, **style)
        costs = _costs_of_best_of_n(results, len(curve), priced)
        axes.plot(costs / scale, (curve - curve[0]) / sd, ":", color="black", label="expected best-of-N")
        axes.axhline((curve[_index_of_reference()] - curve[0]) / sd, color="0.6", linewidth=0.8)
        axes.set_xlim(0, end / scale)
        axes.set(xlabel=f"{kind}, as a share of best-of-{comparison.REFERENCE_BUDGET}'s")
        axes.set_title(f"Equal {kind}, planned for {results.compared} trajectories")
    by_evaluations.set(ylabel="best so far above one seed, sd")
    by_time.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))


def _plans(by_evaluations: Axes, by_time: Axes, results: Results) -> None:
    """Results over Q(32) of searches planned for each budget, by what they cost."""
    sd = within_task_sd(results.fresh)
    curve = np.stack(list(best_of_n.curves(results.fresh).values())).mean(axis=0)
    least = min(row.budget for row in results.searches)
    for axes, (kind, (scale, priced)) in zip((by_evaluations, by_time), _scales(results).items(), strict=True):
        for contender, style in zip(results.contenders, _styles(results), strict=True):
            if contender.name != BASELINE:
                costs, gains = comparison.final_gains(results.searches, results.fresh, contender.name, priced)
                axes.plot(costs / scale, gains.mean(axis=0) / sd, label=contender.title, marker="o", ms=4, **style)
        costs = _costs_of_best_of_n(results, len(curve), priced)
        shown = costs >= costs[least.bit_length() - 1]
        gain = (curve - curve[_index_of_reference()]) / sd
        axes.plot(costs[shown] / scale, gain[shown], ":", color="black", label="expected best-of-N")
        axes.axhline(0, color="0.6", linewidth=0.8)
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.set(xlabel=f"{kind} of the whole search, of best-of-{comparison.REFERENCE_BUDGET}'s")
        axes.set_title(f"Results by {kind}")
    by_evaluations.set(ylabel=f"above best-of-{comparison.REFERENCE_BUDGET}, sd")
    by_time.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))


def _scales(results: Results) -> dict[str, tuple[float, Prices | None]]:
    """What best-of-32 costs, in evaluations and in seconds, and the prices of the latter."""
    seconds = results.prices.seconds(Work().plus([results.steps] * comparison.REFERENCE_BUDGET))
    return {
        "evaluations": (comparison.REFERENCE_BUDGET * results.steps, None),
        "time": (seconds, results.prices),
    }


def _costs_of_best_of_n(results: Results, doublings: int, prices: Prices | None) -> Array:
    """Of N = 1, 2, 4 ..."""
    spent = [Work().plus([results.steps] * (1 << index)) for index in range(doublings)]
    return np.array([prices.seconds(work) if prices else work.nfe for work in spent])


def _index_of_reference() -> int:
    return comparison.REFERENCE_BUDGET.bit_length() - 1


def _styles(results: Results) -> list[dict[str, Any]]:
    """The default thick and black, our other strategies solid, published ones dashed; ten others differ in color."""
    colored = [one.name for one in results.contenders if one.name not in (DEFAULT, BASELINE)]
    colors = {name: f"C{index % 10}" for index, name in enumerate(colored)} | {BASELINE: "black"}
    return [
        {"color": "black", "linewidth": 2.4}
        if one.name == DEFAULT
        else {
            "color": colors[one.name],
            "linestyle": "--" if one.name.startswith(_PUBLISHED) else "-",
            "linewidth": 1.3,
        }
        for one in results.contenders
    ]


def _held_out(axes: Axes, results: Results) -> None:
    rows = best_of_n.held_out(results.fresh)
    ns = [row.n for row in rows]
    for label, values in (("potential", [r.potential for r in rows]), ("held-out cosine", [r.held_out for r in rows])):
        mean, error = np.array([one.mean for one in values]), np.array([one.error for one in values])
        axes.plot(ns, mean, "o-", label=label)
        axes.fill_between(ns, mean - 2 * error, mean + 2 * error, alpha=0.2)
    axes.set_xscale("log", base=2)
    axes.set_xticks(ns, [str(n) for n in ns])
    axes.set(xlabel="N", ylabel="gain over one seed", title="What is searched, and what is not")
    axes.legend()
