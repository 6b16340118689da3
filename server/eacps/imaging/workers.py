"""Decoding strangers' pictures in processes of their own, so that no picture can take the server down with it.

A decoder that crashes, hangs or asks for too much memory ends its process; the picture is refused, and the next one
gets a new process. Requests and answers travel as a line of JSON and the bytes that it announces.
"""

import contextlib
import json
import queue
import resource
import subprocess
import sys
import threading
from dataclasses import asdict
from types import TracebackType
from typing import IO, Any, Self

import numpy as np

from eacps.errors import InvalidPicture
from eacps.imaging.decoding import Limits, decode_picture
from eacps.imaging.types import Picture

MEMORY_BYTES = 2 * 2**30
TIMEOUT_S = 10.0
# One thread each: a numerics library would take memory for as many as there are cores.
_COMMAND = ("env", "OMP_NUM_THREADS=1", "OPENBLAS_NUM_THREADS=1", sys.executable, "-m", "eacps.imaging.workers")


class DecodingWorkers:
    """Some processes that decode. Any thread may ask; who finds all busy waits.

    Args:
        count: How many.
        timeout_s: Of one picture.
    """

    def __init__(self, count: int = 2, *, timeout_s: float = TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._idle: queue.SimpleQueue[subprocess.Popen[bytes]] = queue.SimpleQueue()
        self._workers = [_start() for _ in range(count)]
        self._lock, self._closed = threading.Lock(), False
        for worker in self._workers:
            self._idle.put(worker)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def decode(self, data: bytes, limits: Limits | None = None) -> Picture:
        """See `eacps.imaging.decode_picture`; blocks for as long as that takes.

        Raises:
            InvalidPicture: As there, or the decoder did not survive it.
        """
        limits = limits or Limits()
        if len(data) > limits.max_bytes:
            raise InvalidPicture(f"has {len(data)} bytes; at most {limits.max_bytes} are accepted")
        worker = self._idle.get()
        try:
            if worker.poll() is not None:  # it died while nobody asked it
                worker = self._replaced(worker)
            return _decoded_by(worker, data, limits, self._timeout_s)
        except InvalidPicture:
            raise
        except BaseException as exc:  # whatever it was, what this process would say next is not to be trusted
            _end(worker)
            if not isinstance(exc, Exception):
                raise
            raise InvalidPicture("cannot be decoded: its decoder crashed, or took too long or too much") from exc
        finally:
            self._idle.put(worker)

    def close(self) -> None:
        """End all processes."""
        with self._lock:
            self._closed = True
            for worker in self._workers:
                _end(worker)

    def _replaced(self, worker: "subprocess.Popen[bytes]") -> "subprocess.Popen[bytes]":
        with self._lock:
            if self._closed:
                return worker
            fresh = _start()
            self._workers[self._workers.index(worker)] = fresh
        _end(worker)
        return fresh


def _start() -> "subprocess.Popen[bytes]":
    return subprocess.Popen(_COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)


def _end(worker: "subprocess.Popen[bytes]") -> None:
    worker.kill()
    for pipe in (worker.stdin, worker.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):  # of bytes that nobody took
                pipe.close()
    worker.wait()


def _decoded_by(worker: "subprocess.Popen[bytes]", data: bytes, limits: Limits, timeout_s: float) -> Picture:
    if worker.stdin is None or worker.stdout is None:
        raise EOFError
    timer = threading.Timer(timeout_s, worker.kill)
    timer.start()
    try:
        _send(worker.stdin, {"limits": asdict(limits)}, data)
        told, pixels = _receive(worker.stdout)
    finally:
        timer.cancel()
    if "fault" in told:
        raise InvalidPicture(str(told["fault"]))
    height, width = (int(side) for side in told["shape"])
    return np.frombuffer(pixels, np.uint8).reshape(height, width, 3).copy()  # writable, as any other


def _send(pipe: IO[bytes], message: dict[str, Any], data: bytes) -> None:
    pipe.write(json.dumps({**message, "bytes": len(data)}).encode() + b"\n")
    pipe.write(data)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> tuple[dict[str, Any], bytes]:
    line = pipe.readline()
    if not line:
        raise EOFError
    message: dict[str, Any] = json.loads(line)
    size = int(str(message["bytes"]))
    data = pipe.read(size)
    if len(data) != size:
        raise EOFError
    return message, data


def _serve(asked: IO[bytes], told: IO[bytes]) -> None:
    """Decode what is asked for until nobody asks any more."""
    while True:
        try:
            message, data = _receive(asked)
        except EOFError:
            return
        limits = Limits(**message["limits"])
        try:
            picture = decode_picture(data, limits)
        except InvalidPicture as exc:
            _send(told, {"fault": str(exc)}, b"")
        else:
            _send(told, {"shape": picture.shape[:2]}, picture.tobytes())


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    _serve(sys.stdin.buffer, sys.stdout.buffer)
