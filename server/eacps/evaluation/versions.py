"""Versions of everything that makes a result: the same versions and the same plan give the same pictures."""

import eacps
from eacps.triton.types import ServedCheckpoint

NOISE_VERSION = "torch-cpu-1"  # eps(seed) = torch.randn under torch.Generator("cpu").manual_seed(seed), FP32


def versions(checkpoint: ServedCheckpoint) -> dict[str, str]:
    """Name the versions by part: eacps, checkpoint, noise, triton."""
    return {
        "eacps": eacps.__version__,
        "checkpoint": f"{checkpoint.name}@{checkpoint.fingerprint}",
        "noise": NOISE_VERSION,
        "triton": checkpoint.triton_version,
    }
