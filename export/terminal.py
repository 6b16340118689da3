"""What the commands of this package print, and how they end."""

from __future__ import annotations

import sys
from collections.abc import Callable
from io import TextIOWrapper
from typing import Any, Final, NoReturn

import typer
from rich.console import Console

FAILED: Final = 1
WRONG_OPTION: Final = 2
"""Exit codes."""


def run_command(command: Callable[..., Any]) -> None:
    """Run a command with the process's arguments. File names that are no valid text are printed escaped."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    typer.run(command)


def say(console: Console, text: str) -> None:
    """Print a line as it is: paths may look like Rich's markup."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def fail(console: Console, text: str, code: int) -> NoReturn:
    """Print an error in red and end with an exit code."""
    console.print(text, style="red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(code)


def message_of(failure: Exception) -> str:
    """Return the message of an error with its notes in parentheses."""
    notes = getattr(failure, "__notes__", [])
    return f"{failure} ({'; '.join(notes)})" if notes else str(failure)
