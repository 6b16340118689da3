"""What the exit status of every command means."""

from enum import IntEnum


class ExitCode(IntEnum):
    """One meaning each, so that scripts can tell whose turn it is."""

    OK = 0
    BUG = 1
    REQUEST = 2
    SERVER = 3
    INSTALLATION = 4
    TIMEOUT = 5
    INTERRUPTED = 130
    TERMINATED = 143


MEANINGS = {
    ExitCode.OK: "done",
    ExitCode.BUG: "a bug, with its trace",
    ExitCode.REQUEST: "the command line, a setting or the request is at fault",
    ExitCode.SERVER: "the search server or Triton is unavailable or failed",
    ExitCode.INSTALLATION: "this machine lacks something; eacps doctor says what",
    ExitCode.TIMEOUT: "--timeout passed",
    ExitCode.INTERRUPTED: "interrupted",
    ExitCode.TERMINATED: "terminated",
}
HELP = "Exit status: " + "; ".join(f"{code.value} {meaning}" for code, meaning in MEANINGS.items()) + "."
