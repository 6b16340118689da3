"""One run of the command: from files on this machine to a printed plan, or to a repository."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from export.inspection import inspect
from export.noise import known_noise_hidden
from export.notices import notices
from export.plan import plan_of, print_plan
from export.prepared import PreparedCheckpoint, prepare
from export.repository import Progress, export_repository
from export.request import Ingredients


@dataclass(frozen=True)
class Outcome:
    """How an export ended.

    Args:
        written: Whether it wrote the repository; False where another export had written the same meanwhile.
        notices: Lines for the user.
    """

    written: bool
    notices: list[str]


def plan(ingredients: Ingredients, output: Path, console: Console) -> None:
    """Print what an export would do, and refuse what it would refuse.

    Raises:
        Exception: Those of `export.failures`.
    """
    with known_noise_hidden():
        print_plan(_inspected(ingredients, output), output, console)


def export(
    ingredients: Ingredients, output: Path, progress: Progress, cache: Path, *, unchecked: bool, wait_s: float
) -> Outcome:
    """Write the repository.

    Args:
        ingredients: What it is made of.
        output: Its folder.
        progress: Callbacks.
        cache: Folder for what speeds up later builds of engines.
        unchecked: Whether to try with too little disk or memory.
        wait_s: How long to wait for another export to the same output.

    Raises:
        Exception: Those of `export.failures`.
    """
    with known_noise_hidden():
        progress.step("read weights")
        prepared = _inspected(ingredients, output)
        if not unchecked:
            plan_of(prepared, output).check()
        manifest = export_repository(prepared, output, progress, cache, beside=True, wait_s=wait_s)
        return Outcome(manifest is not None, notices(prepared))


def _inspected(ingredients: Ingredients, output: Path) -> PreparedCheckpoint:
    prepared = prepare(ingredients)
    inspect(prepared, output)
    return prepared
