"""The plan of an export: what would be made, in which precision and shapes, what stands already, at what cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from eacps.manifest import Manifest, is_intact
from export.estimates import Estimate, NotEnough, check_room, estimate, in_gib, total
from export.models import NetworkJob, PreparedCheckpoint
from export.networks.network import sources_of
from export.provenance import origin_of
from export.targets import TargetUnavailable


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
    output: Path

    @property
    def whole(self) -> Estimate:
        """What all that does not stand yet takes."""
        return total([line.cost for line in self.lines if not line.stands])

    def check(self) -> None:
        """Raise `NotEnough` where this machine lacks disk or memory."""
        check_room(self.whole, self.output)


def plan_of(prepared: PreparedCheckpoint, output: Path) -> Plan:
    """Plan an export, without writing anything."""
    earlier = Manifest.read(output)
    lines = []
    for job in prepared.jobs():
        record = earlier.models.get(job.spec.name) if earlier else None
        origin = origin_of(job.spec, job.files, job.settings, sources_of(job.network))
        stands = record is not None and record.origin == origin and is_intact(output / job.spec.name, record)
        lines.append(Line(job, stands, estimate(job, prepared.target)))
    return Plan(lines, output)


def print_plan(prepared: PreparedCheckpoint, output: Path, console: Console) -> None:
    """Print what an export would do."""
    plan = plan_of(prepared, output)
    table = Table(title=f"{prepared.settings.name} for {prepared.target.name}", title_justify="left")
    for name in ("network", "weights", "precision", "profiles", "disk", "memory", "about", ""):
        table.add_column(name, justify="left" if name in ("network", "precision", "") else "right")
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
        str(len(job.profiles) or "any shape"),
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
