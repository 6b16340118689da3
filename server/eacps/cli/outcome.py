"""From what went wrong to a message for a person or a machine, and the exit code."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from rich.console import Console
from rich.markup import escape

from eacps.cli.exit_codes import ExitCode
from eacps.errors import EacpsError, Fault, InvalidRequest, TritonNotInstalled


class CommandFailed(Exception):
    """A command cannot go on.

    Args:
        message: What is wrong, for a person.
        exit_code: Whose turn it is.
        code: Stable name for machines: a gRPC status name or a reason of the error tree.
        violations: Field and description of every fault in the request.
    """

    def __init__(
        self, message: str, exit_code: ExitCode, *, code: str, violations: tuple[tuple[str, str], ...] = ()
    ) -> None:
        super().__init__(message)
        self.message, self.exit_code, self.code, self.violations = message, exit_code, code, violations

    def to_json(self) -> dict[str, Any]:
        """JSON form."""
        faults = [{"field": field, "description": description} for field, description in self.violations]
        error = {"code": self.code, "message": self.message, "violations": faults, "exit_code": int(self.exit_code)}
        return {"error": error}


class Terminated(BaseException):
    """SIGTERM arrived. Not an Exception, as KeyboardInterrupt is none: nothing but the end may catch it."""


def failure_of(error: EacpsError) -> CommandFailed:
    """Say what an error of the tree means for a command."""
    violations: tuple[tuple[str, str], ...] = ()
    if isinstance(error, InvalidRequest):
        violations = tuple((violation.field, violation.description) for violation in error.violations)
    if isinstance(error, TritonNotInstalled):
        exit_code = ExitCode.INSTALLATION
    elif error.reason == "DEADLINE_EXCEEDED":
        exit_code = ExitCode.TIMEOUT
    else:
        exit_code = ExitCode.REQUEST if error.fault is Fault.CALLER else ExitCode.SERVER
    return CommandFailed(str(error), exit_code, code=error.reason, violations=violations)


@contextmanager
def reported(console: Console, *, as_json: bool = False) -> Iterator[None]:
    """Turn what ends a command into its message and exit status.

    Args:
        console: Gets the message; standard error.
        as_json: Print failures as JSON on standard output as well.

    Raises:
        SystemExit: With the exit code of whatever was raised inside. A bug passes through as it is.
    """
    try:
        yield
    except EacpsError as error:
        _exit(failure_of(error), console, as_json=as_json)
    except CommandFailed as failure:
        _exit(failure, console, as_json=as_json)
    except KeyboardInterrupt:
        _exit(CommandFailed("interrupted", ExitCode.INTERRUPTED, code="INTERRUPTED"), console, as_json=as_json)
    except Terminated:
        _exit(CommandFailed("terminated", ExitCode.TERMINATED, code="TERMINATED"), console, as_json=as_json)


def _exit(failure: CommandFailed, console: Console, *, as_json: bool) -> NoReturn:
    if failure.violations:
        console.print("[bold red]error:[/] not acceptable:")
        for field, description in failure.violations:
            console.print(f"  [bold]{escape(field)}[/] {escape(description)}", highlight=False, soft_wrap=True)
    else:
        console.print(f"[bold red]error:[/] {escape(failure.message)}", highlight=False, soft_wrap=True)
    if as_json:
        print(json.dumps(failure.to_json()))
    sys.exit(failure.exit_code)
