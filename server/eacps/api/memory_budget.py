"""A budget of bytes that calls and searches share."""

import asyncio
import math
from collections import Counter, deque
from types import TracebackType
from typing import Self

from eacps.api.admission import ANYONE
from eacps.errors import FieldViolation, InvalidRequest, TooManyCalls


class MemoryBudget:
    """A budget of bytes. Calls fail at once if it is exhausted; searches wait, and bytes they wait for count as taken.

    Args:
        what: Description of the bytes in error messages, such as ``decoded pictures``.
        most: Number of bytes.
        tenant_share: Largest part that calls of one tenant may hold, unless it holds them for a single one; in (0, 1].
    """

    def __init__(self, what: str, most: int, tenant_share: float = 1.0) -> None:
        self.what, self.most, self.held = what, most, 0
        self._share, self._held_by = math.ceil(most * tenant_share), Counter[str]()
        self._waiting: deque[tuple[int, str, asyncio.Future[None]]] = deque()

    def reservation(self, tenant: str = ANYONE) -> "Reservation":
        """Return an empty reservation for one call of a tenant, or, without one, for a search."""
        return Reservation(self, tenant)

    @property
    def waited_for(self) -> int:
        """How many bytes are waited for."""
        return sum(size for size, _, _ in self._waiting)

    def check(self, size: int) -> None:
        """Check that the whole budget suffices for ``size`` bytes.

        Raises:
            InvalidRequest: It does not.
        """
        if size > self.most:
            text = f"need {size} bytes of {self.what}, of at most {self.most}"
            raise InvalidRequest([FieldViolation("pictures", text)])

    def take(self, size: int, tenant: str = ANYONE, *, beside: int = 0) -> None:
        """Take bytes at once.

        Args:
            size: Number of bytes.
            tenant: Whose share they count to; `ANYONE` may have all.
            beside: How many bytes the same call holds already.

        Raises:
            TooManyCalls: There are not so many that are neither held nor waited for, or the tenant has its share.
        """
        held = self._held_by[tenant]
        if tenant != ANYONE and held > beside and held + size > self._share:
            text = f"{held} bytes of {self.what} are held by you, of at most {self._share}"
            raise TooManyCalls(text, limit=self._share, count=held, subject=f"tenant:{tenant}", retry_after_s=2.0)
        if self.held + self.waited_for + size > self.most:
            text = f"{self.held} bytes of {self.what} are held, of at most {self.most}"
            raise TooManyCalls(text, limit=self.most, count=self.held, retry_after_s=2.0)
        self._hold(size, tenant)

    async def wait_for(self, size: int, tenant: str = ANYONE) -> None:
        """Wait for bytes and take them for a tenant, beyond its share if need be; first come, first served."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((size, tenant, future))
        self._serve()
        try:
            await future
        except BaseException:
            if future.cancelled():
                self._waiting = deque(entry for entry in self._waiting if entry[2] is not future)
                self._serve()
            else:
                self.release(size, tenant)  # they came at the moment of the cancellation
            raise

    def release(self, size: int, tenant: str = ANYONE) -> None:
        """Return bytes that were taken."""
        self._hold(-size, tenant)
        self._serve()

    def _hold(self, size: int, tenant: str) -> None:
        self.held += size
        self._held_by[tenant] += size
        if not self._held_by[tenant]:
            del self._held_by[tenant]

    def _serve(self) -> None:
        while self._waiting and self.held + self._waiting[0][0] <= self.most:
            size, tenant, future = self._waiting.popleft()
            if not future.done():
                self._hold(size, tenant)
                future.set_result(None)


class Reservation:
    """The bytes that one call or search holds. Leaving the context releases them.

    Args:
        memory: The budget that they are taken from.
        tenant: Whose share they count to.
    """

    def __init__(self, memory: MemoryBudget, tenant: str) -> None:
        self._memory, self._tenant, self._size = memory, tenant, 0

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
            TooManyCalls: Not so many bytes are free, or the tenant has its share.
        """
        self._memory.check(self._size + size)
        self._memory.take(size, self._tenant, beside=self._size)
        self._size += size

    async def wait_for(self, size: int) -> None:
        """Wait until more bytes are free, and reserve them.

        Raises:
            InvalidRequest: The reservation would exceed the whole budget.
        """
        self._memory.check(self._size + size)
        await self._memory.wait_for(size, self._tenant)
        self._size += size

    def moved(self) -> "Reservation":
        """Move the bytes to a new reservation, and return that."""
        other = Reservation(self._memory, self._tenant)
        other._size, self._size = self._size, 0
        return other

    def release(self) -> None:
        """Release all bytes."""
        size, self._size = self._size, 0
        self._memory.release(size, self._tenant)
