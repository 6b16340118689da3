"""Writing a study down: rows as CSV, summary tables as Markdown, plots. All figures of docs/study.md are from here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eacps.search.calibration import Calibration
from eacps.search.landscape import kernel
from studies import plots
from studies.analysis import best_of_n, comparison, moves
from studies.analysis.by_task import columns, estimate, within_task_sd
from studies.contenders import Contender, Draft
from studies.prices import Prices
from studies.tables import FreshRow, ProbeRow, SearchRow, write_rows

REFERENCE_BUDGET = 32
_MOVE_NAMES = {
    "spherical": "spherical",
    "seed_offset": "seed offset",
    "siblings": "cross-over of siblings",
    "strangers": "cross-over of strangers",
}


@dataclass(frozen=True)
class Results:
    """All rows of a study.

    Attributes:
        steps: Of the full schedule.
        compared: Budget at which everything is compared.
        calibration: That searches were given.
        contenders: In the order of the tables.
        angle: Of the fixed contender.
        angles: The trial that chose it.
        draft: Of the contenders that draft.
        prices: What an evaluation and a picture take.
        fresh, searches, probes: Rows of the parts.
    """

    steps: int
    compared: int
    calibration: Calibration
    contenders: tuple[Contender, ...]
    angle: float
    angles: list[SearchRow]
    draft: Draft
    prices: Prices
    fresh: list[FreshRow]
    searches: list[SearchRow]
    probes: list[ProbeRow]

    @property
    def titles(self) -> dict[str, str]:
        """Names for people."""
        return {contender.name: contender.title for contender in self.contenders}


def write_results(results: Results, out: Path) -> None:
    """Write rows, ``tables.md`` and plots into a folder."""
    out.mkdir(parents=True, exist_ok=True)
    write_rows(out / "fresh.csv", FreshRow, results.fresh)
    write_rows(out / "searches.csv", SearchRow, [*results.searches])
    write_rows(out / "angles.csv", SearchRow, [row for row in results.angles if row.last])
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
        _angles(results, sd),
        _comparison(results, sd, sd_uncapped),
        _cost(results),
        _wall_time(results),
        _noise(results, sd, sd_uncapped),
        _held_out(results),
    ]


def _basics(results: Results, sd: float, sd_uncapped: float) -> str:
    values = columns(results.fresh, "potential")
    means = estimate([task.mean() for task in values.values()])
    landscape, share = results.calibration.landscape, float(np.mean([(v >= 0.999).mean() for v in values.values()]))
    rows = [
        ("tasks; fresh seeds of each", f"{len(values)}; {len(next(iter(values.values())))}"),
        ("potential of a fresh seed, mean over tasks", f"{means.mean:.3f} ± {means.error:.3f}"),
        ("its standard deviation within tasks (the *sd* of all tables)", f"{sd:.3f}"),
        ("the same without caps", f"{sd_uncapped:.3f}"),
        ("between tasks", f"{np.std([v.mean() for v in values.values()], ddof=1):.3f}"),
        ("share of fresh seeds at the cap", f"{share:.1%}"),
        ("curvature of the kernel as calibrated on other tasks", f"{landscape.curvature:.2f}"),
    ]
    return _table("Basics", ("figure", "value"), rows)


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
    return _table("1. How children take after their parents", head, rows)


def _best_of_n(results: Results, sd: float) -> str:
    found = best_of_n.curves(results.fresh)
    ns = best_of_n.doublings(len(next(iter(columns(results.fresh, "potential").values()))))
    table = np.stack(list(found.values()))
    gains = [estimate((table[:, place] - table[:, 0]) / sd) for place in range(len(ns))]
    first = _table(
        "2. Best-of-N",
        ("N", *map(str, ns)),
        [
            ("Q(N)", *(f"{value:.3f}" for value in table.mean(axis=0))),
            ("above one seed, sd", *(f"{gain.mean:.2f} ± {gain.error:.2f}" for gain in gains)),
        ],
    )
    rows = [
        (fit.name, f"{fit.error:.3f}", f"{fit.better:.0%}", str(fit.predicted))
        for fit in best_of_n.fits(results.fresh, sd)
    ]
    head = ("law", "root mean square left, sd", "fits better in", "extrapolated to the largest N, sd")
    return first + "\n\n" + _lines(head, rows)


def _angles(results: Results, sd: float) -> str:
    by_angle: dict[str, list[float]] = {}
    for row in results.angles:
        if row.last:
            by_angle.setdefault(row.contender, []).append(row.potential / sd)
    reference = by_angle[f"{results.angle:g}"]
    rows = [
        (angle, str(estimate(np.array(values) - np.array(reference))) if angle != f"{results.angle:g}" else "chosen")
        for angle, values in by_angle.items()
    ]
    return _table("3a. The fixed contender's angle, on other tasks", ("angle, rad", "against the chosen, sd"), rows)


def _comparison(results: Results, sd: float, sd_uncapped: float) -> str:
    found = comparison.compare(results.searches, results.fresh, sd, sd_uncapped)
    rows = [
        (
            str(one.budget),
            results.titles[one.contender],
            str(one.paired),
            str(one.expected),
            str(one.uncapped),
            f"{one.held_out.mean:+.3f} ± {one.held_out.error:.3f}",
            f"{one.nfe:.0f}",
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
        "held-out gain",
        "NFE",
    )
    return _table("3b. Equal cost", head, rows)


def _cost(results: Results) -> str:
    budgets = sorted({row.budget for row in results.searches})
    whole = REFERENCE_BUDGET * results.steps
    rows = []
    for contender in results.contenders:
        found = comparison.cost_of(results.searches, results.fresh, contender.name, budgets, steps=results.steps)
        if found is None:
            rows.append((contender.title, "not reached", "", ""))
        else:
            rows.append((contender.title, f"{found[0]:.0f}", f"{found[0] / whole:.0%}", str(found[1])))
    head = ("strategy", "NFE", f"of best-of-{REFERENCE_BUDGET}'s {whole}", "planned for")
    return _table(f"3c. What best-of-{REFERENCE_BUDGET}'s quality costs", head, rows)


def _wall_time(results: Results) -> str:
    """At the measured price of evaluations and pictures, scoring included; a search's own thinking is not in it."""
    budgets = sorted({row.budget for row in results.searches})
    prices, whole = results.prices, results.prices.seconds(REFERENCE_BUDGET * results.steps, REFERENCE_BUDGET)
    rows = []
    for contender in results.contenders:
        found = comparison.cost_of(
            results.searches, results.fresh, contender.name, budgets, steps=results.steps, prices=prices
        )
        spent = comparison.seconds_spent(results.searches, contender.name, prices)
        reached = ("not reached", "") if found is None else (f"{found[0]:.1f}", f"{found[0] / whole:.0%}")
        rows.append(
            (contender.title, *(f"{spent[budget]:.1f}" if budget in spent else "" for budget in budgets), *reached)
        )
    head = (
        "strategy",
        *(f"s at {budget}" for budget in budgets),
        f"s for best-of-{REFERENCE_BUDGET}'s quality",
        f"of its {whole:.1f} s",
    )
    title = (
        f"3d. Wall time, at {prices.evaluation_s * 1e3:.1f} ms an evaluation "
        f"and {prices.picture_s * 1e3:.1f} ms a picture decoded and scored"
    )
    return _table(title, head, rows)


