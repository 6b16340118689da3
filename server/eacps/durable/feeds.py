"""The events of searches for those who watch them: one reader for each search, whatever the number of watchers.

Events of searches on this server are handed over in memory. The database is read when the first watcher comes and when
events may have been missed; it is polled for searches that other servers run.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy

from eacps.durable.rows import no_search
from eacps.durable.search_store import SearchStore
from eacps.durable.stored import StoredEvent
from eacps.errors import EacpsError, ServerStopping

BUFFERED_BYTES = 256 * 2**20
"""Most bytes of events in memory. May be exceeded: a feed is trimmed only when events are added to it."""
_PAGE = 64


class Feed:
    """The events of one search that have been read or handed over so far.

    Attributes:
        tenant: Owner of the search; None until it was read.
        ended: Whether the search has ended.
        error: Why the search cannot be read; None if it can.
        last: Sequence number of the last event.
        stale: Set when the reader has to read the database.
        watchers: How many there are.
        reader: Task that keeps the feed up to date; None until it begins.
    """

    def __init__(self) -> None:
        self.tenant: str | None = None
        self.ended, self.last = False, 0
        self.error: Exception | None = None
        self.stale = asyncio.Event()
        self.watchers = 0
        self.reader: asyncio.Task[None] | None = None
        self._events, self._size = list[StoredEvent](), 0
        self._changed = asyncio.Event()

    def add(self, events: Sequence[StoredEvent], *, most_bytes: int) -> bool:
        """Append events, dropping the oldest beyond ``most_bytes``; False if a sequence number is missing."""
        new = [event for event in events if event.sequence > self.last]
        if new and new[0].sequence != self.last + 1:
            return False
        if new:
            self._events += new
            self.last, self._size = new[-1].sequence, self._size + sum(len(event.payload) for event in new)
            self._drop_oldest(most_bytes)
            self.wake()
        return True

    def after(self, sequence: int) -> list[StoredEvent] | None:
        """Return the events after a sequence number; None if they have been dropped."""
        index = sequence - self.last + len(self._events)
        return None if index < 0 else self._events[index:]

    def wake(self) -> None:
        """Wake all watchers."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def changed(self) -> asyncio.Event:
        """Return an event that is set at the next change."""
        return self._changed

    def _drop_oldest(self, most_bytes: int) -> None:
        count = 0
        while self._size > most_bytes and count < len(self._events):
            self._size -= len(self._events[count].payload)
            count += 1
        del self._events[:count]


class Feeds:
    """The feeds of all searches that are watched on this server.

    Args:
        store: Holds the searches.
        poll_s: Interval at which a search of another server is polled; None if there are no other servers.
        runs_here: Whether this server runs a search.
    """

    def __init__(self, store: SearchStore, poll_s: float | None, runs_here: Callable[[str], bool]) -> None:
        self._store, self._poll_s, self._runs_here = store, poll_s, runs_here
        self._feeds: dict[str, Feed] = {}
        self._stopped = False

    async def watch(self, tenant: str, search_id: str, *, after: int) -> AsyncGenerator[StoredEvent, None]:
        """Yield the events of a search after a sequence number, also future ones, until it ends.

        Raises:
            SearchNotFound: The tenant has no such search.
            ServerStopping: The server stops; the search can be resumed.
            StoreUnavailable: The database failed.
        """
        with self._subscribed(search_id) as feed:
            while True:
                changed = feed.changed()
                if feed.tenant is not None and feed.tenant != tenant:
                    raise no_search(search_id)
                events = feed.after(after) if feed.tenant is not None else []
                if events is None:  # dropped here
                    events = await self._store.events(search_id, after=after, most=_PAGE)
                for event in events:
                    yield event
                    after = event.sequence
                if events:
                    continue
                if feed.error is not None:
                    raise _for_each_watcher(feed.error)
                if feed.ended:
                    return
                await changed.wait()

    def hand_over(self, search_id: str, events: Sequence[StoredEvent]) -> None:
        """Pass the next events of a search to all who watch it."""
        feed = self._feeds.get(search_id)
        if feed is not None and not feed.add(events, most_bytes=self._most_bytes):
            feed.stale.set()

    def notify(self, search_id: str) -> None:
        """Have the feed of a search read the database, if anybody watches the search."""
        if (feed := self._feeds.get(search_id)) is None:
            return
        feed.stale.set()
        if feed.ended:  # its reader has ended; the next watcher starts a new one
            del self._feeds[search_id]

    def stop(self) -> None:
        """End all watches of unfinished searches with `ServerStopping`."""
        self._stopped = True
        for feed in self._feeds.values():
            feed.stale.set()

    @property
    def _most_bytes(self) -> int:
        return BUFFERED_BYTES // max(1, len(self._feeds))

    @contextmanager
    def _subscribed(self, search_id: str) -> Iterator[Feed]:
        feed = self._feeds.get(search_id)
        if feed is None or feed.error is not None:
            feed = self._feeds[search_id] = Feed()
            feed.reader = asyncio.create_task(self._read(search_id, feed), name=f"reader {search_id}")
        feed.watchers += 1
        try:
            yield feed
        finally:
            feed.watchers -= 1
            if not feed.watchers:
                if feed.reader is not None:
                    feed.reader.cancel()
                if self._feeds.get(search_id) is feed:
                    del self._feeds[search_id]

    async def _read(self, search_id: str, feed: Feed) -> None:
        """Keep a feed up to date until its search ends."""
        try:
            while not feed.ended:
                feed.stale.clear()
                await self._refresh(search_id, feed)
                if not feed.ended:
                    await self._wait(search_id, feed)
        except Exception as exc:
            feed.error = exc
            feed.wake()

    async def _refresh(self, search_id: str, feed: Feed) -> None:
        while True:
            tenant, ended, events = await self._store.tenant_and_events(search_id, after=feed.last, most=_PAGE)
            feed.tenant = tenant
            feed.add(events, most_bytes=self._most_bytes)
            if len(events) < _PAGE:
                break
        feed.ended = ended
        feed.wake()
        if self._stopped and not ended:
            raise ServerStopping("the server stops; the search is resumed when it is back")

    async def _wait(self, search_id: str, feed: Feed) -> None:
        try:
            async with asyncio.timeout(None if self._runs_here(search_id) else self._poll_s):
                await feed.stale.wait()
        except TimeoutError:
            return


def _for_each_watcher(error: Exception) -> Exception:
    """Copy an error for one watcher: one object that several raise would collect all their tracebacks."""
    if isinstance(error, EacpsError):
        return copy(error)
    unexpected = RuntimeError("the reader of the search failed")
    unexpected.__cause__ = error
    return unexpected
