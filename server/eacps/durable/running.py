"""One search on this server: started or resumed, retried through outages, ended; paused while a caller ends it."""

import asyncio
import errno
import itertools
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from eacps import logs
from eacps.durable.feeds import Feeds
from eacps.durable.object_store import ObjectStore, SearchArtifacts
from eacps.durable.protocols import Codec
from eacps.durable.recorder import SearchRecorder
from eacps.durable.search_store import SearchStore
from eacps.durable.stored import SearchState, StoredEvent, StoredSearch
from eacps.errors import DeadlineExceeded, EacpsError, SearchOver, StoreUnavailable, TritonUnavailable
from eacps.evaluation import Deadline, Observer, SearchPictures, SearchPlan, SearchRunner, Services
from eacps.evaluation.codec import has_prior

_log = logging.getLogger(__name__)
OUTAGES = (StoreUnavailable, TritonUnavailable)
"""Outages of the database, the object store or Triton. A search waits until they end, however long that takes."""
_RETRIES = 2
"""Retries of one call to Triton, before the search itself waits for the end of the outage."""
_ATTACHED_ATTEMPTS = 5
"""Of a search whose caller waits, before an outage of the database or the object store ends it."""
_OUTCOMES: Mapping[SearchState | None, str] = {SearchState.SUCCEEDED: "finished", SearchState.FAILED: "failed"}
"""How a search that was ended elsewhere is counted; all others, deleted ones too, were cancelled."""
T = TypeVar("T")


@dataclass(frozen=True)
class Backoff:
    """Pauses between two attempts during an outage: doubling from the first to the longest, in seconds."""

    first_s: float = 1.0
    longest_s: float = 16.0

    def after(self, attempts: int) -> float:
        """Return the pause after a number of attempts, at least one."""
        return float(min(self.longest_s, self.first_s * 2 ** min(attempts - 1, 32)))


@dataclass(frozen=True)
class SearchDependencies:
    """What all searches of a server share.

    Args:
        store: Holds the searches.
        objects: Holds their pictures.
        codec: Encodes requests and events.
        open_services: Creates the services of one search.
        feeds: Receive the events of searches.
        observer: Notified of what happens.
        backoff: Pauses between two attempts during an outage.
        clock: Seconds since the epoch, for deadlines.
    """

    store: SearchStore
    objects: ObjectStore
    codec: Codec
    open_services: Callable[[], Services]
    feeds: Feeds
    observer: Observer
    backoff: Backoff
    clock: Callable[[], float] = time.time


