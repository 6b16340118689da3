"""A budget of bytes that calls and searches share."""

import asyncio
from collections import deque
from types import TracebackType
from typing import Self

from eacps.errors import FieldViolation, InvalidRequest, TooManyCalls


class MemoryBudget:
    """A budget of bytes. Calls fail at once if it is exhausted; searches wait, and bytes they wait for count as taken.

    Args:
        what: Description of the bytes in error messages, such as ``decoded pictures``.
        most: Number of bytes.
    """

    def __init__(self, what: str, most: int) -> None:
        self.what, self.most, self.held = what, most, 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    def reservation(self) -> "Reservation":
        """Return an empty reservation for one call or search."""
        return Reservation(self)

    @property
    def waited_for(self) -> int:
        """How many bytes are waited for."""
        return sum(size for size, _ in self._waiting)

    def check(self, size: int) -> None:
        """Check that the whole budget suffices for ``size`` bytes.

        Raises:
            InvalidRequest: It does not.
        """
        if size > self.most:
            text = f"need {size} bytes of {self.what}, of at most {self.most}"
            raise InvalidRequest([FieldViolation("pictures", text)])

    def take(self, size: int) -> None:
        """Take bytes at once.

        Raises:
            TooManyCalls: There are not so many that are neither held nor waited for.
        """
        if self.held + self.waited_for + size > self.most:
            text = f"{self.held} bytes of {self.what} are held, of at most {self.most}"
            raise TooManyCalls(text, limit=self.most, count=self.held, retry_after_s=2.0)
        self.held += size

    async def wait_for(self, size: int) -> None:
        """Wait for bytes and take them, first come, first served."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((size, future))
        self._serve()
        try:
            await future
        except BaseException:
            if future.cancelled():
                self._waiting = deque(entry for entry in self._waiting if entry[1] is not future)
                self._serve()
            else:
                self.release(size)  # they came at the moment of the cancellation
            raise

    def release(self, size: int) -> None:
        """Return bytes that were taken."""
        self.held -= size
        self._serve()

    def _serve(self) -> None:
        while self._waiting and self.held + self._waiting[0][0] <= self.most:
            size, future = self._waiting.popleft()
            if not future.done():
                self.held += size
                future.set_result(None)


class Reservation:
    """The bytes that one call or search holds. Leaving the context releases them.

    Args:
        memory: The budget that they are taken from.
    """

    def __init__(self, memory: MemoryBudget) -> None:
        self._memory, self._size = memory, 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def add(self, size: int) -> None:
        """Reserve more bytes.

        Raises:
            InvalidRequest: The reservation would exceed the whole budget.
            TooManyCalls: Not so many bytes are free.
        """
        self._memory.check(self._size + size)
        self._memory.take(size)
        self._size += size

    async def wait_for(self, size: int) -> None:
        """Wait until more bytes are free, and reserve them.

        Raises:
            InvalidRequest: The reservation would exceed the whole budget.
        """
        self._memory.check(self._size + size)
        await self._memory.wait_for(size)
        self._size += size

    def moved(self) -> "Reservation":
        """Move the bytes to a new reservation, and return that."""
        other = Reservation(self._memory)
        other._size, self._size = self._size, 0
        return other

    def release(self) -> None:
        """Release all bytes."""
        size, self._size = self._size, 0
        self._memory.release(size)
