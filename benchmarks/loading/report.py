"""The live table, the summary for people, and the plot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from benchmarks.loading.records import PERCENTILES, Record


def live_table(record: Record, elapsed_s: float) -> Table:
    """What has happened so far."""
    table = Table(title=f"{elapsed_s:.0f} s", title_justify="left")
    for column in ("", "done", "per second", *(f"p{p} s" for p in PERCENTILES)):
        table.add_column(column, justify="left" if not column else "right")
    summary = record.summary(max(elapsed_s, 1e-9))
    rows = {"searches": "result", "searches left": "first candidate"}
    for kind, count in summary["done"].items():
        latency = summary["latency_s"].get(rows.get(kind, kind), {})
        figures = (f"{latency[f'p{p}']:.3f}" if latency else "" for p in PERCENTILES)
        table.add_row(kind, str(count), f"{summary['per_second'][kind]:.2f}", *figures)
    table.add_row("candidates", str(record.candidates), f"{summary['candidates_per_second']:.2f}", "", "", "")
    for error, count in record.errors.items():
        table.add_row(f"[red]{error}[/]", str(count), "", "", "", "")
    return table


def write(summary: dict[str, Any], record: Record, folder: Path) -> None:
    """Write ``load.json`` and ``latency.png``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "load.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    for what, values in sorted(record.latencies_s.items()):
        ordered = np.sort(values)
        axes.step(
            ordered, np.arange(1, len(ordered) + 1) / len(ordered), where="post", label=f"{what} ({len(ordered)})"
        )
    axes.set(
        xscale="log", xlabel="latency, s", ylabel="share served within it", ylim=(0, 1), title="Latency under load"
    )
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(folder / "latency.png", dpi=120)
    plt.close(figure)
