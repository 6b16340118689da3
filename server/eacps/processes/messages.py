"""Messages between a server and its workers: a line of JSON, and the bytes and arrays that it announces."""

import json
from collections.abc import Sequence
from typing import IO, Any

import numpy as np

from eacps.arrays import UInt8

Part = bytes | UInt8


def send(pipe: IO[bytes], message: dict[str, Any], parts: Sequence[Part]) -> None:
    """Send a message with parts."""
    shapes = [list(one.shape) if isinstance(one, np.ndarray) else [len(one)] for one in parts]
    pipe.write(json.dumps({**message, "parts": shapes}).encode() + b"\n")
    for one in parts:
        pipe.write(np.ascontiguousarray(one).data.cast("B") if isinstance(one, np.ndarray) else one)
    pipe.flush()


def receive(pipe: IO[bytes]) -> tuple[dict[str, Any], list[UInt8]]:
    """Receive a message and its parts, ``uint8`` of any shape.

    Raises:
        EOFError: The pipe ended before or within it.
    """
    line = pipe.readline()
    if not line:
        raise EOFError
    message: dict[str, Any] = json.loads(line)
    return message, [_filled(pipe, shape) for shape in message["parts"]]


def _filled(pipe: Any, shape: list[int]) -> UInt8:
    array = np.empty(tuple(shape), np.uint8)
    target, done = array.data.cast("B"), 0
    while done < len(target):
        read = pipe.readinto(target[done:])
        if not read:
            raise EOFError
        done += read
    return array
