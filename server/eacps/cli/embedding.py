"""The embedded Triton of a command: started with a word to the person who waits, its log where they find it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from eacps.cli.exit_codes import ExitCode
from eacps.cli.interrupts import terminable
from eacps.cli.outcome import CommandFailed
from eacps.triton.embedded import EmbeddedTriton
from eacps.triton.installation import check_model_repository


@contextmanager
def embedded_triton(model_repository: Path, log_file: Path, console: Console) -> Iterator[EmbeddedTriton]:
    """A running Triton that ends with the block, also on Ctrl-C and SIGTERM.

    Raises:
        CommandFailed: There is no model repository.
        TritonNotInstalled: Triton cannot run on this machine.
        TritonUnavailable: It did not start.
    """
    check = check_model_repository(model_repository)
    if not check.ok:
        message = f"{check.detail}\nbuild it with: {check.remedy}\nor name another with --model-repository"
        raise CommandFailed(message, ExitCode.INSTALLATION, code="NO_MODEL_REPOSITORY")
    triton = EmbeddedTriton(model_repository, log_file=log_file)
    with terminable():
        try:
            with console.status(f"starting Triton, log in {escape(str(log_file))}"):
                triton.start()
            yield triton
        finally:
            triton.stop()
