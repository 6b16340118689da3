"""Writing a study down: rows as CSV, summary tables as Markdown, plots. All figures of docs/study.md are from here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from eacps.search.landscape import kernel
from studies import cost_tables, plots
from studies.analysis import best_of_n, comparison, moves
from studies.analysis.by_task import columns, estimate, within_task_sd
from studies.contenders import DEFAULT
from studies.markdown import lines, table, thousandths
from studies.results import Results
from studies.tables import FreshRow, ProbeRow, SearchRow, TrialRow, write_rows

_MOVE_NAMES = {
    "spherical": "spherical",
    "seed_offset": "seed offset",
    "siblings": "cross-over of siblings",
    "strangers": "cross-over of strangers",
}


def write_results(results: Results, out: Path) -> None:
    """Write rows, ``tables.md`` and plots into a folder."""
    out.mkdir(parents=True, exist_ok=True)
    write_rows(out / "fresh.csv", FreshRow, results.fresh)
    write_rows(out / "searches.csv", SearchRow, [*results.searches])
    write_rows(out / "trials.csv", TrialRow, results.trials)
    write_rows(out / "moves.csv", ProbeRow, results.probes)
    (out / "tables.md").write_text("\n\n".join(tables(results)) + "\n", encoding="utf-8")
    plots.plot_all(results, out)


def tables(results: Results) -> list[str]:
    """Return every summary table, each under its heading."""
    sd, sd_uncapped = within_task_sd(results.fresh), within_task_sd(results.fresh, "uncapped")
    return [
        "# The study's tables\n\nWritten by `make study`; [study.md](../study.md) says what they mean.",
        _basics(results, sd, sd_uncapped),
        _moves(results),
        _best_of_n(results, sd),
        _trials(results, sd),
        _comparison(results, sd, sd_uncapped),
        _against_default(results, sd, sd_uncapped),
        _leads(results, sd),
        cost_tables.by_evaluations(results),
        cost_tables.by_time(results, sd),
        _noise(results, sd, sd_uncapped),
        _held_out(results),
    ]


def _basics(results: Results, sd: float, sd_uncapped: float) -> str:
    values = columns(results.fresh, "potential")
    means = estimate([task.mean() for task in values.values()])
    landscape = results.yardstick.calibration.landscape
    rows = [
        ("tasks; fresh seeds of each", f"{len(values)}; {len(next(iter(values.values())))}"),
        ("potential of a fresh seed, mean over tasks", f"{means.mean:.3f} ± {means.error:.3f}"),
        ("its standard deviation within tasks (the *sd* of all tables)", f"{sd:.3f}"),
        ("the same without caps", f"{sd_uncapped:.3f}"),
        ("between tasks", f"{np.std([v.mean() for v in values.values()], ddof=1):.3f}"),
        ("share of fresh seeds with a score beyond the end of its scale", f"{_beyond(results.fresh):.1%}"),
        ("the same of all searches' results", f"{_beyond([row for row in results.searches if row.last]):.1%}"),
        ("curvature of the kernel as calibrated on other tasks", f"{landscape.curvature:.2f}"),
    ]
    return table("Basics", ("figure", "value"), rows)


def _beyond(rows: Sequence[FreshRow] | Sequence[SearchRow]) -> float:
    return float(np.mean([abs(row.uncapped - row.potential) > 1e-9 for row in rows]))


def _moves(results: Results) -> str:
    found = moves.move_correlations(results.probes, results.fresh)
    fitted = moves.fitted_curvature(found)
    rows = [
        (
            _MOVE_NAMES[one.move],
            f"{one.angle:g}" if one.angle else "",
            f"{one.noise:.2f}",
            f"{one.rho:.2f} [{one.low:.2f}, {one.high:.2f}]",
            f"{float(kernel(one.noise, fitted)):.2f}" if one.move in ("spherical", "seed_offset") else "",
            f"{one.shift:+.2f}",
            str(one.pairs),
        )
        for one in found
    ]
    head = (
        "move",
        "angle, rad",
        "noise correlates",
        "rho [95%]",
        f"kernel, curvature {fitted:.2f}",
        "shift, sd",
        "pairs",
    )
    return table("1. How children take after their parents", head, rows)


def _best_of_n(results: Results, sd: float) -> str:
    found = best_of_n.curves(results.fresh)
    ns = best_of_n.doublings(len(next(iter(columns(results.fresh, "potential").values()))))
    curves = np.stack(list(found.values()))
    gains = [estimate((curves[:, index] - curves[:, 0]) / sd) for index in range(len(ns))]
    first = table(
        "2. Best-of-N",
        ("N", *map(str, ns)),
        [
            ("Q(N)", *(f"{value:.3f}" for value in curves.mean(axis=0))),
            ("above one seed, sd", *(f"{gain.mean:.2f} ± {gain.error:.2f}" for gain in gains)),
        ],
    )
    rows = [
        (fit.name, f"{fit.error:.3f}", f"{fit.better:.0%}", str(fit.predicted))
        for fit in best_of_n.fits(results.fresh, sd)
    ]
    head = (
        "law",
        "root mean square left, sd",
        "fits better in, of tasks",
        "extrapolated minus measured at the largest N",
    )
    return first + "\n\n" + lines(head, rows)


def _trials(results: Results, sd: float) -> str:
    chosen = {one.name: one.setting for one in results.contenders}
    found: dict[tuple[str, str], list[float]] = {}
    for row in results.trials:
        found.setdefault((row.contender, row.setting), []).append(row.potential / sd)
    rows = [
        (
            results.titles[name],
            setting,
            "chosen" if setting == chosen[name] else str(estimate(np.subtract(values, found[name, chosen[name]]))),
        )
        for (name, setting), values in found.items()
    ]
    return table("3a. Settings tried on other tasks", ("strategy", "setting", "against the chosen, sd"), rows)


def _comparison(results: Results, sd: float, sd_uncapped: float) -> str:
    found = comparison.compare(results.searches, results.fresh, sd, sd_uncapped)
    rows = [
        (
            str(one.budget),
            results.titles[one.contender],
            str(one.paired),
            str(one.expected),
            str(one.uncapped),
            thousandths(one.held_out),
            str(one.truth_error),
            f"{one.nfe:.0f}",
            f"{one.pictures:.0f}",
        )
        for one in sorted(found, key=lambda one: one.budget)
        if one.noise_sd == 0.0
    ]
    head = (
        "budget",
        "strategy",
        "over best-of-N, sd",
        "over Q(N), sd",
        "the same uncapped, sd",
        "held-out cosine over one seed's",
        "distance to the truth over one seed's, levels",
        "NFE",
        "pictures",
    )
    return table("3b. Equal cost in evaluations", head, rows)


def _against_default(results: Results, sd: float, sd_uncapped: float) -> str:
    """The default minus every other, where the default was run."""
    found = comparison.differences(results.searches, DEFAULT, results.compared, sd, sd_uncapped)
    rows = [
        (
            results.titles[one.contender],
            str(one.potential),
            str(one.uncapped),
            thousandths(one.held_out),
            str(one.truth_error),
        )
        for one in found
    ]
    head = ("the default minus", "potential, sd", "uncapped, sd", "held-out cosine", "distance to the truth, levels")
    return table(f"3c. The default against each other at {results.compared} trajectories, paired", head, rows)


def _leads(results: Results, sd: float) -> str:
    """What of each lead over best-of-N comes from which scorer."""
    scorers = list(results.yardstick.objective.weights.normalized)
    found = comparison.leads(results.searches, results.compared, results.yardstick, sd)
    rows = [
        (results.titles[name], *(str(by_scorer[scorer]) for scorer in scorers)) for name, by_scorer in found.items()
    ]
    title = (
        f"3d. Of which scorers the lead over best-of-N consists at {results.compared} trajectories, sd of the potential"
    )
    return table(title, ("strategy", *scorers), rows)


def _noise(results: Results, sd: float, sd_uncapped: float) -> str:
    if all(row.noise_sd == 0.0 for row in results.searches):
        return "## 4. A noisy verifier\n\nNot run."
    found = comparison.compare(results.searches, results.fresh, sd, sd_uncapped)
    rows = [
        (f"{one.noise_sd:g}", results.titles[one.contender], str(one.paired), str(one.expected))
        for one in sorted(found, key=lambda one: one.noise_sd)
        if one.budget == results.compared and one.contender in {c.contender for c in found if c.noise_sd > 0.0}
    ]
    head = ("noise, sd of the task", "strategy", "over best-of-N with the same noise, sd", "over Q(N) without, sd")
    return table(f"4. A noisy verifier, {results.compared} trajectories", head, rows)


def _held_out(results: Results) -> str:
    rows = [
        (
            str(row.n),
            thousandths(row.potential),
            thousandths(row.held_out),
            f"{row.step.mean:+.4f} ± {row.step.error:.4f}",
            str(row.truth_error),
        )
        for row in best_of_n.held_out(results.fresh)
    ]
    head = ("N", "potential", "held-out cosine", "of that by the last doubling", "distance to the truth, levels")
    return table("5. Best-of-N over one seed: what searching harder does to what is not searched", head, rows)
