"""Checks, decodes and hashes pictures of callers in threads of its own, off the event loop."""

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import TypeVar

from eacps.api.fair_queue import FairQueue
from eacps.api.memory_budget import MemoryBudget
from eacps.imaging import Decoded, Decoder, Header, Limits

T = TypeVar("T")
DECODED_BYTES = 2**30
"""Most bytes of decoded pictures that all calls and searches hold together."""
_CHANNELS = 3
_HASHED_HERE = 64 * 1024


class Decoding:
    """Decodes pictures of callers, a few at a time.

    Args:
        decoder: Decodes one picture.
        at_once: How many pictures are decoded at once.
        decoded_bytes: Most bytes of decoded pictures that all calls and searches hold together.
        memory: Budget shared with another `Decoding`; if given, ``decoded_bytes`` is ignored.
    """

    def __init__(
        self,
        decoder: Decoder,
        *,
        at_once: int = 2,
        decoded_bytes: int = DECODED_BYTES,
        memory: MemoryBudget | None = None,
    ) -> None:
        self._decoder = decoder
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="decoding")
        self._queue = FairQueue("pictures wait to be decoded", at_once)
        self.memory = memory or MemoryBudget("decoded pictures", decoded_bytes)

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(cancel_futures=True)

    def slot(self, tenant: str) -> AbstractAsyncContextManager[None]:
        """Wait for a slot, which the caller holds while it uses the methods below.

        Raises:
            TooManyCalls: Too many callers wait, or no slot was free in time.
        """
        return self._queue.slot(tenant)

    @contextmanager
    def memory_for(self, headers: Sequence[Header], tenant: str) -> Iterator[None]:
        """Reserve memory for a tenant's decoded pictures until the block ends; raises as `Reservation.add`."""
        with self.memory.reservation(tenant) as reservation:
            reservation.add(self.bytes_of(headers))
            yield

    @staticmethod
    def bytes_of(headers: Sequence[Header]) -> int:
        """Return how many bytes pictures need that are decoded one after the other, at any bit depth."""
        shown = [header.width * header.height * _CHANNELS for header in headers]
        deeper = [max(0, header.samples - size) for header, size in zip(headers, shown, strict=True)]
        return sum(shown) + max(deeper, default=0)

    async def header(self, data: bytes, limits: Limits) -> Header:
        """Read what the header says; see `eacps.imaging.Decoder`, also for the two below."""
        return await self.run(lambda: self._decoder.header(data, limits))

    async def picture(self, data: bytes, limits: Limits, *, pixels: bool) -> Decoded:
        """Decode a picture."""
        return await self.run(lambda: self._decoder.picture(data, limits, pixels=pixels))

    async def mask(self, data: bytes, limits: Limits, *, pixels: bool) -> Decoded:
        """Decode a mask."""
        return await self.run(lambda: self._decoder.mask(data, limits, pixels=pixels))

    async def digest(self, data: bytes) -> str:
        """Hash bytes with SHA-256, in hexadecimal."""
        if len(data) <= _HASHED_HERE:
            return hashlib.sha256(data).hexdigest()
        return await self.run(lambda: hashlib.sha256(data).hexdigest())

    async def run(self, work: Callable[[], T]) -> T:
        """Run ``work`` in one of the threads."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)
