"""The engine of durable searches, from settings."""

import asyncio
import logging
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from eacps.durable import (
    Codec,
    Database,
    Limits,
    ObjectStore,
    Retention,
    SearchEngine,
    SearchState,
    Sweeper,
    Workflows,
    open_store,
    sqlite_url,
)
from eacps.durable.claim import claimed
from eacps.durable.workflows import DbosWorkflows, LocalWorkflows, Places
from eacps.errors import EacpsError
from eacps.evaluation import Laboratory, Observer
from eacps.settings import Settings, StoreSettings

_log = logging.getLogger(__name__)
_COUNT_INTERVAL_S = 5.0


@asynccontextmanager
async def running_engine(
    settings: Settings, codec: Codec, open_laboratory: Callable[[], Laboratory], observer: Observer
) -> AsyncIterator[tuple[SearchEngine, ObjectStore]]:
    """Run searches until the block ends, those of former processes included.

    Args:
        settings: Of the server. Without a store, searches and pictures go with the block.
        codec: Writes searches down.
        open_laboratory: Gives every search a laboratory.
        observer: Watches.

    Raises:
        InvalidRequest: Database or object store cannot be opened.
        StoreUnavailable: The database cannot be reached.
        ServerRunsAlready: Another server of this name uses it.
    """
    async with AsyncExitStack() as stack:
        kept, store = settings.store is not None, settings.store or StoreSettings()
        folder = store.folder if kept else Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="eacps-")))
        folder.mkdir(parents=True, exist_ok=True)
        database = Database(store.database or sqlite_url(folder / "searches.sqlite"))
        stack.callback(database.close)
        objects = ObjectStore(open_store(store.artifacts or str(folder / "artifacts")), database)
        places = Places(settings.max_searches, store.max_everywhere, store.max_per_tenant)
        workflows: Workflows = LocalWorkflows(places)
        if kept:
            # Two programs writing one SQLite file would wait for each other.
            url = store.database or sqlite_url(folder / "workflows.sqlite")
            await stack.enter_async_context(claimed(database, store.executor_id, patience_s=store.claim_patience_s))
            workflows = DbosWorkflows(url, executor_id=store.executor_id, places=places)
        limits = Limits(store.max_unfinished, store.max_unfinished_per_tenant)
        engine = SearchEngine(database, objects, codec, open_laboratory, workflows, limits=limits, observer=observer)
        retention = Retention(store.keep_s, store.keep_uploads_s, store.keep_bytes)
        sweeping = asyncio.create_task(
            _sweep(Sweeper(database, objects, retention), workflows, store.sweep_s), name="sweeper"
        )
        stack.push_async_callback(_ended, sweeping)
        counting = asyncio.create_task(_count(engine, observer), name="counts")
        stack.push_async_callback(_ended, counting)
        await engine.start()
        try:
            yield engine, objects
        finally:
            await engine.stop(0.0)


async def _sweep(sweeper: Sweeper, workflows: Workflows, interval_s: float) -> None:
    while True:
        await asyncio.sleep(interval_s)
        try:
            swept = await sweeper.sweep(workflows.forget)
        except EacpsError as exc:
            _log.warning("could not sweep: %s", exc)
            continue
        if swept.searches or swept.size:
            _log.info("swept %d searches and %d bytes", len(swept.searches), swept.size)


async def _count(engine: SearchEngine, observer: Observer) -> None:
    while True:
        try:
            counts = await engine.store.counts()
            observer.counted({state.value: counts.get(state, 0) for state in SearchState})
        except EacpsError as exc:
            _log.warning("could not count the searches: %s", exc)
        await asyncio.sleep(_COUNT_INTERVAL_S)


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})
