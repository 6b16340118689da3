"""The searches in the database: one class for all that is asked of them, one transaction for every question."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, func, insert, or_, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from eacps.durable.database import Database
from eacps.durable.records import UNFINISHED, Limits, SearchState, StoredEvent, StoredSearch, Submission
from eacps.durable.tables import EVENTS, LABELS, REFERENCES, SEARCHES
from eacps.errors import RequestIdTaken, SearchNotFound, SearchOver, TooManySearches

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
            known = _by_request_id(connection, submission)
            if known is not None:
                return known, False
            _check_limits(connection, submission.tenant, limits)
            if not _insert(connection, submission, self._clock()):  # another server was faster
                known = _by_request_id(connection, submission)
                if known is None:
                    raise RequestIdTaken(f"{submission.request_id} was used a moment ago; try again")
                return known, False
            return _found(connection, submission.id), True

        return await self._database.run(work)

    async def get(self, tenant: str, search_id: str) -> StoredSearch:
        """Give a search of a tenant.

        Raises:
            SearchNotFound: The tenant has none such.
        """
        return await self._database.run(lambda connection: _of_tenant(connection, tenant, search_id))

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
            query = _newest_first(select(SEARCHES).where(SEARCHES.c.tenant == tenant)).limit(most)
            if states:
                query = query.where(SEARCHES.c.state.in_([state.value for state in states]))
            for key, value in (labels or {}).items():
                labelled = select(LABELS.c.search_id).where(LABELS.c.key == key, LABELS.c.value == value)
                query = query.where(SEARCHES.c.id.in_(labelled))
            if after is not None:
                query = query.where(tuple_(SEARCHES.c.created_s, SEARCHES.c.id) < (after.created_s, after.id))
            return _stored(connection, connection.execute(query).all())

        return await self._database.run(work)

    async def begin(self, search_id: str) -> StoredSearch | None:
        """Have a search run; None where it is over, or gone."""

        def work(connection: Connection) -> StoredSearch | None:
            first = func.coalesce(SEARCHES.c.started_s, self._clock())
            begun = connection.execute(
                update(SEARCHES)
                .where(SEARCHES.c.id == search_id, _unfinished())
                .values(state=SearchState.RUNNING.value, started_s=first)
            )
            return _found(connection, search_id) if begun.rowcount else None

        return await self._database.run(work)

    async def append(self, search_id: str, event: StoredEvent) -> None:
        """Keep the next event of a search that runs.

        Raises:
            SearchOver: It does not run any more.
        """
        await self._database.run(lambda connection: _append(connection, search_id, event))

    async def succeed(self, search_id: str, event: StoredEvent) -> None:
        """End a search that runs with its last event, the result.

        Raises:
            SearchOver: It does not run any more.
        """

        def work(connection: Connection) -> None:
            _append(connection, search_id, event)
            _end(connection, search_id, SearchState.SUCCEEDED, self._clock(), result=event.payload)

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
            _append(connection, search_id, event_of((told or 0) + 1))
            _end(connection, search_id, SearchState.FAILED, self._clock(), failure=failure)

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
            search = _of_tenant(connection, tenant, search_id, lock=True)
            if search.state.over:
                return search
            _append(connection, search_id, event_of(search.events + 1), state=search.state)
            _end(connection, search_id, SearchState.CANCELLED, self._clock())
            return _found(connection, search_id)

        return await self._database.run(work)

    async def delete(self, tenant: str, search_id: str) -> list[str]:
        """Forget a search; give the digests that it referred to.

        Raises:
            SearchNotFound: The tenant has none such.
        """

        def work(connection: Connection) -> list[str]:
            _of_tenant(connection, tenant, search_id, lock=True)
            return forget(connection, search_id)

        return await self._database.run(work)

    async def events(self, search_id: str, *, after: int = 0, most: int = 64) -> list[StoredEvent]:
        """Give the events after a sequence number, in order."""

        def work(connection: Connection) -> list[StoredEvent]:
            columns = EVENTS.c
            query = (
                select(columns.sequence, columns.identity, columns.payload)
                .where(columns.search_id == search_id, columns.sequence > after)
                .order_by(columns.sequence)
                .limit(most)
            )
            return [StoredEvent(*row) for row in connection.execute(query)]

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
            return _stored(connection, connection.execute(query).all())

        return await self._database.run(work)


def forget(connection: Connection, search_id: str) -> list[str]:
    """Remove a search and all that goes with it; give the digests that it referred to."""
    query = select(REFERENCES.c.digest).where(REFERENCES.c.search_id == search_id)
    digests = list(connection.execute(query).scalars())
    connection.execute(delete(SEARCHES).where(SEARCHES.c.id == search_id))
    return digests


def _by_request_id(connection: Connection, submission: Submission) -> StoredSearch | None:
    if submission.request_id is None:
        return None
    query = select(SEARCHES).where(
        SEARCHES.c.tenant == submission.tenant, SEARCHES.c.request_id == submission.request_id
    )
    rows = connection.execute(query).all()
    if not rows:
        return None
    if rows[0].fingerprint != submission.fingerprint:
        raise RequestIdTaken(f"{submission.request_id} is the request_id of another request")
    return _stored(connection, rows)[0]


def _check_limits(connection: Connection, tenant: str, limits: Limits) -> None:
    query = select(SEARCHES.c.tenant, func.count()).where(_unfinished()).group_by(SEARCHES.c.tenant)
    counts: dict[str, int] = {row[0]: row[1] for row in connection.execute(query)}
    if counts.get(tenant, 0) >= limits.per_tenant:
        raise TooManySearches(f"{counts[tenant]} of your searches are unfinished, as many as you may have")
    if sum(counts.values()) >= limits.searches:
        raise TooManySearches(f"{sum(counts.values())} searches are unfinished, as many as this service takes")


def _insert(connection: Connection, submission: Submission, now_s: float) -> bool:
    """Insert a search with what it refers to; False where its ``request_id`` was taken meanwhile."""
    kind: Any = sqlite if connection.dialect.name == "sqlite" else postgresql
    row = {
        "id": submission.id,
        "tenant": submission.tenant,
        "request_id": submission.request_id,
        "fingerprint": submission.fingerprint,
        "request": submission.request,
        "priority": submission.priority,
        "state": SearchState.QUEUED.value,
        "created_s": now_s,
        "expires_s": submission.expires_s,
        "events": 0,
    }
    statement = kind.insert(SEARCHES).values(row).on_conflict_do_nothing().returning(SEARCHES.c.id)
    if connection.execute(statement).first() is None:
        return False
    if submission.labels:
        labels = [{"search_id": submission.id, "key": key, "value": text} for key, text in submission.labels.items()]
        connection.execute(insert(LABELS), labels)
    if submission.inputs:
        inputs = [{"search_id": submission.id, "digest": digest} for digest in sorted(submission.inputs)]
        connection.execute(insert(REFERENCES), inputs)
    return True


def _append(
    connection: Connection, search_id: str, event: StoredEvent, *, state: SearchState = SearchState.RUNNING
) -> None:
    """Keep the next event of a search that is in this state still."""
    here = (SEARCHES.c.id == search_id) & (SEARCHES.c.state == state.value)
    counted = update(SEARCHES).where(here, SEARCHES.c.events == event.sequence - 1).values(events=event.sequence)
    if not connection.execute(counted).rowcount:
        raise SearchOver(f"search {search_id} does not run any more")
    connection.execute(insert(EVENTS), {"search_id": search_id, **vars(event)})


def _end(
    connection: Connection,
    search_id: str,
    state: SearchState,
    now_s: float,
    *,
    result: bytes | None = None,
    failure: bytes | None = None,
) -> None:
    values = {"state": state.value, "finished_s": now_s, "result": result, "failure": failure}
    connection.execute(update(SEARCHES).where(SEARCHES.c.id == search_id).values(values))


def _unfinished() -> Any:
    return or_(*(SEARCHES.c.state == state.value for state in UNFINISHED))


def _newest_first(query: Select[Any]) -> Select[Any]:
    return query.order_by(SEARCHES.c.created_s.desc(), SEARCHES.c.id.desc())


def _of_tenant(connection: Connection, tenant: str, search_id: str, *, lock: bool = False) -> StoredSearch:
    query = select(SEARCHES).where(SEARCHES.c.id == search_id, SEARCHES.c.tenant == tenant)
    rows = connection.execute(query.with_for_update() if lock else query).all()
    if not rows:
        raise SearchNotFound(f"there is no search {search_id[:64]!r}")
    return _stored(connection, rows)[0]


def _found(connection: Connection, search_id: str) -> StoredSearch:
    return _stored(connection, connection.execute(select(SEARCHES).where(SEARCHES.c.id == search_id)).all())[0]


def _stored(connection: Connection, rows: Sequence[Row[Any]]) -> list[StoredSearch]:
    labels: dict[str, dict[str, str]] = {row.id: {} for row in rows}
    for search_id, key, value in connection.execute(select(LABELS).where(LABELS.c.search_id.in_(labels))):
        labels[search_id][key] = value
    return [
        StoredSearch(
            id=row.id,
            tenant=row.tenant,
            request=row.request,
            request_id=row.request_id,
            labels=labels[row.id],
            priority=row.priority,
            expires_s=row.expires_s,
            state=SearchState(row.state),
            created_s=row.created_s,
            started_s=row.started_s,
            finished_s=row.finished_s,
            events=row.events,
            result=row.result,
            failure=row.failure,
        )
        for row in rows
    ]
