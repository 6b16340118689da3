"""The worker process: resource limits, and the loop that handles requests."""

import math
import os
import resource
import sys
import time
from collections.abc import Callable, Sequence
from typing import IO, Any

from eacps.arrays import UInt8
from eacps.processes.messages import Part, receive, send

MEMORY_BYTES = 6 * 2**30
"""Addresses of one process: the samples of the largest picture, its bytes, and what the libraries take."""
Task = Callable[[dict[str, Any], list[UInt8]], tuple[dict[str, Any], Sequence[Part]]]
"""A request and its parts to an answer and its parts."""


def work(task: Task, refused: type[Exception], niceness: int) -> None:
    """Handle requests from standard input until it is closed.

    Args:
        task: Does it.
        refused: What ``task`` raises where a file is at fault.
        niceness: From 0 to 19: the higher, the more the processor is left to others.
    """
    os.nice(niceness)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not come between
    answer_all(sys.stdin.buffer, answers, task, refused)


def answer_all(asked: IO[bytes], answers: IO[bytes], task: Task, refused: type[Exception]) -> None:
    """Answer requests until there are no more; see `work`."""
    while True:
        try:
            request, parts = receive(asked)
        except EOFError:
            return
        answer, more = _done(request, parts, task, refused)
        del parts
        try:
            send(answers, answer, more)
        except BrokenPipeError:
            return


def _done(
    request: dict[str, Any], parts: list[UInt8], task: Task, refused: type[Exception]
) -> tuple[dict[str, Any], Sequence[Part]]:
    try:
        return task(request, parts)
    except MemoryError:
        return {"fault": f"takes more memory than a worker may have, {MEMORY_BYTES // 2**30} GiB"}, []
    except refused as exc:
        return {"fault": str(exc)}, []


def allow(processor_s: float) -> None:
    """Have this process end when it has taken so much more processor time."""
    most = math.ceil(time.process_time() + processor_s)
    resource.setrlimit(resource.RLIMIT_CPU, (most, resource.RLIM_INFINITY))
