"""The sampler starts only in the repository that passed the parity gate, on the device that its engines were built for.

Triton does not start where a model fails to load, so this keeps the whole server from serving wrong pictures.
"""

from collections.abc import Mapping
from pathlib import Path

import torch

from eacps.manifest import BrokenRepository, programs_digest, verify
from eacps.models.arguments import build_of


def check_repository(args: Mapping[str, str]) -> None:
    """Check all of the repository's files against its manifest; for a full-size checkpoint that takes a minute.

    Args:
        args: What Triton hands to ``initialize``.

    Raises:
        BrokenRepository: There is no manifest, files or the code of `eacps.models` have changed, or the engines are
            another GPU's.
    """
    build = build_of(args)
    if not build:
        raise BrokenRepository("the configuration names no build: serve what `python -m export` wrote")
    # Triton may have been given a link; messages name what it leads to.
    manifest = verify(Path(args["model_repository"]).parent.resolve(), build)
    if manifest.programs_sha256 != programs_digest():
        raise BrokenRepository(
            "EACPS has changed since the export: export the repository anew, which keeps its networks"
        )
    if manifest.device and manifest.device != (here := device_name()):
        raise BrokenRepository(f"engines were built on {manifest.device}, this is {here}: export on this machine")


def device_name() -> str:
    """Name and compute capability of all GPUs, as the exporter writes them; ``no GPU`` where there is none."""
    if not torch.cuda.is_available():
        return "no GPU"
    names = {_name_of(number) for number in range(torch.cuda.device_count())}
    return " and ".join(sorted(names))


def _name_of(number: int) -> str:
    major, minor = torch.cuda.get_device_capability(number)
    return f"{torch.cuda.get_device_name(number)} ({major}.{minor})"
