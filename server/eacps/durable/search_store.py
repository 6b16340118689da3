"""The searches in the database. Each method is one transaction."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, select, tuple_, update

from eacps.durable import rows
from eacps.durable.database import Database
from eacps.durable.stored import (
    UNFINISHED,
    QueueLimits,
    SearchState,
    StartedSearch,
    StoredEvent,
    StoredSearch,
    Submission,
)
from eacps.durable.tables import LABELS, SEARCHES
from eacps.errors import RequestIdTaken
from eacps.evaluation import Progress

_LIMITS = QueueLimits()


@dataclass(frozen=True)
class SearchCursor:
    """Position in the list of a tenant's searches: that of the last search of a page."""

    created_s: float
    id: str


class SearchStore:
    """Stores searches and their events.

    Methods that answer callers take a tenant, for whom searches of others do not exist. Methods that only the server
    needs take none.

    Args:
        database: Holds the tables.
        clock: Seconds since the epoch.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database, self._clock = database, clock

    async def create(self, submission: Submission, limits: QueueLimits = _LIMITS) -> tuple[StoredSearch, bool]:
        """Insert a search. Return it, and whether it is new: False if the same request created it before.

        Raises:
            RequestIdTaken: Another request has its ``request_id``.
            TooManySearches: As many as allowed are queued or running.
        """

        def work(connection: Connection) -> tuple[StoredSearch, bool]:
            known = rows.by_request_id(connection, submission)
            if known is not None:
                return rows.with_position(connection, known), False
            rows.lock_submissions(connection)
            if (known := rows.by_request_id(connection, submission)) is not None:  # stored while this one waited
                return rows.with_position(connection, known), False
            rows.check_limits(connection, submission.tenant, limits)
            if not rows.insert_search(connection, submission, self._clock()):  # another server was faster
                known = rows.by_request_id(connection, submission)
                if known is None:
                    raise RequestIdTaken(f"{submission.request_id} was used a moment ago; try again")
                return rows.with_position(connection, known), False
            return rows.with_position(connection, rows.found(connection, submission.id)), True

        return await self._database.run(work)

    async def get(self, tenant: str, search_id: str) -> StoredSearch:
        """Return a search of a tenant.

        Raises:
            SearchNotFound: The tenant has no such search.
        """

        def work(connection: Connection) -> StoredSearch:
            return rows.with_position(connection, rows.of_tenant(connection, tenant, search_id))

        return await self._database.read(work)

    async def page(
        self,
        tenant: str,
        *,
        states: Collection[SearchState] = (),
        labels: Mapping[str, str] | None = None,
        after: SearchCursor | None = None,
        most: int = 50,
    ) -> list[StoredSearch]:
        """Return a tenant's searches, newest first.

        Args:
            tenant: Owner of the searches.
            states: Only searches in one of these states; empty for any.
            labels: Only searches with all of these labels.
            after: Only searches after this one in the list.
            most: Largest number of searches.
        """

        def work(connection: Connection) -> list[StoredSearch]:
            query = rows.newest_first(select(SEARCHES).where(SEARCHES.c.tenant == tenant)).limit(most)
            if states:
                query = query.where(SEARCHES.c.state.in_([state.value for state in states]))
            for key, value in (labels or {}).items():
                labeled = select(LABELS.c.search_id).where(LABELS.c.key == key, LABELS.c.value == value)
                query = query.where(SEARCHES.c.id.in_(labeled))
            if after is not None:
                query = query.where(tuple_(SEARCHES.c.created_s, SEARCHES.c.id) < (after.created_s, after.id))
            return rows.with_positions(connection, rows.stored(connection, connection.execute(query).all()))

        return await self._database.read(work)

    async def state(self, search_id: str) -> SearchState | None:
        """Return the state of a search; None if it was deleted."""
        known = await self._database.read(lambda connection: rows.owner_and_state(connection, search_id))
        return None if known is None else known[1]

    async def begin(self, search_id: str) -> StartedSearch | None:
        """Set a search to running, or resume it; None if it has ended or was deleted."""

        def work(connection: Connection) -> StartedSearch | None:
            now_s = self._clock()
            first = rows.begin(connection, search_id, now_s)
            if not first and not rows.is_running(connection, search_id):
                return None
            search = rows.found(connection, search_id)
            return StartedSearch(search, waited_s=max(0.0, now_s - search.created_s) if first else None)

        return await self._database.run(work)

    async def record(
        self,
        search_id: str,
        events: Sequence[StoredEvent],
        *,
        before: int,
        spent: str,
        parts: Mapping[str, str],
        finished: bool = False,
    ) -> None:
        """Record the progress of a running search.

        Args:
            search_id: Id of the search.
            events: Its next events.
            before: How many events it has already.
            spent: Budget spent so far, as JSON.
            parts: Parts of its state that changed.
            finished: Whether the last event is the result, which ends the search.

        Raises:
            SearchOver: It is not running any more.
        """

        def work(connection: Connection) -> None:
            rows.record(connection, search_id, before, events, spent=spent)
            if parts:
                rows.upsert_parts(connection, search_id, parts)
            if finished:
                rows.end(connection, search_id, SearchState.SUCCEEDED, self._clock(), result=events[-1].payload)

        await self._database.run(work)

    async def progress(self, search_id: str) -> tuple[int, Progress | None]:
        """Return how many events a search has, and its recorded progress; None before its first record."""
        return await self._database.read(lambda connection: rows.progress(connection, search_id))

    async def record_waiting(self, search_id: str, reason: str) -> None:
        """Record that a running search waits for the end of an outage."""
        running = (SEARCHES.c.id == search_id) & (SEARCHES.c.state == SearchState.RUNNING.value)
        statement = update(SEARCHES).where(running).values(waiting=reason)
        await self._database.run(lambda connection: connection.execute(statement))

    async def fail(
        self, search_id: str, event_of: Callable[[int], StoredEvent], failure: bytes, *, retryable: bool = False
    ) -> None:
        """End a running search as failed.

        Args:
            search_id: Id of the search.
            event_of: Makes the last event from its sequence number.
            failure: Why it failed, encoded.
            retryable: Whether the same ``request_id`` starts a new search.

        Raises:
            SearchOver: It is not running any more.
        """

        def work(connection: Connection) -> None:
            query = select(SEARCHES.c.events).where(SEARCHES.c.id == search_id).with_for_update()
            reported = connection.execute(query).scalar()
            rows.append_event(connection, search_id, event_of((reported or 0) + 1))
            rows.end(connection, search_id, SearchState.FAILED, self._clock(), failure=failure, retryable=retryable)

        await self._database.run(work)

    async def cancel(self, tenant: str, search_id: str, event_of: Callable[[int], StoredEvent]) -> StoredSearch:
        """End a search as cancelled, if it has not ended.

        Args:
            tenant: Its owner.
            search_id: Its id.
            event_of: Makes the last event from its sequence number.

        Raises:
            SearchNotFound: The tenant has no such search.
        """

        def work(connection: Connection) -> StoredSearch:
            search = rows.of_tenant(connection, tenant, search_id, lock=True)
            if search.state.ended:
                return search
            rows.append_event(connection, search_id, event_of(search.events + 1), state=search.state)
            rows.end(connection, search_id, SearchState.CANCELLED, self._clock())
            return rows.found(connection, search_id)

        return await self._database.run(work)

    async def delete(self, tenant: str, search_id: str) -> list[str]:
        """Delete a search; return the digests that it referred to.

        Raises:
            SearchNotFound: The tenant has no such search.
        """

        def work(connection: Connection) -> list[str]:
            rows.of_tenant(connection, tenant, search_id, lock=True)
            return rows.delete_search(connection, search_id)

        return await self._database.run(work)

    async def events(self, search_id: str, *, after: int = 0, most: int = 64) -> list[StoredEvent]:
        """Return the events after a sequence number, in order."""
        return await self._database.read(lambda connection: rows.events(connection, search_id, after=after, most=most))

    async def tenant_and_events(
        self, search_id: str, *, after: int = 0, most: int = 64
    ) -> tuple[str, bool, list[StoredEvent]]:
        """Return the tenant of a search, whether it has ended, and its events after a sequence number, in order.

        Raises:
            SearchNotFound: There is no such search.
        """

        def work(connection: Connection) -> tuple[str, bool, list[StoredEvent]]:
            rows.check_id(search_id)
            known = rows.owner_and_state(connection, search_id)  # first: a search that has ended gets no more events
            if known is None:
                raise rows.no_search(search_id)
            tenant, state = known
            return tenant, state.ended, rows.events(connection, search_id, after=after, most=most)

        return await self._database.read(work)

    async def running(self, search_ids: Collection[str]) -> set[str]:
        """Return which of these searches are running."""
        query = select(SEARCHES.c.id).where(
            SEARCHES.c.id.in_(search_ids), SEARCHES.c.state == SearchState.RUNNING.value
        )
        return await self._database.read(lambda connection: set(connection.execute(query).scalars()))

    async def counts(self) -> dict[SearchState, int]:
        """Count the searches by state."""
        query = select(SEARCHES.c.state, func.count()).group_by(SEARCHES.c.state)
        counts = await self._database.read(lambda connection: connection.execute(query).all())
        return {SearchState(state): count for state, count in counts}

    async def longest_wait_s(self) -> float:
        """Return for how long the oldest queued search has waited, in seconds; 0 if none is queued."""
        query = select(func.min(SEARCHES.c.created_s)).where(SEARCHES.c.state == SearchState.QUEUED.value)
        created_s = await self._database.read(lambda connection: connection.execute(query).scalar())
        return 0.0 if created_s is None else max(0.0, self._clock() - created_s)

    async def queued(self) -> list[StoredSearch]:
        """Return all queued searches, oldest first."""
        return await self._in_state(SearchState.QUEUED)

    async def unfinished(self) -> list[StoredSearch]:
        """Return all queued and running searches, oldest first."""
        return await self._in_state(*UNFINISHED)

    async def _in_state(self, *states: SearchState) -> list[StoredSearch]:
        def work(connection: Connection) -> list[StoredSearch]:
            wanted = SEARCHES.c.state.in_([state.value for state in states])
            query = select(SEARCHES).where(wanted).order_by(SEARCHES.c.created_s)
            return rows.stored(connection, connection.execute(query).all())

        return await self._database.read(work)
