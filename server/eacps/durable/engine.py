"""Searches that outlive their callers and this process."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from itertools import chain, repeat
from typing import TypeVar

from eacps import logs
from eacps.durable.batches import in_batches
from eacps.durable.bells import Bells
from eacps.durable.course import identity_of, trials_in
from eacps.durable.database import Database
from eacps.durable.journal import DurableSteps
from eacps.durable.objects import ObjectStore, SearchArtifacts
from eacps.durable.ports import Codec, Workflows
from eacps.durable.records import Limits, SearchState, StoredEvent, StoredSearch, Submission
from eacps.durable.searches import SearchStore
from eacps.errors import EacpsError, IllegalSearchMove, SearchOver, ServerStopping, StoreUnavailable
from eacps.evaluation import (
    Deadline,
    Laboratory,
    Observer,
    SearchFinished,
    SearchUpdate,
    Silent,
    run_search,
)

_log = logging.getLogger(__name__)
T = TypeVar("T")
POLL_S = 0.5
"""Between two looks at what other servers may have done to a search."""
STORE_PAUSES_S = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Before a search goes on whose database or object store failed."""
_LIMITS, _NOBODY = Limits(), Silent()


class SearchEngine:
    """Runs searches, and tells of them to whom they belong.

    Args:
        database: Keeps searches.
        objects: Keeps their pictures.
        codec: Writes them down.
        open_laboratory: Gives every search a laboratory of its own; its artifacts and steps are replaced by kept ones.
        workflows: Runs them when there is a place.
        limits: How many may be unfinished.
        observer: Watches.
    """

    def __init__(
        self,
        database: Database,
        objects: ObjectStore,
        codec: Codec,
        open_laboratory: Callable[[], Laboratory],
        workflows: Workflows,
        *,
        limits: Limits = _LIMITS,
        observer: Observer = _NOBODY,
    ) -> None:
        self._database, self._objects, self._codec = database, objects, codec
        self._open_laboratory, self._workflows, self._limits = open_laboratory, workflows, limits
        self._observer, self._store, self._bells = observer, SearchStore(database), Bells()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._accepting: set[asyncio.Task[StoredSearch]] = set()
        self._stopping = self._stopped = False

    @property
    def store(self) -> SearchStore:
        """The searches as they are kept."""
        return self._store

    @property
    def stopping(self) -> bool:
        """Whether no more searches are taken up."""
        return self._stopping

    async def start(self) -> None:
        """Take up work, searches of former processes included."""
        await self._workflows.start(self._run)
        for search in await self._store.queued():  # kept, but perhaps not enqueued before the process ended
            await self._workflows.enqueue(search)

    async def stop(self, grace_s: float) -> None:
        """Take up nothing more; what does not end within ``grace_s`` is left, to go on when a server is back."""
        if self._stopping:
            return
        self._stopping = True
        await self._workflows.stop(self._abandon, grace_s)
        self._stopped = True
        self._bells.ring_all()

    async def submit(self, submission: Submission) -> StoredSearch:
        """Keep a search, and have it run.

        Raises:
            RequestIdTaken: Another request has its ``request_id``.
            TooManySearches: As many as allowed are unfinished.
            ServerStopping: The server stops.
        """
        if self._stopping:
            raise ServerStopping("the server stops; try again when it is back")
        # In a task of its own: whoever leaves now must not leave behind a search that is kept and never run.
        task = asyncio.create_task(self._accept(submission), name=f"submission {submission.id}")
        self._accepting.add(task)
        task.add_done_callback(self._accepting.discard)
        return await asyncio.shield(task)

    async def _accept(self, submission: Submission) -> StoredSearch:
        search, _ = await self._store.create(submission, self._limits)
        if search.state is SearchState.QUEUED:  # an older one too: it may have been kept in the middle of an outage
            await self._workflows.enqueue(search)
        return search

    async def watch(self, tenant: str, search_id: str, *, after: int = 0) -> AsyncGenerator[StoredEvent, None]:
        """Yield the events of a search after a sequence number, and those to come, until it is over.

        Raises:
            SearchNotFound: The tenant has none such, or not any more.
            ServerStopping: The server stops; the search does not.
        """
        with self._bells.listening(search_id) as bell:
            while True:
                bell.clear()
                over, events = await self._store.news(tenant, search_id, after=after)
                for event in events:
                    yield event
                    after = event.sequence
                if events:
                    continue
                if over:
                    return
                if self._stopped:
                    raise ServerStopping("the server stops; the search goes on when it is back")
                await bell.wait(POLL_S)

    async def cancel(self, tenant: str, search_id: str) -> StoredSearch:
        """End a search as cancelled where it is not over, down to the denoising step.

        Raises:
            SearchNotFound: The tenant has none such.
        """

        def last(sequence: int) -> StoredEvent:
            return StoredEvent(sequence, SearchState.CANCELLED, self._codec.cancelled(sequence=sequence))

        search = await self._store.cancel(tenant, search_id, last)
        await self._let_go(search_id)
        return search

    async def delete(self, tenant: str, search_id: str) -> None:
        """Forget a search and what only it refers to; one that runs is cancelled.

        Raises:
            SearchNotFound: The tenant has none such.
        """
        digests = await self._store.delete(tenant, search_id)
        await self._let_go(search_id)
        await self._objects.remove_unreferred(digests)
        await self._workflows.forget([search_id])

    async def _let_go(self, search_id: str) -> None:
        self._bells.ring(search_id)
        if (task := self._running.get(search_id)) is not None:
            task.cancel()
            await asyncio.wait({task})

    async def _abandon(self) -> None:
        """End what runs, to be taken up again."""
        tasks = set(self._running.values())
        for task in tasks:
            task.cancel()
        if tasks:
            _log.info("%d searches go on when a server is back", len(tasks))
            await asyncio.wait(tasks)

    async def _run(self, search_id: str) -> None:
        if self._stopping:
            raise asyncio.CancelledError
        search = await self._through_outages(lambda: self._store.begin(search_id), search_id)
        if search is None or search_id in self._running:
            return
        self._observer.began()
        outcome, reason = "abandoned", ""
        task = self._running[search_id] = asyncio.create_task(self._watched(search), name=f"search {search_id}")
        try:
            while not task.done():
                await asyncio.wait({task}, timeout=POLL_S)
                if not task.done() and not await self._still_runs(search_id):
                    task.cancel()
            outcome, reason = await self._settle(search_id, task)
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
            del self._running[search_id]
            self._bells.ring(search_id)
            self._observer.ended(outcome, reason)

    async def _still_runs(self, search_id: str) -> bool:
        try:
            return await self._store.state(search_id) is SearchState.RUNNING
        except StoreUnavailable:
            return True  # as far as is known

    async def _settle(self, search_id: str, task: asyncio.Task[None]) -> tuple[str, str]:
        """Write down how a search ended, and give outcome and reason.

        Raises:
            CancelledError: It has not ended; the server stops.
        """
        if task.cancelled():
            if await self._still_runs(search_id):
                raise asyncio.CancelledError
            return "cancelled", ""
        error = task.exception()
        if error is None:
            return "finished", ""
        if isinstance(error, SearchOver):
            return "cancelled", ""
        if not isinstance(error, Exception):
            raise error
        event_of, failure = self._codec.failed(error)

        def last(sequence: int) -> StoredEvent:
            return StoredEvent(sequence, SearchState.FAILED, event_of(sequence))

        try:
            await self._through_outages(lambda: self._store.fail(search_id, last, failure), search_id)
        except SearchOver:
            return "cancelled", ""
        return "failed", error.reason.lower() if isinstance(error, EacpsError) else "internal"

    async def _watched(self, search: StoredSearch) -> None:
        """Run a search, in sight of who watches; everything that this task logs is about it."""
        logs.search_id.set(search.id)
        with self._observer.span("search", {"search_id": search.id, "tenant": search.tenant}, search_id=search.id):
            await self._through_outages(lambda: self._search(search), search.id, for_ever=False)

    async def _search(self, search: StoredSearch) -> None:
        """Run a search on from what is recorded of it, and record what it tells."""
        told = await self._store.told(search.id)
        if told:
            _log.info("search %s: goes on after %d events", search.id, len(told))
        laboratory = replace(
            self._open_laboratory(),
            artifacts=SearchArtifacts(self._objects, search.id),
            steps=await DurableSteps.load(self._database, search.id),
            observer=self._observer,
        )
        pictures = {digest: await self._objects.get(digest) for digest in self._codec.pictures_of(search.request)}
        plan = await asyncio.to_thread(self._codec.plan_of, search.request, pictures, search_id=search.id)
        del pictures
        left_s = None if search.expires_s is None else max(0.0, search.expires_s - time.time())
        updates = run_search(plan, laboratory, deadline=Deadline.after(left_s), told=trials_in(told))
        del plan  # the search lets go of the pictures as they came once they are fitted
        sequence = 0
        async with aclosing(updates), aclosing(in_batches(updates)) as batches:
            async for batch in batches:
                events = list(self._events(batch, told, after=sequence))
                sequence += len(batch)
                finished = isinstance(batch[-1], SearchFinished)
                others = events[:-1] if finished else events
                if others:
                    await self._store.append(search.id, *others)
                if finished:
                    await self._store.succeed(search.id, events[-1])
                self._bells.ring(search.id)

    def _events(self, updates: Sequence[SearchUpdate], told: Sequence[str], *, after: int) -> Iterator[StoredEvent]:
        """Give the events of updates; of those that were told before, see that they are the same, and give none.

        Raises:
            IllegalSearchMove: They are not.
        """
        for sequence, update in enumerate(updates, start=after + 1):
            identity = identity_of(update)
            if sequence > len(told):
                self._observer.updated(update)
                yield StoredEvent(sequence, identity, self._codec.event_of(update, sequence=sequence))
            elif identity != told[sequence - 1]:
                raise IllegalSearchMove(f"event {sequence} was {told[sequence - 1]!r}, now it is {identity!r}")

    async def _through_outages(self, work: Callable[[], Awaitable[T]], search_id: str, *, for_ever: bool = True) -> T:
        """Do work for a search, again and again where what keeps the search fails for a while.

        Args:
            work: What is to be done.
            search_id: For whom.
            for_ever: Go on until it is done, or the server stops. Otherwise the last failure counts.

        Raises:
            CancelledError: The server stops.
            StoreUnavailable: It failed to the last.
        """
        pauses = chain(STORE_PAUSES_S, repeat(STORE_PAUSES_S[-1])) if for_ever else iter(STORE_PAUSES_S)
        while True:
            try:
                return await work()
            except StoreUnavailable as exc:
                if (pause_s := next(pauses, None)) is None:
                    raise
                _log.warning("search %s: goes on in %g s: %s", search_id, pause_s, exc)
            if self._stopping:
                raise asyncio.CancelledError
            await asyncio.sleep(pause_s)
