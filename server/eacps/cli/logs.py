"""Where this process's own log goes: to the person's console, above a progress bar where there is one; or as JSON."""

import atexit
import logging
import os
import select
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import rich.table  # noqa: F401  # else imported with the first record, when no descriptor may be left for its file
from rich.console import Console
from rich.logging import RichHandler

from eacps.cli.json_lines import MARK
from eacps.logs import JsonFormatter

_JSON_LINES = Path(__file__).with_name("json_lines.py")
_ACCESS_LOG = "eacps.access"
_WIDE = 10_000
_ENDING_S = 5.0
_log = logging.getLogger("eacps")


def log_to(console: Console, *, level: int, as_json: bool = False) -> None:
    """Send our log to ``console`` from ``level`` on, and warnings of the libraries.

    Args:
        console: Writes to standard error.
        level: Of the package's own messages.
        as_json: Make every line on standard error one of JSON, whoever writes it: libraries in C and C++, child
            processes and the console's own messages included. Every call is then logged, too.
    """
    handler: logging.Handler = RichHandler(console=console, show_path=False)
    if as_json:
        _make_json_of_standard_error()
        console.width = _WIDE  # a message is a line
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    if not as_json:
        handler.setFormatter(logging.Formatter("%(message)s"))
    _log.setLevel(level)
    if as_json:
        logging.getLogger(_ACCESS_LOG).setLevel(logging.INFO)
        logging.captureWarnings(True)
        _log_what_nobody_catches()


def _make_json_of_standard_error() -> None:
    """Put a process behind this one's standard error that passes lines on as JSON; it ends after this one."""
    sys.stderr.flush()
    written, when_written = os.pipe()
    command = [sys.executable, "-I", "-S", str(_JSON_LINES), str(when_written)]
    with open(2, "wb", buffering=0, closefd=False) as original:
        lines = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=original, pass_fds=[when_written], start_new_session=True
        )
    os.close(when_written)
    if lines.stdin is None:
        raise RuntimeError("the process has no pipe")
    os.dup2(lines.stdin.fileno(), 2)
    lines.stdin.close()

    def end() -> None:
        # The last lines have to be out before this process ends: if it is a container's first, all others end with it.
        sys.stderr.flush()
        os.write(2, MARK)
        select.select([written], [], [], _ENDING_S)

    atexit.register(end)


def _log_what_nobody_catches() -> None:
    def of_the_process(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        _log.critical("not caught", exc_info=(kind, error, trace))

    def of_a_thread(caught: threading.ExceptHookArgs) -> None:
        if caught.exc_value is not None:
            error = (caught.exc_type, caught.exc_value, caught.exc_traceback)
            _log.error("not caught in thread %s", caught.thread and caught.thread.name, exc_info=error)

    def of_a_finalizer(caught: "sys.UnraisableHookArgs") -> None:
        if caught.exc_value is not None:
            error = (caught.exc_type, caught.exc_value, caught.exc_traceback)
            _log.error("%s", caught.err_msg or "ignored where nothing can be raised", exc_info=error)

    sys.excepthook, threading.excepthook, sys.unraisablehook = of_the_process, of_a_thread, of_a_finalizer
