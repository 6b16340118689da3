"""What an export takes: disk, memory and time, estimated and checked before hours are spent.

Bytes follow from the number of weights. Seconds are rough: rates of ordinary machines, for telling minutes from hours.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnxruntime

from export.jobs import NetworkJob
from export.precision import Precision
from export.targets import Target, TargetUnavailable

GIB, MIB = 2**30, 2**20
BYTES = {Precision.FP32: 4, Precision.BF16: 2}
# Interpreter, libraries, small parity cases.
BASE_MEMORY = 2 * GIB
# Activations of a parity case in FP32: some dozen tensors of each token's width, at 20 billion weights about 3072.
ACTIVATION_BYTES_PER_TOKEN = 12 * 4 * 3072 * 4
# Above this the reference evaluator of ONNX, which stands in for a GPU where there is none, takes days.
EVALUATOR_WEIGHTS = 1_000_000_000
# A second reading, tracing, writing and the gate: gibibytes of weights a second. Measured on studio-mini it is the
# fixed part that counts, half a minute for each network.
EXPORT_GIB_PER_S, EXPORT_FIXED_S = 0.1, 20.0
# TensorRT tries kernels for each profile anew.
ENGINE_PROFILE_S, ENGINE_GIB_S = 60.0, 20.0


class NotEnough(Exception):
    """This machine lacks disk or memory for the export."""


@dataclass(frozen=True)
class Estimate:
    """What something takes.

    Args:
        disk: Bytes that it leaves.
        scratch: Bytes on disk while it is made.
        memory: Bytes of the host's memory while it is made.
        seconds: Rough.
    """

    disk: int
    scratch: int
    memory: int
    seconds: float


def estimate(job: NetworkJob, target: Target) -> Estimate:
    """Estimate one network."""
    original, rounded = 4 * job.weights, BYTES[job.precision] * job.weights
    memory = BASE_MEMORY + original + (rounded if job.precision is not Precision.FP32 else 0) + rounded
    memory += ACTIVATION_BYTES_PER_TOKEN * job.case_tokens
    seconds = EXPORT_FIXED_S + original / GIB / EXPORT_GIB_PER_S
    scratch = 0
    if target.fixed_shapes:
        scratch, memory = rounded, max(memory, BASE_MEMORY + original + 2 * rounded)
        seconds += len(job.profiles) * ENGINE_PROFILE_S + rounded / GIB * ENGINE_GIB_S
    return Estimate(rounded, scratch, memory, seconds)


def check_gate(jobs: Sequence[NetworkJob], target: Target) -> None:
    """Check that the parity gate can run here.

    Raises:
        TargetUnavailable: A large graph in BF16 is to be run, which ONNX Runtime does on a GPU alone.
    """
    large = [job.spec.name for job in jobs if job.precision is Precision.BF16 and job.weights > EVALUATOR_WEIGHTS]
    if target.runs_onnx and large and "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        raise TargetUnavailable(
            f"the parity of {' and '.join(large)} in bf16 needs onnxruntime-gpu and a GPU; or take --precision fp32"
        )


def total(estimates: Sequence[Estimate]) -> Estimate:
    """Estimate all networks, made one after the other."""
    return Estimate(
        disk=sum(one.disk for one in estimates),
        scratch=max((one.scratch for one in estimates), default=0),
        memory=max((one.memory for one in estimates), default=0),
        seconds=sum(one.seconds for one in estimates),
    )


def side_by_side(first: Estimate, second: Estimate) -> Estimate:
    """Estimate two parts of an export that are made at the same time."""
    return Estimate(
        disk=first.disk + second.disk,
        scratch=first.scratch + second.scratch,
        memory=first.memory + second.memory,
        seconds=max(first.seconds, second.seconds),
    )


def check_room(whole: Estimate, output: Path) -> None:
    """Check that this machine has what an export needs.

    Raises:
        NotEnough: It has not; the message says what is missing.
    """
    folder = next(parent for parent in (output.absolute(), *output.absolute().parents) if parent.exists())
    lacking = []
    if (free := shutil.disk_usage(folder).free) < (needed := whole.disk + whole.scratch):
        lacking.append(f"{in_gib(needed)} of disk at {folder}, where {in_gib(free)} are free")
    if (memory := available_memory()) < whole.memory:
        lacking.append(f"{in_gib(whole.memory)} of memory, where {in_gib(memory)} are available")
    if lacking:
        raise NotEnough(f"the export needs {' and '.join(lacking)}; --unchecked tries it all the same")


def available_memory() -> int:
    """Bytes of memory that can be had without swapping; all of it where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def in_gib(size: int) -> str:
    """Format a size in GiB, a small one in MiB."""
    return f"{size / GIB:.1f} GiB" if size >= GIB / 10 else f"{size / MIB:.0f} MiB"
