"""What the exit code of every command means."""

from enum import IntEnum


class ExitCode(IntEnum):
    """One meaning each, so that scripts can tell who has to act."""

    OK = 0
    BUG = 1
    REQUEST = 2
    SERVER = 3
    INSTALLATION = 4
    TIMEOUT = 5
    INTERRUPTED = 130
    BROKEN_PIPE = 141
    TERMINATED = 143


MEANINGS = {
    ExitCode.OK: "done",
    ExitCode.BUG: "a bug in EACPS, with its traceback",
    ExitCode.REQUEST: "the command line, a setting, a file or the request has to be changed",
    ExitCode.SERVER: "the search server or Triton is unavailable or failed",
    ExitCode.INSTALLATION: "this machine lacks something: a package, a model repository, disk space",
    ExitCode.TIMEOUT: "the time was up (--timeout)",
    ExitCode.INTERRUPTED: "interrupted (Ctrl-C)",
    ExitCode.BROKEN_PIPE: "the reader of the output went away",
    ExitCode.TERMINATED: "terminated (SIGTERM, SIGHUP)",
}
HELP = "Exit codes: " + "; ".join(f"{code.value} {meaning}" for code, meaning in MEANINGS.items()) + "."
