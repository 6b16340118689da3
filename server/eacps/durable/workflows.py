"""Who runs searches when: DBOS, which remembers them, or this process alone."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, TypeVar

from dbos import DBOS, DBOSConfig, SetEnqueueOptions, SetWorkflowID
from dbos import error as dbos_error
from sqlalchemy.exc import SQLAlchemyError

from eacps.durable.ports import Run
from eacps.durable.records import StoredSearch
from eacps.errors import StoreUnavailable

_log = logging.getLogger(__name__)
_QUEUE = "searches"
_VERSION = "1"
"""Of what searches record. DBOS would take a hash of the code, and after every change of it leave searches behind."""
_UNLIMITED = 1_000_000
T = TypeVar("T")


@dataclass(frozen=True)
class Places:
    """How many searches run at once; the others wait.

    Args:
        here: On this server.
        everywhere: On all servers together; None for no bound but theirs.
        per_tenant: Of one tenant, on all servers together; None for no bound. While a tenant waits, no other one can
            have more than this.
        poll_s: Between two looks at the queue.
    """

    here: int = 8
    everywhere: int | None = None
    per_tenant: int | None = None
    poll_s: float = 0.1


class DbosWorkflows:
    """`Workflows` by DBOS: every search is a workflow. There can be one of these in a process at a time.

    Args:
        url: Of DBOS's own tables: a database, which may be the one that keeps the searches if it is PostgreSQL.
        executor_id: Names this server among all that share the database, and again after it was restarted: what it
            left running, it takes up again.
        places: How many at once.
    """

    _run: ClassVar[Run | None] = None

    def __init__(self, url: str, *, executor_id: str, places: Places) -> None:
        self._url, self._executor_id, self._places = url, executor_id, places
        # DBOS's calls block; it is told of an event loop by launching on it, and calls otherwise from here.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="workflows")

    async def start(self, run: Run) -> None:
        """See `Workflows.start`."""
        DbosWorkflows._run = run
        config: DBOSConfig = {
            "name": "eacps",
            "system_database_url": self._url,
            "application_version": _VERSION,
            "executor_id": self._executor_id,
            "log_level": "WARNING",
        }
        DBOS(config=config)
        DBOS.launch()  # within the event loop, on which workflows are to run
        await self._call(partial(self._register_queue, self._places))

    async def enqueue(self, search: StoredSearch) -> None:
        """See `Workflows.enqueue`."""

        def call() -> None:
            options = SetEnqueueOptions(queue_partition_key=search.tenant, priority=search.priority)
            with SetWorkflowID(search.id), options:
                DBOS.enqueue_workflow(_QUEUE, _run_search, search.id)

        await self._call(call)

    async def forget(self, search_ids: Collection[str]) -> None:
        """See `Workflows.forget`."""
        for search_id in search_ids:
            await self._call(partial(DBOS.delete_workflow, search_id))

    async def stop(self, abandon: Callable[[], Awaitable[None]], grace_s: float) -> None:
        """See `Workflows.stop`."""
        # It waits in whole seconds for what runs; what is abandoned after the grace period, it sees end.
        destroyed = asyncio.ensure_future(
            self._call(partial(DBOS.destroy, workflow_completion_timeout_sec=round(grace_s) + 2))
        )
        await asyncio.wait({destroyed}, timeout=grace_s)
        if not destroyed.done():
            await abandon()
        await destroyed
        self._thread.shutdown()
        DbosWorkflows._run = None

    @staticmethod
    def _register_queue(places: Places) -> None:
        most = places.everywhere or _UNLIMITED
        DBOS.register_queue(
            _QUEUE,
            worker_concurrency=min(places.here, most),
            global_concurrency=places.everywhere,
            partition_concurrency=min(places.per_tenant or most, most),
            polling_interval_sec=places.poll_s,
            on_conflict="always_update",
        )

    async def _call(self, call: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, call)
        except (dbos_error.DBOSException, SQLAlchemyError) as exc:
            raise StoreUnavailable(f"the database of workflows failed: {type(exc).__name__}") from exc


@DBOS.workflow(name="search", max_recovery_attempts=_UNLIMITED)
async def _run_search(search_id: str) -> None:
    run = DbosWorkflows._run
    if run is None:
        raise asyncio.CancelledError
    await run(search_id)


class LocalWorkflows:
    """`Workflows` of this process: what waits or runs when it ends is taken up by nobody. For embedding and tests.

    Args:
        places: How many at once; only ``here`` counts.
    """

    def __init__(self, places: Places | None = None) -> None:
        self._places = asyncio.Semaphore((places or Places()).here)
        self._run: Run | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._known: set[str] = set()

    async def start(self, run: Run) -> None:
        """See `Workflows.start`."""
        self._run = run

    async def enqueue(self, search: StoredSearch) -> None:
        """See `Workflows.enqueue`."""
        if search.id in self._known:
            return
        self._known.add(search.id)
        task = asyncio.create_task(self._take_up(search.id), name=f"workflow {search.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def forget(self, search_ids: Collection[str]) -> None:
        """See `Workflows.forget`."""
        self._known -= set(search_ids)

    async def stop(self, abandon: Callable[[], Awaitable[None]], grace_s: float) -> None:
        """See `Workflows.stop`."""
        self._run = None
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=grace_s)
        await abandon()
        for task in set(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(set(self._tasks))

    async def _take_up(self, search_id: str) -> None:
        async with self._places:
            if self._run is not None:
                await self._run(search_id)
