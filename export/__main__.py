"""``python -m export``: a checkpoint becomes a Triton model repository.

Exit code 0 with the repository in place, up to date; 1 with what stood there before untouched; 2 for wrong options.
"""

from __future__ import annotations

import logging
import signal
import sys
import time
import warnings
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from export.manifest import is_current


class TargetName(StrEnum):
    """Targets of ``export.targets``, named here so that asking for help loads no torch."""

    EMBEDDED = "embedded"


def main(
    checkpoint: Annotated[Path, typer.Option(help="Folder of the checkpoint, in diffusers' layout.")],
    output: Annotated[Path, typer.Option(help="Folder of the repository; an earlier one there is replaced.")],
    target: Annotated[TargetName, typer.Option(help="What runs the networks.")] = TargetName.EMBEDDED,
) -> None:
    """Write the Triton model repository of a checkpoint, every network held against its original.

    Does nothing where the repository is up to date.
    """
    console = Console(stderr=True)
    if is_current(output, checkpoint, target):
        console.print(f"{output} is up to date")
        return
    started = time.monotonic()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        failure = _export(checkpoint, target, output, _Steps(bar))
    if failure:
        console.print(f"export failed: {failure}", style="red", markup=False, highlight=False)
        raise typer.Exit(1)
    console.print(f"wrote {output} in {time.monotonic() - started:.0f} s")


def _export(checkpoint: Path, target: TargetName, output: Path, steps: _Steps) -> str | None:
    """Export; return what the caller can mend, or None."""
    steps("load libraries")
    from eacps.models.facts import UnsupportedCheckpoint
    from export.models import IncompleteCheckpoint
    from export.networks.faces import UnsupportedFacePack
    from export.parity import ParityFailed
    from export.repository import NotARepository, export_repository
    from export.targets import TARGETS

    _quiet_libraries()
    # Told to end, unwind, so that nothing half-written stays.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    try:
        export_repository(checkpoint, TARGETS[target], output, steps)
    except (IncompleteCheckpoint, NotARepository, ParityFailed, UnsupportedCheckpoint, UnsupportedFacePack) as failure:
        return str(failure)
    steps.finish()
    return None


class _Steps:
    """A line for each step, with its time."""

    def __init__(self, bar: Progress) -> None:
        self.bar = bar

    def __call__(self, description: str) -> None:
        """Begin the next step."""
        self.finish()
        self.bar.add_task(description, total=1)

    def finish(self) -> None:
        """End the step that is under way."""
        for task in self.bar.tasks:
            self.bar.update(task.id, completed=1)


def _quiet_libraries() -> None:
    """Silence what the libraries say about themselves; errors are raised, not logged."""
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    warnings.simplefilter("ignore")
    for name in ("torch.onnx._internal.exporter._registration", "diffusers", "transformers"):
        logging.getLogger(name).setLevel(logging.ERROR)


if __name__ == "__main__":
    typer.run(main)
