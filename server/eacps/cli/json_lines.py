"""Turns every line on standard input into a line of JSON on standard output; lines that are JSON already pass.

A script of its own, run by a bare interpreter (``python -I -S json_lines.py``): it stands behind a process's standard
error, and has to outlive a crash of that process to pass on its last words. It imports only the standard library.
"""

import json
import os
import re
import signal
import sys
from datetime import UTC, datetime
from typing import IO

MARK = b"\0\n"
_LEVELS = {"I": "info", "W": "warning", "E": "error", "F": "critical"}
_ABSEIL = re.compile(r"(?P<level>[IWEF])\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ (?P<place>\S+:\d+)\] (?P<message>.*)", re.DOTALL)
"""How gRPC's core, and other C++ libraries, write their log."""


def as_json(line: str) -> str:
    """Return a line as JSON: time, level, logger and message."""
    if _is_json(line):
        return line
    level, logger, message = "info", "stderr", line
    if found := _ABSEIL.fullmatch(line):
        level, logger, message = _LEVELS[found["level"]], found["place"], found["message"]
    time = datetime.now(UTC).isoformat(timespec="milliseconds")
    return json.dumps({"time": time, "level": level, "logger": logger, "message": message}, ensure_ascii=False)


def _is_json(line: str) -> bool:
    if not line.startswith("{"):
        return False
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def pass_on(lines: IO[bytes], target: IO[bytes], written: int) -> None:
    """Pass on all lines until there are no more, each at once; blank ones are left out.

    Args:
        lines: Come from the process before this one.
        target: Gets JSON.
        written: Descriptor that gets a byte when all lines before a `MARK` are written.
    """
    for line in iter(lines.readline, b""):
        if text := line.removesuffix(MARK).decode(errors="replace").rstrip():
            target.write(as_json(text).encode() + b"\n")
            target.flush()
        if line.endswith(MARK):
            os.write(written, b".")


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # it ends with the process before it, and not earlier
        signal.signal(number, signal.SIG_IGN)
    pass_on(sys.stdin.buffer, sys.stdout.buffer, int(sys.argv[1]))
