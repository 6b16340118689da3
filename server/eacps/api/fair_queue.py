"""A queue for slots: tenants in rotation, the calls of one tenant in order."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from eacps.errors import TooManyCalls


class FairQueue:
    """A number of slots, and a queue of the calls that wait for one.

    Args:
        what: Description of the waiting calls in error messages, such as ``pictures wait to be decoded``.
        at_once: Number of slots.
        waiting: How many calls may wait.
        patience_s: How long a call waits at most.
    """

    def __init__(self, what: str, at_once: int, *, waiting: int = 64, patience_s: float = 20.0) -> None:
        self._what, self._free, self._most, self._patience_s = what, at_once, waiting, patience_s
        self._queues: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def slot(self, tenant: str) -> AsyncIterator[None]:
        """Wait for a slot, and hold it until the block ends.

        Raises:
            TooManyCalls: Too many calls wait already, or no slot was free in time.
        """
        await self._acquire(tenant)
        try:
            yield
        finally:
            self._release()

    async def _acquire(self, tenant: str) -> None:
        if self._free:
            self._free -= 1
            return
        waiting = sum(map(len, self._queues.values()))
        if waiting >= self._most:
            text = f"{self._most} {self._what}, as many as may wait"
            raise TooManyCalls(text, limit=self._most, count=waiting, retry_after_s=2.0)
        future = asyncio.get_running_loop().create_future()
        self._queues.setdefault(tenant, deque()).append(future)
        try:
            async with asyncio.timeout(self._patience_s):
                await future
        except BaseException as exc:
            if future.done() and not future.cancelled():
                self._release()  # the slot came at the moment of the timeout or cancellation
            else:
                self._dequeue(tenant, future)
            if isinstance(exc, TimeoutError):
                text = f"the server is busy: no slot within {self._patience_s:g} s ({self._what})"
                raise TooManyCalls(text, retry_after_s=2.0) from exc
            raise

    def _dequeue(self, tenant: str, future: "asyncio.Future[None]") -> None:
        queue = self._queues.get(tenant)
        if queue is None or future not in queue:
            return  # it was skipped by `_release`
        queue.remove(future)
        if not queue:
            del self._queues[tenant]

    def _release(self) -> None:
        while self._queues:
            tenant, queue = self._queues.popitem(last=False)
            future = queue.popleft()
            if queue:
                self._queues[tenant] = queue  # behind all others
            if not future.done():  # else it was cancelled, and its caller has not dequeued it yet
                future.set_result(None)
                return
        self._free += 1
