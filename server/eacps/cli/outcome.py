"""Converts what went wrong to a message for a person or a machine, and to the exit code."""

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from rich.console import Console
from rich.markup import escape

from eacps.cli.exit_codes import ExitCode
from eacps.cli.streams import print_json
from eacps.errors import EacpsError, Fault, InvalidRequest, TritonNotInstalled, fault_of

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE)
_OF_FILES = (
    *_FULL,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.ELOOP,
    errno.EFBIG,
)
"""Not ENOENT: a file that is missing is checked where it is named, and elsewhere a bug."""

_REQUEST_CODES = (
    "ALREADY_EXISTS",
    "CANCELLED",
    "INVALID_ARGUMENT",
    "FAILED_PRECONDITION",
    "NOT_FOUND",
    "OUT_OF_RANGE",
    "PERMISSION_DENIED",
    "UNAUTHENTICATED",
)
"""gRPC status codes of errors that the caller can help."""
_DEADLINE = "DEADLINE_EXCEEDED"


class CommandFailed(Exception):
    """A command cannot go on.

    Args:
        message: What is wrong, for a person.
        exit_code: Of the command.
        code: Stable name for machines: a gRPC status name or a reason of the error tree.
        violations: Field and description of every violation of the request.
    """

    def __init__(
        self, message: str, exit_code: ExitCode, *, code: str, violations: tuple[tuple[str, str], ...] = ()
    ) -> None:
        super().__init__(message)
        self.message, self.exit_code, self.code, self.violations = message, exit_code, code, violations

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        violations = [{"field": field, "description": description} for field, description in self.violations]
        error = {"code": self.code, "message": self.message, "violations": violations, "exit_code": int(self.exit_code)}
        return {"error": error}


class Terminated(BaseException):
    """SIGTERM arrived. It is no Exception, as KeyboardInterrupt is none: only the end of a command catches it."""


def command_failed_of(error: EacpsError) -> CommandFailed:
    """Return what an error of the tree means for a command."""
    violations: tuple[tuple[str, str], ...] = ()
    if isinstance(error, InvalidRequest):
        violations = tuple((violation.field, violation.description) for violation in error.violations)
    if isinstance(error, TritonNotInstalled):
        exit_code = ExitCode.INSTALLATION
    elif error.reason == _DEADLINE:
        exit_code = ExitCode.TIMEOUT
    else:
        exit_code = ExitCode.REQUEST if error.fault is Fault.CALLER else ExitCode.SERVER
    return CommandFailed(str(error), exit_code, code=error.reason, violations=violations)


def exit_code_of(reason: str, code: str) -> ExitCode:
    """Return what an error that a server reported means for a command.

    Args:
        reason: Of the error tree; anything else is ignored.
        code: Name of the gRPC status code, which decides then.
    """
    if code == _DEADLINE:
        return ExitCode.TIMEOUT
    fault = fault_of(reason)
    is_callers = code in _REQUEST_CODES if fault is None else fault is Fault.CALLER
    return ExitCode.REQUEST if is_callers else ExitCode.SERVER


def _failure_of_machine(error: OSError) -> CommandFailed:
    """Describe an operating system error that was not translated earlier: a missing file or a full disk is no bug."""
    where = f"{error.filename}: " if error.filename else ""
    exit_code = ExitCode.INSTALLATION if error.errno in _FULL else ExitCode.REQUEST
    return CommandFailed(f"{where}{error.strerror}", exit_code, code=errno.errorcode[error.errno or 0])


@contextmanager
def reported(console: Console, *, as_json: bool = False) -> Iterator[None]:
    """Turn what ends a command into its message and exit code.

    Args:
        console: Gets the message; standard error.
        as_json: Print failures as JSON on standard output as well.

    Raises:
        SystemExit: With the exit code for whatever was raised inside. A bug passes through unchanged.
    """
    try:
        yield
    except EacpsError as error:
        _exit(command_failed_of(error), console, as_json=as_json)
    except CommandFailed as failure:
        _exit(failure, console, as_json=as_json)
    except OSError as error:
        if error.errno not in _OF_FILES:
            raise
        _exit(_failure_of_machine(error), console, as_json=as_json)
    except KeyboardInterrupt:
        _exit(CommandFailed("interrupted", ExitCode.INTERRUPTED, code="INTERRUPTED"), console, as_json=as_json)
    except Terminated:
        _exit(CommandFailed("terminated", ExitCode.TERMINATED, code="TERMINATED"), console, as_json=as_json)


def _exit(failure: CommandFailed, console: Console, *, as_json: bool) -> NoReturn:
    if failure.violations:
        console.print("[bold red]error:[/] invalid values:")
        for field, description in failure.violations:
            console.print(f"  [bold]{escape(field)}[/] {escape(description)}", highlight=False, soft_wrap=True)
    else:
        console.print(f"[bold red]error:[/] {escape(failure.message)}", highlight=False, soft_wrap=True)
    if as_json:
        print_json(failure.to_json())
    sys.exit(failure.exit_code)
