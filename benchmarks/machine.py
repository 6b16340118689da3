"""What figures were taken on: some cores of a machine, and which versions ran there."""

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

CORES = 2
_PACKAGES = ("torch", "diffusers", "transformers", "insightface", "onnxruntime", "grpcio", "nvidia-pytriton")


def confine(cores: int) -> int:
    """Confine this process and all that it starts to that many cores, and say how many there are.

    Every way of doing the work then has the same to share, however many threads each of its processes starts.
    """
    allowed = sorted(os.sched_getaffinity(0))[:cores]
    os.sched_setaffinity(0, allowed)
    return len(allowed)


def describe(cores: int) -> dict[str, Any]:
    """Describe the machine, free of anything that names it."""
    return {
        "processor": _processor(),
        "cores_used": cores,
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: version(name) for name in _PACKAGES},
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