def _noise(results: Results, sd: float, sd_uncapped: float) -> str:
    found = comparison.compare(results.searches, results.fresh, sd, sd_uncapped)
    rows = [
        (f"{one.noise_sd:g}", results.titles[one.contender], str(one.paired), str(one.expected))
        for one in sorted(found, key=lambda one: one.noise_sd)
        if one.budget == results.compared and one.contender in {c.contender for c in found if c.noise_sd > 0.0}
    ]
    head = ("noise, sd", "strategy", "over best-of-N under the same noise, sd", "over Q(N) without noise, sd")
    return _table(f"4. A noisy verifier, {results.compared} trajectories", head, rows)


def _held_out(results: Results) -> str:
    rows = [
        (
            str(row.n),
            f"{row.potential.mean:+.3f} ± {row.potential.error:.3f}",
            f"{row.held_out.mean:+.3f} ± {row.held_out.error:.3f}",
            f"{row.step.mean:+.4f} ± {row.step.error:.4f}",
            f"{row.truth_error.mean:+.2f} ± {row.truth_error.error:.2f}",
        )
        for row in best_of_n.held_out(results.fresh)
    ]
    head = ("N", "potential", "held-out cosine", "by the last doubling", "distance to the truth, levels")
    return _table("5. What searching harder does to what is not searched", head, rows)


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return f"## {title}\n\n{_lines(head, rows)}"


def _lines(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))
