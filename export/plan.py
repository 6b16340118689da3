"""The plan of an export: what would be made, in which precision and shapes, what stands already, at what cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from export.estimates import Estimate, NotEnough, check_gate, check_room, estimate, in_gib, total
from export.job import NetworkJob, origin_of
from export.models import PreparedCheckpoint
from export.targets import Target, TargetUnavailable
from export.workshop import Finished


@dataclass(frozen=True)
class Line:
    """One network: whether it stands already, and what making it takes."""

    job: NetworkJob
    stands: bool
    cost: Estimate


@dataclass(frozen=True)
class Plan:
    """All networks, in order."""

    lines: Sequence[Line]
    target: Target
    output: Path

    @property
    def whole(self) -> Estimate:
        """What all that does not stand yet takes."""
        return total([line.cost for line in self.lines if not line.stands])

    def check(self) -> None:
        """See that this machine can do what does not stand yet.

        Raises:
            NotEnough: It lacks disk or memory.
            TargetUnavailable: It cannot run the parity gate.
        """
        check_gate([line.job for line in self.lines if not line.stands], self.target)
        check_room(self.whole, self.output)


def plan_of(prepared: PreparedCheckpoint, output: Path) -> Plan:
    """Plan an export, without writing anything."""
    finished = Finished(output)
    lines = [
        Line(job, finished.find(job.spec.name, origin_of(job)) is not None, estimate(job, prepared.target))
        for job in prepared.jobs()
    ]
    return Plan(lines, prepared.target, output)


def print_plan(prepared: PreparedCheckpoint, output: Path, console: Console) -> None:
    """Print what an export would do."""
    plan = plan_of(prepared, output)
    table = Table(
        title=f"{prepared.settings.name} for {prepared.target.name}", title_justify="left", box=None, pad_edge=False
    )
    for name in ("network", "weights", "in", "profiles", "disk", "memory", "about", ""):
        table.add_column(name, justify="left" if name in ("network", "in", "") else "right", no_wrap=True)
    for line in plan.lines:
        table.add_row(*_cells(line))
    console.print(table)
    sizes = ", ".join(f"{width}x{height}" for width, height in prepared.buckets.sizes)
    console.print(
        f"sizes {sizes}; up to {prepared.buckets.max_pictures} pictures; batches up to {prepared.buckets.max_batch}"
    )
    for name, what in prepared.additions.items():
        console.print(f"{name}: {what}", highlight=False)
    whole = plan.whole
    room = in_gib(whole.disk + whole.scratch)
    console.print(f"needs {room} of disk, {in_gib(whole.memory)} of memory, about {whole.seconds / 60:.0f} minutes")
    console.print(_on_this_machine(prepared, plan), highlight=False)


def _cells(line: Line) -> tuple[str, ...]:
    job, cost = line.job, line.cost
    return (
        job.spec.name,
        f"{job.weights / 1e6:,.1f} M",
        str(job.precision),
        str(len(job.profiles) or "any"),
        in_gib(cost.disk),
        in_gib(cost.memory),
        f"{cost.seconds / 60:.0f} min",
        "stands" if line.stands else "",
    )


def _on_this_machine(prepared: PreparedCheckpoint, plan: Plan) -> str:
    try:
        device = prepared.target.check()
        plan.check()
    except (TargetUnavailable, NotEnough) as lacking:
        return f"not on this machine: {lacking}"
    return f"this machine suffices{f': {device}' if device else ''}"
