"""The queue of servers that share a PostgreSQL database: a DBOS workflow for each search."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ClassVar, TypeVar

from dbos import DBOS, DBOSConfig, SetEnqueueOptions, SetWorkflowID
from dbos import error as dbos_error
from sqlalchemy.exc import SQLAlchemyError

from eacps.durable.protocols import ConcurrencyLimits, Run
from eacps.durable.stored import StoredSearch
from eacps.errors import StoreUnavailable

_log = logging.getLogger(__name__)
_QUEUE = "searches"
_VERSION = "1"
"""By default DBOS uses a hash of the code, and would not resume searches after any change of it."""
_UNLIMITED = 1_000_000
_NAME = "search"
_STRANDED_S = 10.0
T = TypeVar("T")


class DbosWorkflows:
    """`Workflows` by DBOS: every search is a workflow. A process can have one of these at a time.

    Args:
        url: Database of DBOS's own tables, which may be the one of the searches.
        executor_id: Name of this server, unique among all that share the database. A restarted server of the same name
            resumes what it left running.
        limits: How many searches run at once.
        stranded_s: Interval at which workflows are looked for that are claimed and not started.
    """

    resumes_by_itself = True
    _run: ClassVar[Run | None] = None
    _active: ClassVar[Counter[str]] = Counter()

    def __init__(
        self, url: str, *, executor_id: str, limits: ConcurrencyLimits, stranded_s: float = _STRANDED_S
    ) -> None:
        self._url, self._executor_id, self._limits = url, executor_id, limits
        self._stranded_s = stranded_s
        self._recovering: asyncio.Task[None] | None = None
        # DBOS's calls block, so they run in this thread; only `launch` is called on the event loop.
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
        DBOS.launch()  # on the event loop, where workflows are to run
        await self._call(partial(self._register_queue, self._limits))
        self._recovering = asyncio.create_task(self._resume_stranded(), name="stranded workflows")

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
        if self._recovering is not None:
            self._recovering.cancel()
            await asyncio.wait({self._recovering})
        # It waits in whole seconds; searches that are abandoned after the grace period end before it gives up.
        destroyed = asyncio.ensure_future(
            self._call(partial(DBOS.destroy, workflow_completion_timeout_sec=round(grace_s) + 2))
        )
        await asyncio.wait({destroyed}, timeout=grace_s)
        try:
            if not destroyed.done():
                await abandon()
            await destroyed
        finally:
            await asyncio.to_thread(self._thread.shutdown)
            DbosWorkflows._run = None

    async def _resume_stranded(self) -> None:
        """Resume workflows that this server has claimed and does not run.

        DBOS claims a workflow in one transaction and starts it in another. If the database fails in between, DBOS does
        not start it before its next launch.
        """
        seen = frozenset[str]()
        while True:
            await asyncio.sleep(self._stranded_s)
            try:
                claimed = await self._call(self._claimed)
                stranded = frozenset(claimed) - DbosWorkflows._active.keys()
                for search_id in stranded & seen:  # one that was seen once may have been about to start
                    _log.warning("search %s: was claimed and not started; it is resumed", search_id)
                    await self._call(partial(DBOS.resume_workflow, search_id))
            except StoreUnavailable as exc:
                _log.debug("cannot look for stranded workflows: %s", exc)
            except Exception:  # this task must survive any error of one look
                _log.exception("could not look for stranded workflows")
            else:
                seen = stranded - seen

    def _claimed(self) -> list[str]:
        mine = DBOS.list_workflows(
            status="PENDING", name=_NAME, executor_id=self._executor_id, load_input=False, load_output=False
        )
        return [workflow.workflow_id for workflow in mine]

    @staticmethod
    def _register_queue(limits: ConcurrencyLimits) -> None:
        most = limits.total or _UNLIMITED
        DBOS.register_queue(
            _QUEUE,
            worker_concurrency=min(limits.per_server, most),
            global_concurrency=limits.total,
            partition_concurrency=min(limits.per_tenant or most, most),
            polling_interval_sec=limits.poll_s,
            on_conflict="always_update",
        )

    async def _call(self, call: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, call)
        except (dbos_error.DBOSException, SQLAlchemyError) as exc:
            raise StoreUnavailable(f"the database of workflows failed: {type(exc).__name__}") from exc


@DBOS.workflow(name=_NAME, max_recovery_attempts=_UNLIMITED)
async def _run_search(search_id: str) -> None:
    run = DbosWorkflows._run
    if run is None:
        raise asyncio.CancelledError
    DbosWorkflows._active[search_id] += 1  # a workflow that is resumed may be executed twice at once
    try:
        await run(search_id)
    finally:
        DbosWorkflows._active[search_id] -= 1
        DbosWorkflows._active += Counter()  # forgets those at 0
