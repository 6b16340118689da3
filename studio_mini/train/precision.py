"""The number format that trains fastest on this processor."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache

import torch


@cache
def has_fast_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 itself; where it only emulates it, a step takes ten times as long."""
    capabilities = torch.backends.cpu.get_cpu_capability()
    flags = _flags() if capabilities.startswith("AVX512") else frozenset()
    return bool(flags & {"avx512_bf16", "amx_bf16"})


def autocast(device: str = "cpu") -> AbstractContextManager[object]:
    """Autocast to bfloat16 where that is faster, else leave FP32; every GPU that is worth training on has it."""
    fast = device != "cpu" or has_fast_bfloat16()
    return torch.autocast(device, torch.bfloat16) if fast else nullcontext()


def _flags() -> frozenset[str]:
    """Instruction sets that the kernel names; empty where it names none."""
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as lines:
            return frozenset(next((line for line in lines if line.startswith("flags")), "").split())
    except FileNotFoundError:
        return frozenset()
