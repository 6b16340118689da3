"""Windows to figures: medians, ratios, and where the time went, as JSON and as a table."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.agreement import Agreement
from benchmarks.counters import ModelCounters
from benchmarks.outcome import SCORERS
from benchmarks.windows import Window

LOOP, BATCHED, ONE, FOUR = "diffusers_loop", "diffusers_batched", "eacps_1", "eacps_4"
WAYS = (LOOP, BATCHED, ONE, FOUR)
SERVED = (ONE, FOUR)
QUIET_CORES = 0.1  # with more than this kept busy by others, figures say little
_DENOISER = "denoiser"


@dataclass(frozen=True)
class Settings:
    """What was measured.

    Args:
        checkpoint: Its name.
        candidates: Of one edit.
        steps: Denoising steps.
        micro_batch: Candidates that EACPS sends to Triton together.
        repetitions: Windows of each way.
    """

    checkpoint: str
    candidates: int
    steps: int
    micro_batch: int
    repetitions: int


def make_report(
    windows: Sequence[Window], settings: Settings, agreement: Agreement, machine: Mapping[str, Any]
) -> dict[str, Any]:
    """Return all figures, JSON-able.

    Args:
        windows: As many of each way.
        settings: What was measured.
        agreement: How far the ways' results agree.
        machine: What it was measured on.
    """
    by_way = {way: [window for window in windows if window.way == way] for way in WAYS}
    speeds = {way: statistics.median(one.candidates_per_s for one in of_way) for way, of_way in by_way.items()}
    foreign = statistics.median(window.foreign_cores for window in windows)
    return {
        "candidates_per_s": speeds,
        "ratio_eacps_4_vs_diffusers_loop": speeds[FOUR] / speeds[LOOP],
        "ratio_eacps_4_vs_diffusers_batched": speeds[FOUR] / speeds[BATCHED],
        "mean_denoiser_batch": {way: _model(by_way[way], _DENOISER).mean_batch for way in SERVED},
        "foreign_cores": foreign,
        "quiet": foreign <= QUIET_CORES,
        "settings": asdict(settings),
        "scorers": list(SCORERS),
        "machine": dict(machine),
        "agreement": asdict(agreement),
        "candidates_per_s_of_each_window": {
            way: [one.candidates_per_s for one in of_way] for way, of_way in by_way.items()
        },
        "stages_ms_per_candidate": {way: _stages(of_way) for way, of_way in by_way.items()},
        "processor_ms_per_candidate": {way: _processor(of_way) for way, of_way in by_way.items()},
        "triton_per_candidate": {way: _triton(by_way[way]) for way in SERVED},
    }


def write_report(report: Mapping[str, Any], path: Path) -> None:
    """Write the figures as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def print_report(report: Mapping[str, Any], console: Console) -> None:
    """Print the figures for people."""
    console.print(_speed_table(report))
    for way in SERVED:
        console.print(_model_table(way, report))
    for other in (LOOP, BATCHED):
        console.print(f"eacps_4 over {other}: {report[f'ratio_eacps_4_vs_{other}']:.2f}x")
    agreement = report["agreement"]
    console.print(
        f"same work: {agreement['pictures']} pictures within {agreement['max_difference']}/255, "
        f"{agreement['scores']} scores within {agreement['score_difference']:.4f}"
    )
    if not report["quiet"]:
        console.print(
            f"[bold red]not a quiet machine:[/] others kept {report['foreign_cores']:.1f} cores busy; "
            "take no figure above for true"
        )


def _stages(windows: Sequence[Window]) -> dict[str, float]:
    """Milliseconds a candidate by stage; those of searches side by side are added, and stages overlap."""
    outcomes = [outcome for window in windows for outcome in window.outcomes]
    stages = {stage for outcome in outcomes for stage in outcome.stages_s}
    count = sum(window.candidates for window in windows)
    return {
        stage: 1e3 * sum(outcome.stages_s.get(stage, 0.0) for outcome in outcomes) / count for stage in sorted(stages)
    }


def _processor(windows: Sequence[Window]) -> dict[str, float]:
    count = sum(window.candidates for window in windows)
    roles = sorted({role for window in windows for role in window.processor.by_role})
    spent = {role: sum(window.processor.by_role.get(role, 0.0) for window in windows) for role in roles}
    return {"total": 1e3 * sum(spent.values()) / count} | {role: 1e3 * s / count for role, s in spent.items() if s}


def _triton(windows: Sequence[Window]) -> dict[str, dict[str, float | None]]:
    count = sum(window.candidates for window in windows)
    models = sorted({model for window in windows for model in window.counters})
    return {model: _figures(_model(windows, model), count) for model in models}


def _figures(counted: ModelCounters, candidates: int) -> dict[str, float | None]:
    requests = counted.requests or None
    return {
        "rows": counted.rows / candidates,
        "executions": counted.executions / candidates,
        "mean_batch": counted.mean_batch,
        "queue_ms_per_request": counted.queue_us / 1e3 / requests if requests else None,
        "compute_ms_per_request": counted.compute_us / 1e3 / requests if requests else None,
    }


def _model(windows: Sequence[Window], model: str) -> ModelCounters:
    return reduce(add, (window.counters.get(model, ModelCounters()) for window in windows), ModelCounters())


def _speed_table(report: Mapping[str, Any]) -> Table:
    settings = report["settings"]
    title = (
        f"{settings['checkpoint']}, {settings['candidates']} candidates an edit, {settings['steps']} steps, "
        f"{report['machine']['cores_used']} cores, median of {settings['repetitions']}"
    )
    table = Table("way", "candidates/s", "from", "to", "processor ms", title=title)
    for column in table.columns[1:]:
        column.justify = "right"
    for way in WAYS:
        each = report["candidates_per_s_of_each_window"][way]
        spent = report["processor_ms_per_candidate"][way]["total"]
        speed = report["candidates_per_s"][way]
        table.add_row(way, f"{speed:.2f}", f"{min(each):.2f}", f"{max(each):.2f}", f"{spent:.0f}")
    return table


def _model_table(way: str, report: Mapping[str, Any]) -> Table:
    """Where a candidate's time goes: every process's share of the processors, and what Triton counted of it."""
    columns = ("runs", "batch", "queue ms a request", "compute ms a request", "processor ms")
    table = Table("process", *columns, title=f"{way}, a candidate")
    for column in table.columns[1:]:
        column.justify = "right"
    counted, spent = report["triton_per_candidate"][way], report["processor_ms_per_candidate"][way]
    for role in sorted({*counted, *spent} - {"total"}, key=lambda role: -spent.get(role, 0.0)):
        figures = counted.get(role, {})
        names = ("executions", "mean_batch", "queue_ms_per_request", "compute_ms_per_request")
        table.add_row(role, *(_number(figures.get(name)) for name in names), _number(spent.get(role, 0.0)))
    return table


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
