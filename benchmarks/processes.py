"""Processor time of this process and everything under it, by what each process does."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

OWN = "benchmark and search server"
_STUB = "triton_python_backend_stub"


@dataclass(frozen=True)
class ProcessorTime:
    """A reading of the clocks.

    Args:
        by_role: Seconds used so far by each process of the tree, under the name of the model that it runs.
        machine: Seconds used so far by all processes of the machine.
    """

    by_role: Mapping[str, float]
    machine: float

    def since(self, earlier: "ProcessorTime") -> "ProcessorTime":
        """What was used in between."""
        used = {role: spent - earlier.by_role.get(role, 0.0) for role, spent in self.by_role.items()}
        return ProcessorTime(used, self.machine - earlier.machine)

    @property
    def tree(self) -> float:
        """Seconds used by all processes of the tree."""
        return sum(self.by_role.values())


def read_processor_time() -> ProcessorTime:
    """Read now."""
    own = psutil.Process()
    by_role: dict[str, float] = defaultdict(float)
    by_role[OWN] = _spent(own)
    for child in own.children(recursive=True):
        try:
            by_role[_role(child.cmdline())] += _spent(child)
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue  # it has just ended
    times = psutil.cpu_times()
    # Time of guests is part of user time already.
    busy = times.user + times.nice + times.system + times.irq + times.softirq + times.steal
    return ProcessorTime(dict(by_role), busy)


def _spent(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _role(command: list[str]) -> str:
    """The model's name for a process that runs one, else the program's."""
    if len(command) > 1 and Path(command[0]).name == _STUB:
        return Path(command[1]).parents[1].name
    return Path(command[0]).name if command else "unknown"
