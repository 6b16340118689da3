"""Standard output and standard error that end a command in order, whatever they are connected to.

If a reader goes away (``eacps list | head -1``), the command ends with the shell's exit code for it; if the disk is
full, with a message. Characters that the stream's encoding lacks are written as escapes, so that no file name can end a
command.
"""

import errno
import json
import os
import sys
from typing import Any, NoReturn, TextIO

from rich.console import Console

from eacps.cli.exit_codes import ExitCode

_REDIRECTED_WIDTH = 120
_FULL = (errno.ENOSPC, errno.EDQUOT)


class GuardedStream:
    """A text stream whose failures end the process, and are never an exception that a library might swallow.

    Args:
        stream: Is written to.
        name: Of the stream, for a message.
    """

    def __init__(self, stream: TextIO, name: str) -> None:
        self._stream, self._name = stream, name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._stream, attribute)

    def write(self, text: str) -> int:
        """Write text.

        Raises:
            SystemExit: Nobody reads it, or there is no room for it.
        """
        try:
            return self._stream.write(text)
        except OSError as exc:
            self._end(exc)

    def writelines(self, lines: list[str]) -> None:
        """Write lines; see `write`."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Write what is buffered; see `write`."""
        try:
            self._stream.flush()
        except OSError as exc:
            self._end(exc)

    def _end(self, error: OSError) -> NoReturn:
        self._silence()
        if error.errno == errno.EPIPE:
            raise SystemExit(ExitCode.BROKEN_PIPE)
        if self._name != "standard error":
            print(f"error: cannot write to {self._name}: {error.strerror}", file=sys.stderr)
        raise SystemExit(ExitCode.INSTALLATION if error.errno in _FULL else ExitCode.REQUEST)

    def _silence(self) -> None:
        """Let the interpreter's own flush at its end succeed."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)


def print_json(value: Any) -> None:
    """Print a value as one line of JSON on standard output, valid in any encoding of it."""
    unicode = (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")
    print(json.dumps(value, ensure_ascii=not unicode), flush=True)


def guard_streams() -> None:
    """Guard this process's standard output and standard error; what is closed is written nowhere."""
    sys.stdout, sys.stderr = (
        _guarded(sys.stdout, "standard output"),
        _guarded(sys.stderr, "standard error"),
    )


def _guarded(stream: Any, name: str) -> Any:
    if stream is None:  # closed before the start, as by ``>&-``
        stream = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - it lives as long as the process
    stream.reconfigure(errors="backslashreplace")
    return GuardedStream(stream, name)


def result_console() -> Console:
    """Return a console on standard output, wide enough for the tables if it is not a terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=_REDIRECTED_WIDTH)
