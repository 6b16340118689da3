"""``python -m export``: a checkpoint becomes a Triton model repository.

Exit code 0 with the repository in place, up to date, or the plan printed; 1 where that failed, 2 where what was asked
for cannot be: with what stood there before untouched.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import sys
import time
import warnings
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console
from rich.progress import Progress as Bar
from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

from export.provenance import is_current
from export.request import ExportRequest, Ingredients, InvalidOption, gather
from export.sources import MissingSource

if TYPE_CHECKING:
    from export.models import PreparedCheckpoint


FAILED, WRONG_OPTION = 1, 2


class TargetName(StrEnum):
    """Targets of ``export.targets``, named here so that asking for help loads no torch."""

    EMBEDDED = "embedded"
    ONNXRUNTIME = "onnxruntime"
    TORCH = "torch"
    TENSORRT = "tensorrt"


class PrecisionName(StrEnum):
    """Precisions of ``export.precision``."""

    FP32 = "fp32"
    BF16 = "bf16"


def main(
    checkpoint: Annotated[
        str, typer.Option(help="Folder in diffusers' layout, or a name on the hub: Qwen/Qwen-Image-Edit-2511.")
    ],
    output: Annotated[Path, typer.Option(help="Folder of the repository; an earlier one there is replaced.")],
    target: Annotated[TargetName, typer.Option(help="What runs the networks.")] = TargetName.EMBEDDED,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of a name on the hub.")] = None,
    faces: Annotated[
        str | None, typer.Option(help="Face pack: a folder, or InsightFace's name for it: buffalo_l.")
    ] = None,
    swapper: Annotated[str | None, typer.Option(help="Face swapper: inswapper_128.onnx.")] = None,
    verifier: Annotated[str | None, typer.Option(help="Held-out recogniser, an ONNX file.")] = None,
    lora: Annotated[
        str | None, typer.Option(help="LoRA to fuse in: a .safetensors file, or owner/model/file on the hub.")
    ] = None,
    lora_scale: Annotated[float, typer.Option(help="Factor on the LoRA's effect.")] = 1.0,
    schedule: Annotated[
        str | None, typer.Option(help="lightning, or a scheduler's JSON file; else the checkpoint's own.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, max=1000, help="Default number of denoising steps.")] = None,
    precision: Annotated[PrecisionName | None, typer.Option(help="Of denoiser and text encoder.")] = None,
    size: Annotated[list[str] | None, typer.Option(help="Size of results, such as 1024x1024; repeatable.")] = None,
    pictures: Annotated[int | None, typer.Option(min=1, help="Most conditioning pictures.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Most candidates at once.")] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Print what would be done and what it takes; fetches a checkpoint's settings alone.",
        ),
    ] = False,
    unchecked: Annotated[bool, typer.Option("--unchecked", help="Do not ask for enough disk and memory.")] = False,
) -> None:
    """Write the Triton model repository of a checkpoint, every network held against its original.

    Does nothing where the repository is up to date. What was finished of an export that failed or was stopped is taken
    over by the next one.
    """
    request = ExportRequest(
        checkpoint=checkpoint,
        target=target.value,
        revision=revision,
        faces=faces,
        swapper=swapper,
        verifier=verifier,
        lora=lora,
        lora_scale=lora_scale,
        schedule=schedule,
        steps=steps,
        precision=precision.value if precision else None,
        sizes=_sizes(size or []),
        pictures=pictures,
        batch=batch,
    )
    console = Console(stderr=True)
    # Told to end, unwind, so that nothing half-written stays.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    try:
        ingredients = gather(request, weights=not dry_run)
        current = not dry_run and is_current(output, ingredients.sha256())
    except (InvalidOption, MissingSource) as wrong:
        _fail(console, str(wrong), WRONG_OPTION)
    if current:
        console.print(f"{output} is up to date")
        return
    _run(ingredients, output, console, dry_run=dry_run, unchecked=unchecked)


def _run(ingredients: Ingredients, output: Path, console: Console, *, dry_run: bool, unchecked: bool) -> None:
    started = time.monotonic()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Bar(*columns, console=console, disable=dry_run) as bar:
        steps = _Steps(bar)
        steps("load libraries")
        from export.failures import FAILURES, WRONG_OPTIONS

        try:
            _quiet_libraries()
            prepared = _prepare(ingredients)
            if not dry_run:
                _export(prepared, output, steps, unchecked=unchecked)
        except (KeyboardInterrupt, SystemExit):
            bar.stop()
            console.print("stopped; what was finished is kept for the next time", highlight=False)
            raise
        except (*FAILURES, *WRONG_OPTIONS) as failure:
            bar.stop()
            _fail(console, str(failure), WRONG_OPTION if isinstance(failure, WRONG_OPTIONS) else FAILED)
    if dry_run:
        from export.plan import print_plan

        print_plan(prepared, output, Console())
        return
    console.print(f"wrote {output} in {time.monotonic() - started:.0f} s")


def _prepare(ingredients: Ingredients) -> PreparedCheckpoint:
    from export.models import PreparedCheckpoint

    return PreparedCheckpoint(ingredients)


def _export(prepared: PreparedCheckpoint, output: Path, steps: _Steps, *, unchecked: bool) -> None:
    from export.plan import plan_of
    from export.repository import DEFAULT_CACHE, Progress, export_repository

    if not unchecked:
        plan_of(prepared, output).check()
    cache = Path(os.environ["XDG_CACHE_HOME"]) / "eacps" if "XDG_CACHE_HOME" in os.environ else DEFAULT_CACHE
    export_repository(prepared, output, Progress(steps, steps.phase), cache)
    steps.finish()


class _Steps:
    """A line for each step, with its time."""

    def __init__(self, bar: Bar) -> None:
        self.bar = bar
        self.description = ""

    def __call__(self, description: str) -> None:
        """Begin the next step."""
        self.finish()
        self.description = description
        self.bar.add_task(description, total=1)

    def phase(self, name: str, done: int, total: int) -> None:
        """Tell how far a phase of the step under way is."""
        if self.bar.tasks:
            self.bar.update(self.bar.tasks[-1].id, description=f"{self.description}: {name} {done}/{total}")

    def finish(self) -> None:
        """End the step that is under way."""
        for task in self.bar.tasks:
            self.bar.update(task.id, completed=1)


def _sizes(texts: list[str]) -> tuple[tuple[int, int], ...]:
    """Read sizes such as 1024x768.

    Raises:
        typer.BadParameter: One is of another form.
    """
    sizes = []
    for text in texts:
        found = re.fullmatch(r"(\d{2,5})x(\d{2,5})", text)
        if found is None:
            raise typer.BadParameter(f"{text!r} is no size such as 1024x1024", param_hint="--size")
        sizes.append((int(found[1]), int(found[2])))
    return tuple(sizes)


def _fail(console: Console, message: str, code: int) -> NoReturn:
    console.print(f"export failed: {message}", style="red", markup=False, highlight=False)
    raise typer.Exit(code)


def _quiet_libraries() -> None:
    """Silence what the libraries say about themselves; errors are raised, not logged."""
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    warnings.simplefilter("ignore")
    for name in ("torch.onnx._internal.exporter._registration", "diffusers", "transformers"):
        logging.getLogger(name).setLevel(logging.ERROR)


if __name__ == "__main__":
    typer.run(main)
