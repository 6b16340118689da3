"""``python -m export``: make a Triton model repository from a checkpoint.

Exit codes: 0, the repository was written or is up to date, or the plan was printed; 1, the export failed; 2, the
options cannot be satisfied. After 1 and 2 an existing repository is unchanged.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.progress import Progress as Bar
from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

from export.face_pack import UnsupportedFacePack
from export.provenance import is_current
from export.request import ExportRequest, Ingredients, InvalidOption, gather
from export.sources import MissingSource
from export.terminal import FAILED, WRONG_OPTION, fail, message_of, run_command, say


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
    output: Annotated[Path, typer.Option(help="Folder of the repository; an earlier repository there is replaced.")],
    target: Annotated[TargetName, typer.Option(help="What runs the networks.")] = TargetName.EMBEDDED,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of a name on the hub.")] = None,
    faces: Annotated[
        str | None, typer.Option(help="Face pack: a folder, or InsightFace's name for it: buffalo_l.")
    ] = None,
    swapper: Annotated[
        str | None, typer.Option(help="Face swapper: inswapper_128.onnx. [default: the pack's own, if it has one]")
    ] = None,
    no_swapper: Annotated[
        bool, typer.Option("--no-swapper", help="Leave out the pack's swapper; priors are then made without one.")
    ] = False,
    verifier: Annotated[str | None, typer.Option(help="Held-out recognizer, an ONNX file.")] = None,
    calibration: Annotated[
        str | None, typer.Option(help="What scores mean on these networks, as written by python -m export.calibrate.")
    ] = None,
    license: Annotated[
        list[str] | None,
        typer.Option(
            help="License that you know of, as NETWORK=SPDX or NETWORK=SPDX:commercial; NETWORK may be checkpoint or "
            "faces; repeatable."
        ),
    ] = None,
    lora: Annotated[
        str | None, typer.Option(help="LoRA to fuse in: a .safetensors file, or owner/model/file on the hub.")
    ] = None,
    lora_scale: Annotated[float, typer.Option(help="Factor on the LoRA's effect.")] = 1.0,
    schedule: Annotated[
        str | None, typer.Option(help="lightning, or a scheduler's JSON file; else the checkpoint's own.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, max=1000, help="Default number of denoising steps.")] = None,
    precision: Annotated[PrecisionName | None, typer.Option(help="Of denoiser, text encoder and judge.")] = None,
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
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for another export to the same output.")] = 600.0,
    unchecked: Annotated[bool, typer.Option("--unchecked", help="Do not ask for enough disk and memory.")] = False,
) -> None:
    """Write the Triton model repository of a checkpoint, and compare every network with its original.

    Does nothing if the repository is up to date. Networks that a failed or stopped export has finished are reused by
    the next one.
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
        without_swapper=no_swapper,
        calibration=calibration,
        licenses=tuple(license or ()),
    )
    console = Console(stderr=True)
    with _terminable():
        ingredients, up_to_date = _gathered(request, output, console, dry_run=dry_run)
        if up_to_date:
            say(console, f"{output} is up to date")
            return
        _run(ingredients, output, console, dry_run=dry_run, unchecked=unchecked, wait_s=wait)


@contextmanager
def _terminable() -> Iterator[None]:
    """Within it SIGTERM raises SystemExit, so that an export that is stopped leaves nothing half-written."""
    before = signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _gathered(request: ExportRequest, output: Path, console: Console, *, dry_run: bool) -> tuple[Ingredients, bool]:
    """Return what the export is made of, and whether the output is made of just that."""
    try:
        ingredients = gather(request, weights=not dry_run)
        return ingredients, not dry_run and is_current(output, ingredients.sha256())
    except (InvalidOption, MissingSource) as wrong:
        _fail(console, wrong, WRONG_OPTION)
    except (OSError, UnsupportedFacePack) as error:
        _fail(console, error, FAILED)


def _run(
    ingredients: Ingredients, output: Path, console: Console, *, dry_run: bool, unchecked: bool, wait_s: float
) -> None:
    started = time.monotonic()
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Bar(*columns, console=console, disable=dry_run) as bar:
        steps = _Steps(bar)
        steps("load libraries")
        from export import run
        from export.failures import FAILURES, WRONG_OPTIONS
        from export.repository import DEFAULT_CACHE, Progress

        try:
            if dry_run:
                run.plan(ingredients, output, Console())
                return
            progress = Progress(steps, steps.phase, lambda text: say(console, text))
            home = os.environ.get("XDG_CACHE_HOME")
            cache = Path(home) / "eacps" if home else DEFAULT_CACHE
            outcome = run.export(ingredients, output, progress, cache, unchecked=unchecked, wait_s=wait_s)
            steps.finish()
        except (KeyboardInterrupt, SystemExit):
            bar.stop()
            say(console, "stopped; what was finished is kept for the next time")
            raise
        except (*FAILURES, *WRONG_OPTIONS) as failure:
            bar.stop()
            _fail(console, failure, WRONG_OPTION if isinstance(failure, WRONG_OPTIONS) else FAILED)
    for notice in outcome.notices:
        say(console, notice)
    written = f"wrote {output} in {time.monotonic() - started:.0f} s"
    say(console, written if outcome.written else f"{output} is up to date")


class _Steps:
    """Prints a line for each step, with its duration."""

    def __init__(self, bar: Bar) -> None:
        self.bar = bar
        self.description = ""

    def __call__(self, description: str) -> None:
        """Begin the next step."""
        self.finish()
        self.description = description
        self.bar.add_task(description, total=1)

    def phase(self, name: str, done: int, total: int) -> None:
        """Show the progress of a phase of the current step."""
        if self.bar.tasks:
            self.bar.update(self.bar.tasks[-1].id, description=f"{self.description}: {name} {done}/{total}")

    def finish(self) -> None:
        """End the current step."""
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


def _fail(console: Console, failure: Exception, code: int) -> NoReturn:
    fail(console, f"export failed: {message_of(failure)}", code)


if __name__ == "__main__":
    run_command(main)