class RunningSearch:
    """A search that this server runs.

    Args:
        search_id: Id of the search.
        dependencies: What it shares with other searches.
    """

    def __init__(self, search_id: str, dependencies: SearchDependencies) -> None:
        self._id, self._dependencies = search_id, dependencies
        self._working, self._pausing = asyncio.Lock(), 0  # how many callers want it paused
        self._task: asyncio.Task[None] | None = None
        self._interrupted = False
        self._overtaken = 0  # attempts that found progress which they had not read
        self._outcome: tuple[str, str] | None = None
        self._recorder: SearchRecorder | None = None
        self._deadline = Deadline()
        self.begun = False
        self.stopped = asyncio.Event()

    @property
    def active(self) -> bool:
        """Whether it is running, as far as this server knows."""
        return self.begun and self._outcome is None and not (self._recorder is not None and self._recorder.finished)

    async def run(self, is_stopping: Callable[[], bool]) -> None:
        """Run it to its end.

        Args:
            is_stopping: Whether the server stops: an interrupted search then stays unfinished.

        Raises:
            CancelledError: The server stops, and the search has not ended.
        """
        try:
            while self._outcome is None:
                async with self._working:
                    if not self._pausing:
                        await self._attempt()
                if self._outcome is None and is_stopping():
                    raise asyncio.CancelledError
                if self._pausing:
                    await asyncio.sleep(0)  # a caller that was cancelled while it waited has yet to leave `paused`
        finally:
            self.stopped.set()
            self._dependencies.feeds.notify(self._id)
            if self.begun:
                self._dependencies.observer.ended(*(self._outcome or ("abandoned", "")))

    def interrupt(self) -> None:
        """Cancel the current attempt; `run` then looks at the database, and resumes or ends."""
        if self._task is not None and self._outcome is None:
            self._interrupted = True
            self._task.cancel()

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """Interrupt the search until the block ends; then it goes on, unless it has ended."""
        self._pausing += 1
        try:
            self.interrupt()
            async with self._working:
                yield
        finally:
            self._pausing -= 1

    async def _attempt(self) -> None:
        """Run one attempt, until the search ends or is interrupted."""
        self._interrupted = False
        self._task = asyncio.create_task(self._retry_unexpected(), name=f"search {self._id}")
        try:
            await asyncio.wait({self._task})
        finally:
            if not self._task.done():
                self.interrupt()
                await asyncio.wait({self._task})
        if not self._task.cancelled():
            self._task.result()

    async def _retry_unexpected(self) -> None:
        """Begin and search; repeat that after errors of recording itself, which nothing else could record."""
        for attempts in itertools.count(1):
            try:
                await self._begin_and_search()
                break
            except Exception:
                pause_s = self._dependencies.backoff.after(attempts)
                _log.exception("search %s: unexpected error; next attempt in %g s", self._id, pause_s)
            await asyncio.sleep(pause_s)

    async def _begin_and_search(self) -> None:
        logs.search_id.set(self._id)
        started = await self._retry_outages(lambda: self._dependencies.store.begin(self._id))
        if started is None:
            self._outcome = await self._ended()
            return
        search = started.search
        if started.waited_s is not None:
            self._dependencies.observer.waited(started.waited_s)
        if not self.begun:
            self.begun = True
            self._dependencies.observer.began()
        self._deadline = Deadline.at(search.expires_s, self._dependencies.clock)
        about = {"search_id": search.id, "tenant": search.tenant}
        try:
            with self._dependencies.observer.span("search", about, search_id=search.id):
                await self._retry_outages(lambda: _with_descriptors(self._search(search)), attached=search.attached)
            self._outcome = ("finished", "")
        except SearchOver:
            self._outcome = await self._ended()
        except Exception as error:
            self._outcome = await self._fail(error)

    async def _search(self, search: StoredSearch) -> None:
        """Run the search from its recorded state."""
        shared = self._dependencies
        services = replace(
            shared.open_services(),
            artifacts=SearchArtifacts(shared.objects, search.id),
            observer=shared.observer,
        )
        if not search.attached:
            services = replace(
                services, limits=replace(services.limits, retries=min(services.limits.retries, _RETRIES))
            )
        events, progress = await shared.store.progress(search.id)
        self._recorder = SearchRecorder(
            search.id,
            shared.store,
            shared.codec,
            shared.feeds,
            shared.observer,
            events=events,
        )
        pictures: list[SearchPictures | None] = [None]
        if progress is not None and has_prior(progress):
            settings = shared.codec.settings_of(search.request, search_id=search.id)
        else:
            plan = await self._plan_of(search)
            settings, pictures = plan.settings, [plan.pictures]
            del plan
        runner = SearchRunner(settings, services, self._recorder, deadline=self._deadline, progress=progress)
        await runner.run(pictures.pop())  # the only reference, so that the runner can release them

    async def _plan_of(self, search: StoredSearch) -> SearchPlan:
        """Decode the request, which may have to wait for memory: not beyond the deadline."""
        shared = self._dependencies
        try:
            async with asyncio.timeout(self._deadline.left_s()) as limit:
                return await shared.codec.plan_of(search.request, shared.objects.get, search_id=search.id)
        except TimeoutError as exc:
            if not limit.expired():
                raise
            raise DeadlineExceeded("time is up") from exc

    async def _ended(self) -> tuple[str, str] | None:
        """Return how the search ended, perhaps elsewhere; None, after a pause, if it runs.

        Then its progress has changed since it was read: a record that was thought lost has been stored after all, or
        another server runs it too. The next attempt reads the progress anew.
        """
        state = await self._retry_outages(lambda: self._dependencies.store.state(self._id))
        if state is not SearchState.RUNNING:
            return _OUTCOMES.get(state, "cancelled"), ""
        self._overtaken += 1
        pause_s = self._dependencies.backoff.after(self._overtaken)
        _log.warning("search %s: its progress has changed since it was read; goes on in %g s", self._id, pause_s)
        await asyncio.sleep(pause_s)
        return None

    async def _fail(self, error: Exception) -> tuple[str, str] | None:
        """Record why it failed; return outcome and reason."""
        event_of, failure = self._dependencies.codec.failed(error)

        def last(sequence: int) -> StoredEvent:
            return StoredEvent(sequence, event_of(sequence))

        known = error if isinstance(error, EacpsError) else EacpsError()
        fail = partial(self._dependencies.store.fail, self._id, last, failure, retryable=known.retryable)
        try:
            await self._retry_outages(fail)
        except SearchOver:
            return await self._ended()
        return "failed", known.reason.lower()

    async def _retry_outages(self, work: Callable[[], Awaitable[T]], *, attached: bool = False) -> T:
        """Await ``work``, and repeat it until no outage interrupts it.

        Args:
            work: May raise `OUTAGES`.
            attached: Whether a caller waits. Then outages are raised: of Triton at once, because its calls were retried
                already; of the database and the object store after some attempts.
        """
        attempts = 0
        while True:
            self._recorder = None
            try:
                return await work()
            except OUTAGES as exc:
                if self._interrupted:  # a task group that fails at the same moment forgets that it was cancelled
                    raise asyncio.CancelledError from exc
                went_on = self._recorder is not None and self._recorder.records > 0
                attempts = 1 if went_on else attempts + 1
                if attached and (attempts > _ATTACHED_ATTEMPTS or isinstance(exc, TritonUnavailable)):
                    raise
                pause_s = self._pause_after(attempts)
                _log.warning("search %s: goes on in %g s: %s", self._id, pause_s, exc)
                await self._record_waiting(exc.reason)
            await asyncio.sleep(pause_s)

    def _pause_after(self, attempts: int) -> float:
        """Return how many seconds to wait: not beyond the deadline, when the search ends; after it, the whole pause."""
        pause_s, left_s = self._dependencies.backoff.after(attempts), self._deadline.left_s()
        return min(pause_s, left_s) if left_s else pause_s

    async def _record_waiting(self, reason: str) -> None:
        try:
            await self._dependencies.store.record_waiting(self._id, reason)
        except StoreUnavailable as exc:
            _log.debug("search %s: cannot record that it waits: %s", self._id, exc)  # nobody can read it either


async def _with_descriptors(work: Awaitable[T]) -> T:
    """Await ``work``; that no descriptor is left is an outage of this machine, whatever needed one.

    Raises:
        StoreUnavailable: There is none for a file.
    """
    try:
        return await work
    except OSError as exc:
        if exc.errno in (errno.EMFILE, errno.ENFILE):
            raise StoreUnavailable("this server has no descriptor left to open a file") from exc
        raise
