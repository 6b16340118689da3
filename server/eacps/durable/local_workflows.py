"""The queue of a server that has the database to itself: in memory, without polling.

Which searches are queued or running is in the table of searches, where a restarted server finds it.
"""

import asyncio
import heapq
import logging
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Collection
from functools import partial

from eacps.durable.protocols import ConcurrencyLimits, Run
from eacps.durable.stored import StoredSearch

_log = logging.getLogger(__name__)
_Waiting = tuple[int, float, str]
"""Priority, time of creation and id of a search."""


class LocalWorkflows:
    """`Workflows` of this process alone.

    Tenants are served in rotation; of one tenant's searches the smallest priority number goes first, then the oldest.

    Args:
        limits: How many searches run at once.
    """

    resumes_by_itself = False

    def __init__(self, limits: ConcurrencyLimits | None = None) -> None:
        limits = limits or ConcurrencyLimits()
        self._most = min(limits.per_server, limits.total or limits.per_server)
        self._per_tenant = limits.per_tenant or self._most
        self._run: Run | None = None
        self._waiting: OrderedDict[str, list[_Waiting]] = OrderedDict()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._used_slots, self._enqueued = Counter[str](), set[str]()

    async def start(self, run: Run) -> None:
        """See `Workflows.start`."""
        self._run = run

    async def enqueue(self, search: StoredSearch) -> None:
        """See `Workflows.enqueue`."""
        if search.id in self._enqueued:
            return
        self._enqueued.add(search.id)
        queue = self._waiting.setdefault(search.tenant, [])
        heapq.heappush(queue, (search.priority, search.created_s, search.id))
        self._fill()

    async def forget(self, search_ids: Collection[str]) -> None:
        """See `Workflows.forget`."""

    async def stop(self, abandon: Callable[[], Awaitable[None]], grace_s: float) -> None:
        """See `Workflows.stop`."""
        self._run = None
        if self._running:
            await asyncio.wait(set(self._running.values()), timeout=grace_s)
        await abandon()
        for task in self._running.values():
            task.cancel()
        if self._running:
            await asyncio.wait(set(self._running.values()))

    def _fill(self) -> None:
        """Start searches while slots are free."""
        while self._run is not None and len(self._running) < self._most and (tenant := self._next()) is not None:
            search_id = heapq.heappop(self._waiting[tenant])[-1]
            if self._waiting[tenant]:
                self._waiting.move_to_end(tenant)
            else:
                del self._waiting[tenant]
            self._used_slots[tenant] += 1
            task = asyncio.create_task(self._run(search_id), name=f"workflow {search_id}")
            self._running[search_id] = task
            task.add_done_callback(partial(self._ended, tenant, search_id))

    def _next(self) -> str | None:
        """Return the tenant whose search is next."""
        return next((tenant for tenant in self._waiting if self._used_slots[tenant] < self._per_tenant), None)

    def _ended(self, tenant: str, search_id: str, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("search %s: it stays unfinished until the server restarts", search_id, exc_info=error)
        del self._running[search_id]
        self._enqueued.discard(search_id)
        self._used_slots[tenant] -= 1
        self._used_slots += Counter()  # forgets tenants without searches
        self._fill()
