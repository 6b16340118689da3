"""The embedded Triton of a command."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from eacps.cli.composition import Composition
from eacps.cli.exit_codes import ExitCode
from eacps.cli.files import writing
from eacps.cli.interrupts import terminable
from eacps.cli.outcome import CommandFailed
from eacps.triton.embedded import EmbeddedTriton
from eacps.triton.installation import check_model_repository


@contextmanager
def embedded_triton(composition: Composition, log_file: Path, console: Console) -> Iterator[EmbeddedTriton]:
    """Run a Triton until the block ends, also by Ctrl-C or SIGTERM.

    Args:
        composition: Names the model repository, and says how long the start may take.
        log_file: Where its output goes.
        console: Shows that it is being started.

    Raises:
        CommandFailed: There is no model repository, or the log file cannot be written.
        TritonNotInstalled: Triton cannot run on this machine.
        TritonUnavailable: It did not start.
    """
    check = check_model_repository(composition.model_repository)
    if not check.ok:
        message = f"{check.detail}\nbuild it with: {check.remedy}\nor name another with --model-repository"
        raise CommandFailed(message, ExitCode.INSTALLATION, code="NO_MODEL_REPOSITORY")
    with writing(log_file):
        log_file.parent.mkdir(parents=True, exist_ok=True)
        log_file.touch()
    triton = EmbeddedTriton(
        composition.model_repository,
        log_file=log_file,
        ready_timeout_s=composition.settings.triton_ready_timeout_s,
    )
    with terminable():
        try:
            with console.status(f"starting Triton, log in {escape(str(log_file))}"):
                triton.start()
            yield triton
        finally:
            triton.stop()
