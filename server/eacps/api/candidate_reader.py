"""Reads the candidates of stored searches in a thread of its own: a search may have thousands of them."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from eacps.api.fair_queue import FairQueue
from eacps.durable import SearchStore, StoredSearch
from eacps.evaluation import Progress

T = TypeVar("T")
MOST_WAITING = 16
"""Calls that wait for the thread; each may take it for tenths of a second."""


class CandidateReader:
    """Reads stored searches, one at a time, tenants in rotation.

    Args:
        store: Holds the searches.
        waiting: How many calls may wait.
    """

    def __init__(self, store: SearchStore, *, waiting: int = MOST_WAITING) -> None:
        self._store = store
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="candidates")
        self._queue = FairQueue("calls wait to read the candidates of searches", 1, waiting=waiting)

    async def read(self, search: StoredSearch, work: Callable[[Progress | None], T]) -> T:
        """Return what ``work`` makes of the progress of a search; it runs in the thread.

        Raises:
            TooManyCalls: Too many calls wait, or the thread was not free in time.
            StoreUnavailable: The database failed.
        """
        async with self._queue.slot(search.tenant):
            _, progress = await self._store.progress(search.id)
            return await asyncio.get_running_loop().run_in_executor(self._thread, work, progress)

    async def run(self, tenant: str, work: Callable[[], T]) -> T:
        """Run other work that may take long in the thread.

        Raises:
            TooManyCalls: As for `read`.
        """
        async with self._queue.slot(tenant):
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
