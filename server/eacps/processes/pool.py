"""The server's side of its workers: each does one thing at a time, and is replaced where it ends.

A worker that crashes, or takes too much memory or processor time, ends; the file that it had is at fault, and the next
one gets a new worker. One that was ended by something else, such as a machine short of memory, says nothing about the
file. Requests and answers travel as messages (`eacps.processes.messages`).
"""

import contextlib
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from eacps.arrays import UInt8
from eacps.processes.messages import Part, receive, send

_ENDING_S = 0.5
# One thread each: a numerics library would take memory for as many as there are cores.
# `nice` is only there because `env` takes a path with an equals sign for a variable.
_ENVIRONMENT = ("env", "OMP_NUM_THREADS=1", "OPENBLAS_NUM_THREADS=1", "nice", "-n", "0")
Process = subprocess.Popen[bytes]


class TaskFailed(Exception):
    """The worker says what is wrong with the file: a phrase that continues its name."""


class WorkerEnded(Exception):
    """The worker ended by what the file made it do: a phrase that continues the file's name."""


class WorkerUnavailable(Exception):
    """No worker could do it, and the file is not to blame."""


class WorkerPool:
    """Several processes of one module. Any thread may ask; who finds all busy waits.

    Args:
        module: What each runs: calls `eacps.processes.worker.work` with the niceness in its only argument.
        count: How many, started at once.
        niceness: Of the processes, from 0 to 19: the higher, the more they leave the processor to others.
        wait_s: How long to wait for an idle one at most; None waits as long as others take.
    """

    def __init__(self, module: str, count: int, *, niceness: int = 0, wait_s: float | None = None) -> None:
        self.command: tuple[str, ...] = (*_ENVIRONMENT, sys.executable, "-m", module, str(niceness))
        self._wait_s = wait_s
        self._idle: queue.SimpleQueue[Process] = queue.SimpleQueue()
        self._lock, self._closed = threading.Lock(), False
        self.workers = [_start(self.command) for _ in range(count)]
        for worker in self.workers:
            self._idle.put(worker)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all processes."""
        with self._lock:
            self._closed = True
            for worker in self.workers:
                _end(worker)

    def ask(
        self, request: dict[str, Any], parts: Sequence[Part], *, timeout_s: float
    ) -> tuple[dict[str, Any], list[UInt8]]:
        """Have a worker do something.

        Args:
            request: JSON-able.
            parts: Bytes and arrays that belong to it.
            timeout_s: How long it may take, by the clock, from when a worker begins.

        Raises:
            TaskFailed: The worker found a fault in the file.
            WorkerEnded: The file ended the worker.
            WorkerUnavailable: All were busy for too long, none could be started, or the one that began was killed.
        """
        try:
            worker = self._idle.get(timeout=self._wait_s)
        except queue.Empty:
            raise WorkerUnavailable(f"all decoders have been busy for {self._wait_s:g} s") from None
        try:
            if worker.poll() is not None:  # it died while idle
                worker = self._replaced(worker)
            answer, answers = _answer_of(worker, request, parts, timeout_s)
        except WorkerUnavailable:
            raise
        except BaseException as exc:  # the next answer of this process cannot be trusted
            with contextlib.suppress(subprocess.TimeoutExpired):  # having closed its pipe it is about to end by itself
                worker.wait(_ENDING_S)
            status = _end(worker)
            if not isinstance(exc, Exception):
                raise
            raise _failure_of(status) from exc
        finally:
            self._idle.put(worker)
        if "fault" in answer:
            raise TaskFailed(str(answer["fault"]))
        return answer, answers

    def _replaced(self, worker: Process) -> Process:
        with self._lock:
            if self._closed:
                raise WorkerUnavailable("the server stops")
            try:
                fresh = _start(self.command)
            except OSError as exc:
                raise WorkerUnavailable(f"a decoder could not be started: {exc.strerror or exc}") from exc
            self.workers[self.workers.index(worker)] = fresh
        _end(worker)
        return fresh


def _start(command: Sequence[str]) -> Process:
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)


def _end(worker: Process) -> int:
    """End a worker and return its status: negative for the signal that ended it."""
    worker.kill()
    for pipe in (worker.stdin, worker.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):  # of bytes that were not read
                pipe.close()
    return worker.wait()


def _failure_of(status: int) -> WorkerEnded | WorkerUnavailable:
    """Explain why a worker ended while it had a file."""
    if status == -signal.SIGXCPU:
        return WorkerEnded("takes too much processor time to decode")
    if status == -signal.SIGKILL:  # by us, after the time-out; or by a system that is short of memory
        return WorkerUnavailable("a decoder took too long, or was killed: the server is busy")
    return WorkerEnded("cannot be decoded: its decoder crashed")


def _answer_of(
    worker: Process, request: dict[str, Any], parts: Sequence[Part], timeout_s: float
) -> tuple[dict[str, Any], list[UInt8]]:
    if worker.stdin is None or worker.stdout is None:
        raise EOFError
    timer = threading.Timer(timeout_s, worker.kill)
    timer.start()
    try:
        send(worker.stdin, request, parts)
        return receive(worker.stdout)
    finally:
        timer.cancel()
