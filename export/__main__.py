"""``python -m export``: a checkpoint becomes a Triton model repository."""

from __future__ import annotations

import logging
import time
import warnings
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from eacps.models.facts import UnsupportedCheckpoint
from export.networks.faces import UnsupportedFacePack
from export.parity import ParityFailed
from export.repository import IncompleteCheckpoint, NotARepository, export_repository
from export.targets import EMBEDDED, TARGETS

FAILURES = (IncompleteCheckpoint, NotARepository, ParityFailed, UnsupportedCheckpoint, UnsupportedFacePack)


def main(
    checkpoint: Annotated[Path, typer.Option(help="Folder of the checkpoint, in diffusers' layout.")],
    output: Annotated[Path, typer.Option(help="Folder of the repository; an earlier one there is replaced.")],
    target: Annotated[str, typer.Option(help=f"What runs the networks: {', '.join(TARGETS)}.")] = EMBEDDED.name,
) -> None:
    """Write the Triton model repository of a checkpoint, every network held against its original."""
    console = Console(stderr=True)
    if target not in TARGETS:
        raise typer.BadParameter(f"there is no target {target!r}; choose from {', '.join(TARGETS)}")
    _quiet_exporters()
    started = time.monotonic()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    try:
        with Progress(*columns, console=console) as bar:
            export_repository(checkpoint, TARGETS[target], output, _Steps(bar))
    except FAILURES as failure:
        console.print(f"[red]export failed:[/] {failure}")
        raise typer.Exit(1) from None
    console.print(f"wrote {output} in {time.monotonic() - started:.0f} s")


class _Steps:
    """One line a step; the one before is done when the next begins."""

    def __init__(self, bar: Progress) -> None:
        self.bar = bar

    def __call__(self, description: str) -> None:
        for task in self.bar.tasks:
            if not task.finished:
                self.bar.update(task.id, total=1, completed=1)
        self.bar.add_task(description, total=None)


def _quiet_exporters() -> None:
    """Silence what the libraries say about themselves; errors are raised, not logged."""
    warnings.simplefilter("ignore")
    for name in ("torch.onnx", "torch.export", "diffusers", "transformers"):
        logging.getLogger(name).setLevel(logging.ERROR)


if __name__ == "__main__":
    typer.run(main)
