"""How many cores this process may use: its container's share, not the machine's."""

import math
import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


def available_cores(cgroups: Path = CGROUPS) -> int:
    """Return the number of cores that this process may keep busy, at least 1.

    Args:
        cgroups: Where the container's control group is mounted, version 1 or 2.

    Returns:
        Cores that the process may be scheduled on, or the container's processor quota, rounded up, where that is less.
    """
    schedulable = len(os.sched_getaffinity(0))
    quota = _quota(cgroups)
    return schedulable if quota is None else max(1, min(schedulable, math.ceil(quota)))


def _quota(cgroups: Path) -> float | None:
    """Return the processor time per time that the control group allows; None for no limit."""
    if (limit := cgroups / "cpu.max").exists():
        quota, period = limit.read_text(encoding="ascii").split()
        return None if quota == "max" else int(quota) / int(period)
    if (limit := cgroups / "cpu" / "cpu.cfs_quota_us").exists():
        microseconds = int(limit.read_text(encoding="ascii"))
        period = limit.with_name("cpu.cfs_period_us").read_text(encoding="ascii")
        return None if microseconds < 0 else microseconds / int(period)
    return None
