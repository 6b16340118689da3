"""The engine of durable searches, from settings."""

import asyncio
import logging
import math
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from eacps.durable import (
    Codec,
    Database,
    ObjectStore,
    QueueLimits,
    Retention,
    SearchEngine,
    SearchState,
    Sweeper,
    Workflows,
    open_store,
    sqlite_url,
)
from eacps.durable.dbos_workflows import DbosWorkflows
from eacps.durable.local_workflows import LocalWorkflows
from eacps.durable.protocols import ConcurrencyLimits
from eacps.durable.server_lock import server_lock
from eacps.errors import EacpsError
from eacps.evaluation import Observer, Services
from eacps.settings import Settings, StoreSettings

_log = logging.getLogger(__name__)
_COUNT_INTERVAL_S = 5.0
SOLE = "local"
"""Name of the only server of a SQLite file."""
_COUNTER = "\0counter"
"""Name of the lock of the server that counts searches; no executor has such a name."""


@asynccontextmanager
async def running_engine(
    settings: Settings, codec: Codec, open_services: Callable[[], Services], observer: Observer
) -> AsyncIterator[tuple[SearchEngine, ObjectStore]]:
    """Run searches until the block ends, including those that earlier processes left unfinished.

    Args:
        settings: Of the server. Without a store, searches and pictures go with the block.
        codec: Encodes requests and events.
        open_services: Creates the services of one search.
        observer: Notified of what happens.

    Raises:
        InvalidRequest: Database or object store cannot be opened.
        StoreUnavailable: The database cannot be reached.
        ServerRunsAlready: Another server of this name uses it.
    """
    async with AsyncExitStack() as stack:
        kept, store = settings.store is not None, settings.store or StoreSettings()
        folder = store.folder if kept else Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="eacps-")))
        folder.mkdir(parents=True, exist_ok=True)
        database = Database(store.database or sqlite_url(folder / "searches.sqlite"), observer.transacted)
        stack.callback(database.close)
        objects = ObjectStore(open_store(store.artifacts or str(folder / "artifacts")), database)
        concurrency = ConcurrencyLimits(settings.max_searches, store.max_everywhere, store.max_per_tenant)
        if kept:
            # An SQLite file belongs to one server of any name; servers that share a database have different names.
            name = SOLE if database.is_sqlite else store.executor_id
            await stack.enter_async_context(server_lock(database, name, patience_s=store.claim_patience_s))
        workflows: Workflows = LocalWorkflows(concurrency)
        if not database.is_sqlite:
            workflows = DbosWorkflows(database.url, executor_id=store.executor_id, limits=concurrency)
        limits = QueueLimits(store.max_unfinished, store.max_unfinished_per_tenant)
        engine = SearchEngine(database, objects, codec, open_services, workflows, limits=limits, observer=observer)
        sweeper = Sweeper(database, objects, retention_of(settings))
        sweeping = asyncio.create_task(_sweep(sweeper, workflows, store.sweep_s), name="sweeper")
        stack.push_async_callback(_ended, sweeping)
        counting = asyncio.create_task(count_searches(engine, database, observer), name="counts")
        stack.push_async_callback(_ended, counting)
        await engine.start()
        try:
            yield engine, objects
        finally:
            await engine.stop(0.0)


def retention_of(settings: Settings) -> Retention:
    """Return how long searches and pictures are kept."""
    store = settings.store or StoreSettings()
    return Retention(store.keep_s, store.keep_uploads_s, store.keep_bytes)


async def _sweep(sweeper: Sweeper, workflows: Workflows, interval_s: float) -> None:
    while True:
        await asyncio.sleep(interval_s)
        try:
            swept = await sweeper.sweep(workflows.forget)
        except EacpsError as exc:
            _log.warning("could not sweep: %s", exc)
            continue
        except Exception:  # this task must survive any error of one sweep
            _log.exception("could not sweep")
            continue
        if swept.searches or swept.size:
            _log.info("swept %d searches and %d bytes", len(swept.searches), swept.size)


async def count_searches(
    engine: SearchEngine, database: Database, observer: Observer, *, interval_s: float = _COUNT_INTERVAL_S
) -> None:
    """Count the searches in the database, until cancelled, on one of the servers that share it, while the others wait.

    What belongs to the database would otherwise be reported once by every server.

    Args:
        engine: Its searches are counted.
        database: Holds the searches.
        observer: Notified of the counts, on the server that counts.
        interval_s: Between two counts, and between two attempts to be the one that counts.
    """
    while True:
        try:
            async with server_lock(database, _COUNTER, patience_s=math.inf, poll_s=interval_s):
                while True:
                    counts = await engine.store.counts()
                    observer.counted({state.value: counts.get(state, 0) for state in SearchState})
                    observer.queued_for(await engine.store.longest_wait_s())
                    await asyncio.sleep(interval_s)
        except EacpsError as exc:
            _log.warning("could not count the searches: %s", exc)
        except Exception:  # this task must survive any error of one count
            _log.exception("could not count the searches")
        observer.counted({})
        observer.queued_for(0.0)
        await asyncio.sleep(interval_s)


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})
