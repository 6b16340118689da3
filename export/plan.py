"""The plan of an export: which networks, in which precision and shapes, which are finished, and what the rest takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from export.estimates import Estimate, NotEnough, check_gate, check_room, estimate, in_gib, side_by_side, total
from export.jobs import NetworkJob, network_jobs, origin_of
from export.lock import is_locked
from export.making import network_beside
from export.notices import notices
from export.prepared import PreparedCheckpoint
from export.staging import Finished, lock_of
from export.targets import Target, TargetUnavailable


@dataclass(frozen=True)
class Line:
    """One network: whether it is finished already, and what making it takes."""

    job: NetworkJob
    finished: bool
    cost: Estimate


@dataclass(frozen=True)
class Plan:
    """All networks, in order."""

    lines: Sequence[Line]
    target: Target
    output: Path

    @property
    def whole(self) -> Estimate:
        """What all unfinished networks take, as they will be made here: perhaps the largest in a second process."""
        beside = network_beside([line.job for line in self.lines if not line.finished], self.target)
        if beside is None:
            return self.least
        costs = {line.job.spec: line.cost for line in self.lines if not line.finished}
        return side_by_side(costs.pop(beside.spec), total([*costs.values()]))

    @property
    def least(self) -> Estimate:
        """What they take one after the other."""
        return total([line.cost for line in self.lines if not line.finished])

    def check(self) -> None:
        """Check that this machine can make the unfinished networks.

        Raises:
            NotEnough: Disk or memory is too small.
            TargetUnavailable: It cannot run the parity gate.
        """
        check_gate([line.job for line in self.lines if not line.finished], self.target)
        check_room(self.least, self.output)


def plan_of(prepared: PreparedCheckpoint, output: Path) -> Plan:
    """Plan an export, without writing anything."""
    finished = Finished(output)
    lines = [
        Line(job, finished.find(job.spec.name, origin_of(job)) is not None, estimate(job, prepared.target))
        for job in network_jobs(prepared)
    ]
    return Plan(lines, prepared.target, output)


def print_plan(prepared: PreparedCheckpoint, output: Path, console: Console) -> None:
    """Print what an export would do."""
    plan = plan_of(prepared, output)
    # As texts, since names may look like Rich's markup.
    title = Text(f"{prepared.settings.name} for {prepared.target.name}")
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
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
        console.print(Text(f"{name}: {what}"), soft_wrap=True)
    for notice in notices(prepared):
        console.print(Text(notice), soft_wrap=True)
    whole = plan.whole
    room = in_gib(whole.disk + whole.scratch)
    console.print(f"needs {room} of disk, {in_gib(whole.memory)} of memory, about {whole.seconds / 60:.0f} minutes")
    console.print(Text(_on_this_machine(prepared, plan)), soft_wrap=True)
    if is_locked(lock_of(output)):
        console.print(Text(f"another export to {output} is under way"), soft_wrap=True)


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
        "finished" if line.finished else "",
    )


def _on_this_machine(prepared: PreparedCheckpoint, plan: Plan) -> str:
    try:
        device = prepared.target.check()
        plan.check()
    except (TargetUnavailable, NotEnough) as lacking:
        return f"not on this machine: {lacking}"
    return f"this machine suffices{f': {device}' if device else ''}"
