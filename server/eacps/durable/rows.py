"""Searches as rows: the statements that `SearchStore` puts its transactions together from."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, func, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from eacps.durable.records import UNFINISHED, Limits, SearchState, StoredEvent, StoredSearch, Submission
from eacps.durable.tables import EVENTS, LABELS, REFERENCES, SEARCHES
from eacps.errors import RequestIdTaken, SearchNotFound, SearchOver, TooManySearches

_ID_DIGITS = 32


def forget(connection: Connection, search_id: str) -> list[str]:
    """Remove a search and all that goes with it; give the digests that it referred to."""
    query = select(REFERENCES.c.digest).where(REFERENCES.c.search_id == search_id)
    digests = list(connection.execute(query).scalars())
    connection.execute(delete(SEARCHES).where(SEARCHES.c.id == search_id))
    return digests


def by_request_id(connection: Connection, submission: Submission) -> StoredSearch | None:
    """Give the search that a submission's ``request_id`` names; None where it names none.

    Raises:
        RequestIdTaken: It is another request's.
    """
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
    return stored(connection, rows)[0]


def check_limits(connection: Connection, tenant: str, limits: Limits) -> None:
    """See that one more search may be unfinished.

    Raises:
        TooManySearches: It may not.
    """
    query = select(SEARCHES.c.tenant, func.count()).where(unfinished()).group_by(SEARCHES.c.tenant)
    counts: dict[str, int] = {row[0]: row[1] for row in connection.execute(query)}
    if counts.get(tenant, 0) >= limits.per_tenant:
        raise TooManySearches(f"{counts[tenant]} of your searches are unfinished, as many as you may have")
    if sum(counts.values()) >= limits.searches:
        raise TooManySearches(f"{sum(counts.values())} searches are unfinished, as many as this service takes")


def insert_search(connection: Connection, submission: Submission, now_s: float) -> bool:
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


def append_event(
    connection: Connection, search_id: str, event: StoredEvent, *, state: SearchState = SearchState.RUNNING
) -> None:
    """Keep the next event of a search that is in this state still."""
    here = (SEARCHES.c.id == search_id) & (SEARCHES.c.state == state.value)
    counted = update(SEARCHES).where(here, SEARCHES.c.events == event.sequence - 1).values(events=event.sequence)
    if not connection.execute(counted).rowcount:
        raise SearchOver(f"search {search_id} does not run any more")
    connection.execute(insert(EVENTS), {"search_id": search_id, **vars(event)})


def events(connection: Connection, search_id: str, *, after: int, most: int) -> list[StoredEvent]:
    """Give the events of a search after a sequence number, in order."""
    columns = EVENTS.c
    query = (
        select(columns.sequence, columns.identity, columns.payload)
        .where(columns.search_id == search_id, columns.sequence > after)
        .order_by(columns.sequence)
        .limit(most)
    )
    return [StoredEvent(*row) for row in connection.execute(query)]


def end(
    connection: Connection,
    search_id: str,
    state: SearchState,
    now_s: float,
    *,
    result: bytes | None = None,
    failure: bytes | None = None,
) -> None:
    """Put down how and when a search ended."""
    values = {"state": state.value, "finished_s": now_s, "result": result, "failure": failure}
    connection.execute(update(SEARCHES).where(SEARCHES.c.id == search_id).values(values))


def unfinished() -> Any:
    """Give the condition of a search that runs or waits."""
    return or_(*(SEARCHES.c.state == state.value for state in UNFINISHED))


def newest_first(query: Select[Any]) -> Select[Any]:
    """Order searches by age; those of one moment by their ids."""
    return query.order_by(SEARCHES.c.created_s.desc(), SEARCHES.c.id.desc())


def check_id(search_id: str) -> None:
    """See that an id could be a search's, before the database is asked about it.

    Raises:
        SearchNotFound: It could not.
    """
    if len(search_id) != _ID_DIGITS or not set(search_id) <= set("0123456789abcdef"):
        raise SearchNotFound(f"there is no search {search_id[:64]!r}")


def of_tenant(connection: Connection, tenant: str, search_id: str, *, lock: bool = False) -> StoredSearch:
    """Give a search of a tenant; with ``lock``, as nobody else can change it before this transaction ends.

    Raises:
        SearchNotFound: The tenant has none such.
    """
    check_id(search_id)
    query = select(SEARCHES).where(SEARCHES.c.id == search_id, SEARCHES.c.tenant == tenant)
    rows = connection.execute(query.with_for_update() if lock else query).all()
    if not rows:
        raise SearchNotFound(f"there is no search {search_id[:64]!r}")
    return stored(connection, rows)[0]


def found(connection: Connection, search_id: str) -> StoredSearch:
    """Give a search that is known to be there."""
    return stored(connection, connection.execute(select(SEARCHES).where(SEARCHES.c.id == search_id)).all())[0]


def stored(connection: Connection, rows: Sequence[Row[Any]]) -> list[StoredSearch]:
    """Give searches as rows of `SEARCHES` have them, with their labels."""
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
