"""With --log-json every line on standard error is one of JSON, whoever writes it, to the last words of a crash."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from eacps.cli.json_lines import as_json

BEGIN = """
import logging, os, subprocess, sys, threading, warnings
from rich.console import Console
from eacps.cli.logs import log_to
console = Console(stderr=True)
log_to(console, level=logging.WARNING, as_json=True)
"""


def lines_of(code: str, *, status: int = 0, **environment: str) -> list[dict[str, Any]]:
    """Run code after the log was set up, and return what it wrote to standard error."""
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **environment},
    )
    assert done.returncode == status, done.stderr
    return [json.loads(line) for line in done.stderr.splitlines()]


@pytest.mark.parametrize(
    ("code", "logger", "message"),
    [
        ("logging.getLogger('eacps.api').warning('of ours')", "eacps.api", "of ours"),
        ("logging.getLogger('library').error('of a library')", "library", "of a library"),
        ("warnings.warn('old', DeprecationWarning, stacklevel=1)\nwarnings.warn('odd')", "py.warnings", "odd"),
        ("print('plain', file=sys.stderr)", "stderr", "plain"),
        ("os.write(2, b'past python\\n')", "stderr", "past python"),
        ("os.write(2, b'no end of the line')", "stderr", "no end of the line"),
        ("os.write(2, b'\\xff\\xfe not text\\n')", "stderr", "not text"),
        ("subprocess.run(['sh', '-c', 'echo of a child >&2'])", "stderr", "of a child"),
        ("console.print('[bold]serving[/] on ' + 100 * 'x')", "stderr", "serving on " + 100 * "x"),
        ("os.write(2, b'{broken\\n')", "stderr", "{broken"),
    ],
)
def test_every_line_is_json(code: str, logger: str, message: str) -> None:
    found = lines_of(code)
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in found)
    assert [line["logger"] for line in found if message in line["message"]] == [logger]


@pytest.mark.parametrize(
    ("code", "status", "word"),
    [
        ("raise ValueError('nobody')", 1, "ValueError: nobody"),
        ("threading.Thread(target=lambda: 1 / 0, name='one').start()", 0, "ZeroDivisionError"),
        ("class Odd:\n    def __del__(self):\n        1 / 0\nOdd()", 0, "ZeroDivisionError"),
    ],
)
def test_what_nobody_catches_is_one_line_with_its_trace(code: str, status: int, word: str) -> None:
    (line,) = lines_of(code, status=status)
    assert word in line["exception"]
    assert line["level"] in ("error", "critical")


def test_a_crash_has_its_last_words() -> None:
    found = lines_of("import faulthandler; faulthandler.enable(); os.write(2, b'dying\\n'); os.abort()", status=-6)
    assert [line["message"] for line in found][:2] == ["dying", "Fatal Python error: Aborted"]


def test_the_log_of_grpcs_core_is_json_too() -> None:
    code = """
import grpc
with grpc.insecure_channel("127.0.0.1:9") as channel:
    try:
        grpc.channel_ready_future(channel).result(timeout=0.5)
    except grpc.FutureTimeoutError:
        pass
"""
    found = lines_of(code, GRPC_VERBOSITY="debug", GRPC_TRACE="connectivity_state")
    assert any(".cc:" in line["logger"] for line in found), found[:3]


def test_a_call_is_a_line_with_fields() -> None:
    code = """
from eacps.api.calls import AccessLog, FinishedCall
AccessLog().call_ended(FinishedCall("GetSearch", "ada", "ipv4:127.0.0.1:5", "NOT_FOUND", "SEARCH_NOT_FOUND", 0.01234))
"""
    (line,) = lines_of(code)
    assert (
        line.items()
        >= {
            "logger": "eacps.access",
            "level": "info",
            "method": "GetSearch",
            "tenant": "ada",
            "peer": "ipv4:127.0.0.1:5",
            "code": "NOT_FOUND",
            "reason": "SEARCH_NOT_FOUND",
            "seconds": 0.0123,
        }.items()
    )


def test_levels_are_those_of_the_log() -> None:
    line = json.loads(as_json("E1129 08:30:12.549094    1096 chttp2_transport.cc:1435] ipv4:127.0.0.1:1: a GOAWAY"))
    assert (line["level"], line["logger"]) == ("error", "chttp2_transport.cc:1435")
    assert line["message"] == "ipv4:127.0.0.1:1: a GOAWAY"
    assert as_json('{"level": "info"}') == '{"level": "info"}'
    assert json.loads(as_json("[1]"))["message"] == "[1]"
