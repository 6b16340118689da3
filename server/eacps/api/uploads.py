"""Receives uploads in chunks, within limits of size, time and speed."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from eacps.api.memory_budget import Reservation
from eacps.errors import DeadlineExceeded, InvalidPicture
from eacps.v1 import search_service_pb2 as pb


@dataclass(frozen=True)
class UploadSpeed:
    """How fast an upload has to arrive.

    Args:
        idle_s: Longest time without a byte, and longest that bytes which came faster make up for later.
        bytes_per_s: Least average speed after that time.
    """

    idle_s: float = 10.0
    bytes_per_s: float = 16 * 1024

    def left_s(self, waited_for_s: float, received: int, elapsed_s: float) -> float:
        """Return how long to wait for the next bytes.

        Args:
            waited_for_s: How long the last ones were waited for at most.
            received: How many they were.
            elapsed_s: How long they took.
        """
        return min(self.idle_s, waited_for_s - elapsed_s + received / self.bytes_per_s)


_SPEED = UploadSpeed()


async def received(
    requests: AsyncIterator[pb.UploadImageRequest],
    most: int,
    reservation: Reservation,
    speed: UploadSpeed = _SPEED,
    clock: Callable[[], float] = time.monotonic,
) -> bytes:
    """Receive a picture.

    Args:
        requests: Its chunks; empty ones do not count as progress.
        most: Most bytes that are accepted.
        reservation: Grows by the received bytes.
        speed: How fast it has to arrive.
        clock: Seconds, monotonic.

    Raises:
        InvalidPicture: The picture has more bytes.
        DeadlineExceeded: It arrives too slowly, or not at all.
        TooManyCalls: The memory for uploads is exhausted.
    """
    data, left_s = bytearray(), speed.idle_s
    try:
        while True:
            begun_s = clock()
            async with asyncio.timeout(left_s):
                request = await _next_with_bytes(requests)
            if request is None:
                return bytes(data)
            if len(data) + len(request.chunk) > most:
                raise InvalidPicture(f"has more than {most} bytes")
            reservation.add(len(request.chunk))
            data += request.chunk
            left_s = speed.left_s(left_s, len(request.chunk), clock() - begun_s)
    except TimeoutError as exc:
        raise DeadlineExceeded(
            f"the picture stopped after {len(data)} bytes: nothing came for {speed.idle_s:g} s, "
            f"or less than {speed.bytes_per_s:g} bytes a second"
        ) from exc


async def _next_with_bytes(requests: AsyncIterator[pb.UploadImageRequest]) -> pb.UploadImageRequest | None:
    async for request in requests:
        if request.chunk:
            return request
    return None
