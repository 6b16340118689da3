"""Versions of everything that makes a result: the same versions and the same plan give the same pictures."""

from collections.abc import Mapping

import eacps
from eacps.triton.types import ServedCheckpoint

NOISE_DTYPE = "float32"  # recipes are summed, and latents handed about, in it


def versions(checkpoint: ServedCheckpoint, judges: Mapping[str, str]) -> dict[str, str]:
    """Name the versions by part: eacps, checkpoint, noise, noise_dtype, triton, build, and ``scorer.<name>`` for each.

    ``build`` names the exported networks, what runs them and in which precision: its manifest holds their hashes, the
    packages that made them and their parity figures. ``revision`` is there for a checkpoint from a hub.

    Args:
        checkpoint: What was searched on.
        judges: Identities of the scorers by name.
    """
    return {
        "eacps": eacps.__version__,
        "checkpoint": f"{checkpoint.name}@{checkpoint.fingerprint}",
        "noise": checkpoint.noise_version,
        "noise_dtype": NOISE_DTYPE,
        "triton": checkpoint.triton_version,
        **({"build": f"{checkpoint.build} {checkpoint.target} {checkpoint.precision}"} if checkpoint.build else {}),
        **({"revision": checkpoint.revision} if checkpoint.revision else {}),
        **{f"scorer.{name}": identity for name, identity in sorted(judges.items())},
    }
