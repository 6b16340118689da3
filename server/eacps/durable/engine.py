"""Searches that outlive their callers and this process."""

import asyncio
import itertools
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from eacps.durable.database import Database
from eacps.durable.feeds import Feeds
from eacps.durable.object_store import ObjectStore
from eacps.durable.protocols import Codec, Workflows
from eacps.durable.running import Backoff, RunningSearch, SearchDependencies
from eacps.durable.search_store import SearchStore
from eacps.durable.stored import QueueLimits, SearchState, StoredEvent, StoredSearch, Submission
from eacps.errors import SearchNotFound, ServerStopping, StoreUnavailable
from eacps.evaluation import Observer, Services

_log = logging.getLogger(__name__)
POLL_S = 0.5
"""Interval at which the database is polled for what other servers did to a search."""
_LIMITS, _NOBODY, _BACKOFF = QueueLimits(), Observer(), Backoff()
T = TypeVar("T")


class SearchEngine:
    """Submits, runs, watches, cancels and deletes searches.

    Args:
        database: Holds the searches.
        objects: Holds their pictures.
        codec: Encodes requests and events.
        open_services: Creates the services of one search; their artifact store is replaced by ``objects``.
        workflows: Queue of the searches.
        limits: How many may be queued or running.
        observer: Notified of what happens.
        backoff: Pauses between two attempts during an outage.
        clock: Seconds since the epoch, for deadlines.
    """

    def __init__(
        self,
        database: Database,
        objects: ObjectStore,
        codec: Codec,
        open_services: Callable[[], Services],
        workflows: Workflows,
        *,
        limits: QueueLimits = _LIMITS,
        observer: Observer = _NOBODY,
        backoff: Backoff = _BACKOFF,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._objects, self._codec, self._workflows, self._limits = objects, codec, workflows, limits
        self._store, self._running = SearchStore(database), dict[str, RunningSearch]()
        self._has_peers = not database.is_sqlite
        poll_s = POLL_S if self._has_peers else None
        self._feeds = Feeds(self._store, poll_s, lambda search_id: search_id in self._running)
        self._dependencies = SearchDependencies(
            self._store, objects, codec, open_services, self._feeds, observer, backoff, clock
        )
        self._pending: set[asyncio.Task[Any]] = set()
        self._polling: asyncio.Task[None] | None = None
        self._stopping = False

    @property
    def store(self) -> SearchStore:
        """The searches in the database."""
        return self._store

    async def start(self) -> None:
        """Start running searches, including those that earlier processes left unfinished."""
        if self._has_peers:
            self._polling = asyncio.create_task(self._poll_ended_elsewhere(), name="searches ended elsewhere")
        await self._workflows.start(self._run)
        # A search may have been stored, and the process ended before it was enqueued.
        left = self._store.queued() if self._workflows.resumes_by_itself else self._store.unfinished()
        for search in await left:
            await self._workflows.enqueue(search)

    async def stop(self, grace_s: float) -> None:
        """Start no more searches; those that do not end within ``grace_s`` stay unfinished and can be resumed."""
        if self._stopping:
            return
        self._stopping = True
        try:
            await self._workflows.stop(self._abandon, grace_s)
        finally:
            pending = {*self._pending, *([self._polling] if self._polling is not None else [])}
            for task in pending:
                task.cancel()
            if pending:
                await asyncio.wait(pending)
            self._feeds.stop()

    async def submit(self, submission: Submission) -> StoredSearch:
        """Store and enqueue a search. If this is cancelled, so is the search if it is attached.

        Raises:
            RequestIdTaken: Another request has its ``request_id``.
            TooManySearches: As many as allowed are queued or running.
            ServerStopping: The server stops.
        """
        if self._stopping:
            raise ServerStopping("the server stops; try again when it is back")
        # In a task of its own: a caller that leaves now must not leave behind a search that is stored and never run.
        task = self._start(self._accept(submission), f"submission {submission.id}")
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if submission.attached:
                self.withdraw(submission.tenant, submission.id, after=task)
            raise
        except StoreUnavailable:
            if submission.request_id is None:  # it may have been stored, and its caller has no name to ask for it
                self.withdraw(submission.tenant, submission.id)
            raise

    def withdraw(self, tenant: str, search_id: str, *, after: asyncio.Task[StoredSearch] | None = None) -> None:
        """Cancel a search whose caller has left, in the background and through outages of the database.

        Has no effect while the server stops: such a search is resumed later.

        Args:
            tenant: Its owner.
            search_id: Its id.
            after: Task that submits it; None if that is done.
        """
        if not self._stopping:
            self._start(self._withdraw(tenant, search_id, after), f"withdrawal {search_id}")

    def _start(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Run a coroutine in a task that no caller cancels."""
        task = asyncio.create_task(work, name=name)
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)
        return task

    async def _withdraw(self, tenant: str, search_id: str, after: asyncio.Task[StoredSearch] | None) -> None:
        if after is not None:
            await asyncio.wait({after})  # even if it fails, the search may have been stored
            after.exception()  # retrieved, so that asyncio does not log it
        for attempts in itertools.count(1):
            try:
                await self.cancel(tenant, search_id)
            except SearchNotFound:
                return
            except StoreUnavailable as exc:
                _log.warning("search %s: its caller has left, and it cannot be cancelled yet: %s", search_id, exc)
                await asyncio.sleep(self._dependencies.backoff.after(attempts))
            else:
                return

    async def _accept(self, submission: Submission) -> StoredSearch:
        search, _ = await self._store.create(submission, self._limits)
        if search.state is SearchState.QUEUED:  # an older one too: it may have been stored during an outage
            await self._workflows.enqueue(search)
        return search

    def watch(self, tenant: str, search_id: str, *, after: int = 0) -> AsyncGenerator[StoredEvent, None]:
        """Yield the events of a search after a sequence number, also future ones, until it ends.

        Raises:
            SearchNotFound: The tenant has no such search.
            ServerStopping: The server stops; the search can be resumed.
        """
        return self._feeds.watch(tenant, search_id, after=after)

    async def cancel(self, tenant: str, search_id: str) -> StoredSearch:
        """Cancel a search that has not ended, down to the current denoising step.

        Raises:
            SearchNotFound: The tenant has no such search.
        """

        def last(sequence: int) -> StoredEvent:
            return StoredEvent(sequence, self._codec.cancelled(sequence=sequence))

        async with self._paused(tenant, search_id):
            search = await self._store.cancel(tenant, search_id, last)
        self._feeds.notify(search_id)
        return search

    async def delete(self, tenant: str, search_id: str) -> None:
        """Delete a search, and the pictures that nothing else refers to. A running search is stopped before.

        Raises:
            SearchNotFound: The tenant has no such search.
        """
        async with self._paused(tenant, search_id) as running:
            digests = await self._store.delete(tenant, search_id)
        self._feeds.notify(search_id)
        if running is not None:
            await running.stopped.wait()
        await self._objects.remove_unreferred(digests)
        await self._workflows.forget([search_id])

    @asynccontextmanager
    async def _paused(self, tenant: str, search_id: str) -> AsyncIterator[RunningSearch | None]:
        """Interrupt a search until the block ends; yield it if it runs on this server.

        Raises:
            SearchNotFound: The tenant has no such search; nothing was interrupted.
        """
        await self._store.get(tenant, search_id)
        running = self._running.get(search_id)
        if running is None:
            yield None
            return
        async with running.paused():
            yield running

    async def _run(self, search_id: str) -> None:
        if self._stopping:
            raise asyncio.CancelledError
        while (known := self._running.get(search_id)) is not None:  # its workflow is executed a second time
            await known.stopped.wait()
            if self._stopping:
                raise asyncio.CancelledError
            await asyncio.sleep(0)
        running = self._running[search_id] = RunningSearch(search_id, self._dependencies)
        try:
            await running.run(lambda: self._stopping)
        finally:
            del self._running[search_id]

    async def _poll_ended_elsewhere(self) -> None:
        """Interrupt searches that another server has ended."""
        while True:
            await asyncio.sleep(POLL_S)
            begun = [search_id for search_id, search in self._running.items() if search.active]
            if not begun:
                continue
            try:
                running = await self._store.running(begun)
            except StoreUnavailable:
                continue  # they may still run
            except Exception:  # this task must survive any error of one poll
                _log.exception("could not poll for searches that ended elsewhere")
                continue
            for search_id in set(begun) - running:
                if (search := self._running.get(search_id)) is not None:
                    search.interrupt()

    async def _abandon(self) -> None:
        """Interrupt all running searches, which stay unfinished."""
        searches = list(self._running.values())
        if searches:
            _log.info("%d searches stay unfinished, to be resumed", len(searches))
        for search in searches:
            search.interrupt()
        for search in searches:
            await search.stopped.wait()
