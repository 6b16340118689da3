"""The searches in the database: one class for all that is asked of them, one transaction for every question."""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, func, select, tuple_, update

from eacps.durable import rows
from eacps.durable.database import Database
from eacps.durable.records import Limits, SearchState, StoredEvent, StoredSearch, Submission
from eacps.durable.tables import EVENTS, LABELS, SEARCHES
from eacps.errors import RequestIdTaken, SearchNotFound

_LIMITS = Limits()


@dataclass(frozen=True)
class Place:
    """A place in the list of a tenant's searches: that of the last one seen."""

    created_s: float
    id: str


class SearchStore:
    """Keeps searches and their events.

    A search is only ever told of to the tenant it belongs to; to others it does not exist. Methods that the server
    itself needs, and no caller, take no tenant.

    Args:
        database: Where.
        clock: Seconds since the epoch.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database, self._clock = database, clock

    async def create(self, submission: Submission, limits: Limits = _LIMITS) -> tuple[StoredSearch, bool]:
        """Keep a search; give it, and whether it is new or one that the same request created before.

        Raises:
            RequestIdTaken: Another request has its ``request_id``.
            TooManySearches: As many as allowed are unfinished.
        """

        def work(connection: Connection) -> tuple[StoredSearch, bool]:
            known = rows.by_request_id(connection, submission)
            if known is not None:
                return known, False
            rows.check_limits(connection, submission.tenant, limits)
            if not rows.insert_search(connection, submission, self._clock()):  # another server was faster
                known = rows.by_request_id(connection, submission)
                if known is None:
                    raise RequestIdTaken(f"{submission.request_id} was used a moment ago; try again")
                return known, False
            return rows.found(connection, submission.id), True

        return await self._database.run(work)

    async def get(self, tenant: str, search_id: str) -> StoredSearch:
        """Give a search of a tenant.

        Raises:
            SearchNotFound: The tenant has none such.
        """
        return await self._database.run(lambda connection: rows.of_tenant(connection, tenant, search_id))

    async def page(
        self,
        tenant: str,
        *,
        states: Collection[SearchState] = (),
        labels: Mapping[str, str] | None = None,
        after: Place | None = None,
        most: int = 50,
    ) -> list[StoredSearch]:
        """Give a tenant's searches, newest first.

        Args:
            tenant: Whose.
            states: Only those in one of these; empty for any.
            labels: Only those that carry all of these.
            after: Only those that come after this place.
            most: At most so many.
        """

        def work(connection: Connection) -> list[StoredSearch]:
            query = rows.newest_first(select(SEARCHES).where(SEARCHES.c.tenant == tenant)).limit(most)
            if states:
                query = query.where(SEARCHES.c.state.in_([state.value for state in states]))
            for key, value in (labels or {}).items():
                labelled = select(LABELS.c.search_id).where(LABELS.c.key == key, LABELS.c.value == value)
                query = query.where(SEARCHES.c.id.in_(labelled))
            if after is not None:
                query = query.where(tuple_(SEARCHES.c.created_s, SEARCHES.c.id) < (after.created_s, after.id))
            return rows.stored(connection, connection.execute(query).all())

        return await self._database.run(work)

    async def begin(self, search_id: str) -> StoredSearch | None:
        """Have a search run; None where it is over, or gone."""

        def work(connection: Connection) -> StoredSearch | None:
            first = func.coalesce(SEARCHES.c.started_s, self._clock())
            begun = connection.execute(
                update(SEARCHES)
                .where(SEARCHES.c.id == search_id, rows.unfinished())
                .values(state=SearchState.RUNNING.value, started_s=first)
            )
            return rows.found(connection, search_id) if begun.rowcount else None

        return await self._database.run(work)

    async def append(self, search_id: str, *events: StoredEvent) -> None:
        """Keep the next events of a search that runs.

        Raises:
            SearchOver: It does not run any more.
        """

        def work(connection: Connection) -> None:
            for event in events:
                rows.append_event(connection, search_id, event)

        await self._database.run(work)

    async def succeed(self, search_id: str, event: StoredEvent) -> None:
        """End a search that runs with its last event, the result.

        Raises:
            SearchOver: It does not run any more.
        """

        def work(connection: Connection) -> None:
            rows.append_event(connection, search_id, event)
            rows.end(connection, search_id, SearchState.SUCCEEDED, self._clock(), result=event.payload)

        await self._database.run(work)

    async def fail(self, search_id: str, event_of: Callable[[int], StoredEvent], failure: bytes) -> None:
        """End a search that runs as failed.

        Args:
            search_id: Which.
            event_of: Gives the last event for its sequence number.
            failure: Why, encoded.

        Raises:
            SearchOver: It does not run any more.
        """

        def work(connection: Connection) -> None:
            query = select(SEARCHES.c.events).where(SEARCHES.c.id == search_id).with_for_update()
            told = connection.execute(query).scalar()
            rows.append_event(connection, search_id, event_of((told or 0) + 1))
            rows.end(connection, search_id, SearchState.FAILED, self._clock(), failure=failure)

        await self._database.run(work)

    async def cancel(self, tenant: str, search_id: str, event_of: Callable[[int], StoredEvent]) -> StoredSearch:
        """End a search as cancelled, where it is not over.

        Args:
            tenant: Whose.
            search_id: Which.
            event_of: Gives the last event for its sequence number.

        Raises:
            SearchNotFound: The tenant has none such.
        """

        def work(connection: Connection) -> StoredSearch:
            search = rows.of_tenant(connection, tenant, search_id, lock=True)
            if search.state.over:
                return search
            rows.append_event(connection, search_id, event_of(search.events + 1), state=search.state)
            rows.end(connection, search_id, SearchState.CANCELLED, self._clock())
            return rows.found(connection, search_id)

        return await self._database.run(work)

    async def delete(self, tenant: str, search_id: str) -> list[str]:
        """Forget a search; give the digests that it referred to.

        Raises:
            SearchNotFound: The tenant has none such.
        """

        def work(connection: Connection) -> list[str]:
            rows.of_tenant(connection, tenant, search_id, lock=True)
            return rows.forget(connection, search_id)

        return await self._database.run(work)

    async def events(self, search_id: str, *, after: int = 0, most: int = 64) -> list[StoredEvent]:
        """Give the events after a sequence number, in order."""
        return await self._database.run(lambda connection: rows.events(connection, search_id, after=after, most=most))

    async def news(
        self, tenant: str, search_id: str, *, after: int = 0, most: int = 64
    ) -> tuple[bool, list[StoredEvent]]:
        """Say whether a search of a tenant is over, and give its events after a sequence number, in order.

        Raises:
            SearchNotFound: The tenant has none such.
        """

        def work(connection: Connection) -> tuple[bool, list[StoredEvent]]:
            rows.check_id(search_id)
            query = select(SEARCHES.c.state).where(SEARCHES.c.id == search_id, SEARCHES.c.tenant == tenant)
            state = connection.execute(query).scalar()  # before the events: one that is over tells no more
            if state is None:
                raise SearchNotFound(f"there is no search {search_id[:64]!r}")
            return SearchState(state).over, rows.events(connection, search_id, after=after, most=most)

        return await self._database.run(work)

    async def told(self, search_id: str) -> list[str]:
        """Give the identities of all events of a search, in order."""
        query = select(EVENTS.c.identity).where(EVENTS.c.search_id == search_id).order_by(EVENTS.c.sequence)
        return await self._database.run(lambda connection: list(connection.execute(query).scalars()))

    async def state(self, search_id: str) -> SearchState | None:
        """Give a search's state; None where it is gone."""
        query = select(SEARCHES.c.state).where(SEARCHES.c.id == search_id)
        found = await self._database.run(lambda connection: connection.execute(query).scalar())
        return None if found is None else SearchState(found)

    async def counts(self) -> dict[SearchState, int]:
        """Count the searches by state."""
        query = select(SEARCHES.c.state, func.count()).group_by(SEARCHES.c.state)
        rows = await self._database.run(lambda connection: connection.execute(query).all())
        return {SearchState(state): count for state, count in rows}

    async def queued(self) -> list[StoredSearch]:
        """Give all searches that wait, oldest first."""

        def work(connection: Connection) -> list[StoredSearch]:
            waiting = SEARCHES.c.state == SearchState.QUEUED.value
            query = select(SEARCHES).where(waiting).order_by(SEARCHES.c.created_s)
            return rows.stored(connection, connection.execute(query).all())

        return await self._database.run(work)
