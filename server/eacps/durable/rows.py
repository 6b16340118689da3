"""Searches as rows: the statements that the transactions of `SearchStore` consist of."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, delete, func, insert, or_, select, tuple_, update

from eacps.durable.statements import Statement
from eacps.durable.stored import UNFINISHED, QueueLimits, SearchState, StoredEvent, StoredSearch, Submission
from eacps.durable.tables import EVENTS, LABELS, PARTS, REFERENCES, SEARCHES
from eacps.errors import RequestIdTaken, SearchNotFound, SearchOver, TooManySearches
from eacps.evaluation import Progress

_ID_DIGITS = 32
_SUBMISSIONS_LOCK = 0x6561637074  # names this lock in PostgreSQL: a number that other programs do not use

# Parameters have names that no column has: SQLAlchemy keeps those for the values of an update.
_NEXT = (SEARCHES.c.id == bindparam("of")) & (SEARCHES.c.events == bindparam("before"))
_COUNTED = _NEXT & (SEARCHES.c.state == bindparam("state_so_far"))
_COUNT = update(SEARCHES).where(_COUNTED).values(events=bindparam("now"))
_COUNT_ALONE = Statement(lambda _: _COUNT)
_COUNT_AND_SPEND = Statement(lambda _: _COUNT.values(spent=bindparam("spent_so_far"), waiting=None))
_EVENT = Statement(lambda insert: insert(EVENTS))
_EVENTS_AFTER = Statement(
    lambda _: (
        select(EVENTS.c.sequence, EVENTS.c.payload)
        .where(EVENTS.c.search_id == bindparam("of"), EVENTS.c.sequence > bindparam("after"))
        .order_by(EVENTS.c.sequence)
        .limit(bindparam("most"))
    )
)
_IS_RUNNING = (SEARCHES.c.id == bindparam("of")) & (SEARCHES.c.state == SearchState.RUNNING.value)
_LOCK_RUNNING = Statement(lambda _: select(SEARCHES.c.id).where(_IS_RUNNING).with_for_update(read=True))
_SEARCH = Statement(lambda _: select(SEARCHES).where(SEARCHES.c.id == bindparam("of")))
_LABELS = Statement(lambda _: select(LABELS.c.key, LABELS.c.value).where(LABELS.c.search_id == bindparam("of")))
_INSERT_SEARCH = Statement(lambda insert: insert(SEARCHES).on_conflict_do_nothing())
_NEW_SEARCH = dict.fromkeys(SEARCHES.columns.keys())
_REFERENCE = Statement(lambda insert: insert(REFERENCES).on_conflict_do_nothing())
_BEGIN = Statement(
    lambda _: (
        update(SEARCHES)
        .where(SEARCHES.c.id == bindparam("of"), SEARCHES.c.state == SearchState.QUEUED.value)
        .values(state=SearchState.RUNNING.value, started_s=bindparam("now_s"))
    )
)
_END = Statement(
    lambda _: (
        update(SEARCHES)
        .where(SEARCHES.c.id == bindparam("of"))
        .values(
            state=bindparam("new_state"),
            finished_s=bindparam("now_s"),
            result=bindparam("new_result"),
            failure=bindparam("new_failure"),
            retryable=bindparam("may_retry"),
            waiting=None,
        )
    )
)
_SPENT = Statement(lambda _: select(SEARCHES.c.events, SEARCHES.c.spent).where(SEARCHES.c.id == bindparam("of")))
_PARTS = Statement(lambda _: select(PARTS.c.name, PARTS.c.data).where(PARTS.c.search_id == bindparam("of")))
_REPORTS = Statement(
    lambda _: (
        select(EVENTS.c.report)
        .where(EVENTS.c.search_id == bindparam("of"), EVENTS.c.report.is_not(None))
        .order_by(EVENTS.c.sequence)
    )
)
_UNFINISHED = Statement(
    lambda _: select(SEARCHES.c.tenant, func.count()).where(unfinished()).group_by(SEARCHES.c.tenant)
)
_OWNER_AND_STATE = Statement(
    lambda _: select(SEARCHES.c.tenant, SEARCHES.c.state).where(SEARCHES.c.id == bindparam("of"))
)


def _ahead() -> Any:
    order = tuple_(SEARCHES.c.priority, SEARCHES.c.created_s, SEARCHES.c.id)
    before = order < tuple_(bindparam("priority"), bindparam("created_s"), bindparam("id"))
    waiting = (SEARCHES.c.tenant == bindparam("of")) & (SEARCHES.c.state == SearchState.QUEUED.value)
    return select(func.count()).select_from(SEARCHES).where(waiting & before)


_AHEAD = Statement(lambda _: _ahead())


def _upsert_part(insert: Any) -> Any:
    new = insert(PARTS)
    return new.on_conflict_do_update(index_elements=[PARTS.c.search_id, PARTS.c.name], set_={"data": new.excluded.data})


_PART = Statement(_upsert_part)


def delete_search(connection: Connection, search_id: str) -> list[str]:
    """Delete a search and all its rows; return the digests that it referred to."""
    query = select(REFERENCES.c.digest).where(REFERENCES.c.search_id == search_id)
    digests = list(connection.execute(query).scalars())
    connection.execute(delete(SEARCHES).where(SEARCHES.c.id == search_id))
    return digests


def by_request_id(connection: Connection, submission: Submission) -> StoredSearch | None:
    """Return the search of a submission's ``request_id``; None if there is none.

    A search that failed because its servers were unavailable gives its ``request_id`` up: the request is run again.

    Raises:
        RequestIdTaken: Another request has it.
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
    if rows[0].retryable:
        connection.execute(update(SEARCHES).where(SEARCHES.c.id == rows[0].id).values(request_id=None))
        return None
    return stored(connection, rows)[0]


def lock_submissions(connection: Connection) -> None:
    """Block other insertions of searches until the transaction ends, so that all of them are counted."""
    if connection.dialect.name == "postgresql":  # SQLite has one writer
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_SUBMISSIONS_LOCK})")


def check_limits(connection: Connection, tenant: str, limits: QueueLimits) -> None:
    """Check that one more search may be unfinished.

    Raises:
        TooManySearches: There are too many.
    """
    counts: dict[str, int] = {row[0]: row[1] for row in _UNFINISHED.execute(connection, {})}
    if counts.get(tenant, 0) >= limits.per_tenant:
        message, count = f"{counts[tenant]} of your searches are unfinished, as many as you may have", counts[tenant]
        raise TooManySearches(message, limit=limits.per_tenant, count=count, subject=f"tenant:{tenant}")
    if (count := sum(counts.values())) >= limits.searches:
        message = f"{count} searches are unfinished, as many as this service takes"
        raise TooManySearches(message, limit=limits.searches, count=count)


def insert_search(connection: Connection, submission: Submission, now_s: float) -> bool:
    """Insert a search with its references; return False if its ``request_id`` was taken meanwhile."""
    row = {
        **_NEW_SEARCH,
        "id": submission.id,
        "tenant": submission.tenant,
        "request_id": submission.request_id,
        "fingerprint": submission.fingerprint,
        "request": submission.request,
        "priority": submission.priority,
        "state": SearchState.QUEUED.value,
        "created_s": now_s,
        "expires_s": submission.expires_s,
        "attached": submission.attached,
        "events": 0,
    }
    if not _INSERT_SEARCH.execute(connection, row).rowcount:
        return False
    if submission.labels:
        labels = [{"search_id": submission.id, "key": key, "value": text} for key, text in submission.labels.items()]
        connection.execute(insert(LABELS), labels)
    if submission.inputs:
        refer(connection, submission.id, sorted(submission.inputs))
    return True


def refer(connection: Connection, search_id: str, digests: Sequence[str]) -> None:
    """Record that a search refers to objects, at least one."""
    _REFERENCE.execute_many(connection, [{"search_id": search_id, "digest": digest} for digest in digests])


def begin(connection: Connection, search_id: str, now_s: float) -> bool:
    """Set a queued search to running; return False if it is not queued."""
    return bool(_BEGIN.execute(connection, {"of": search_id, "now_s": now_s}).rowcount)


def append_event(
    connection: Connection, search_id: str, event: StoredEvent, *, state: SearchState = SearchState.RUNNING
) -> None:
    """Insert the next event of a search that is still in a state.

    Raises:
        SearchOver: It is in another state.
    """
    fields = {"of": search_id, "before": event.sequence - 1, "state_so_far": state.value, "now": event.sequence}
    if not _COUNT_ALONE.execute(connection, fields).rowcount:
        raise SearchOver(f"search {search_id} is over, or another server has recorded events of it")
    _EVENT.execute(connection, {"search_id": search_id, **vars(event)})


def record(connection: Connection, search_id: str, before: int, events: Sequence[StoredEvent], *, spent: str) -> None:
    """Insert the next events of a running search, and update what it has spent.

    Raises:
        SearchOver: It is not running any more.
    """
    now = before + len(events)
    fields = {
        "of": search_id,
        "before": before,
        "now": now,
        "state_so_far": SearchState.RUNNING.value,
        "spent_so_far": spent,
    }
    if not _COUNT_AND_SPEND.execute(connection, fields).rowcount:
        raise SearchOver(f"search {search_id} is over, or another server has recorded events of it")
    if events:
        _EVENT.execute_many(connection, [{"search_id": search_id, **vars(event)} for event in events])


def upsert_parts(connection: Connection, search_id: str, parts: Mapping[str, str]) -> None:
    """Insert or replace parts of a search's state."""
    _PART.execute_many(
        connection, [{"search_id": search_id, "name": name, "data": data} for name, data in parts.items()]
    )


def is_running(connection: Connection, search_id: str) -> bool:
    """Return whether a search is running, and lock that until the transaction ends."""
    return _LOCK_RUNNING.execute(connection, {"of": search_id}).first() is not None


def events(connection: Connection, search_id: str, *, after: int, most: int) -> list[StoredEvent]:
    """Return the events of a search after a sequence number, in order."""
    rows = _EVENTS_AFTER.execute(connection, {"of": search_id, "after": after, "most": most})
    return [StoredEvent(sequence, payload) for sequence, payload in rows]


def progress(connection: Connection, search_id: str) -> tuple[int, Progress | None]:
    """Return how many events a search has, and its recorded progress; None before its first record."""
    of = {"of": search_id}
    row = _SPENT.execute(connection, of).first()
    if row is None or row.spent is None:
        return 0, None
    parts = {part.name: part.data for part in _PARTS.execute(connection, of)}
    return row.events, Progress(parts, list(_REPORTS.execute(connection, of).scalars()), row.spent)


def end(
    connection: Connection,
    search_id: str,
    state: SearchState,
    now_s: float,
    *,
    result: bytes | None = None,
    failure: bytes | None = None,
    retryable: bool = False,
) -> None:
    """Record how and when a search ended."""
    outcome = {"new_state": state.value, "new_result": result, "new_failure": failure, "may_retry": retryable}
    _END.execute(connection, {"of": search_id, "now_s": now_s, **outcome})


def unfinished() -> Any:
    """Return the condition that a search is queued or running."""
    return or_(*(SEARCHES.c.state == state.value for state in UNFINISHED))


def newest_first(query: Select[Any]) -> Select[Any]:
    """Order searches by creation time, then by id."""
    return query.order_by(SEARCHES.c.created_s.desc(), SEARCHES.c.id.desc())


def no_search(search_id: str) -> SearchNotFound:
    """Return the error that a caller has no search of an id."""
    return SearchNotFound(f"there is no search {search_id[:64]!r}")


def check_id(search_id: str) -> None:
    """Check the form of a search id before the database is queried.

    Raises:
        SearchNotFound: It is not the id of a search.
    """
    if len(search_id) != _ID_DIGITS or not set(search_id) <= set("0123456789abcdef"):
        raise no_search(search_id)


def of_tenant(connection: Connection, tenant: str, search_id: str, *, lock: bool = False) -> StoredSearch:
    """Return a search of a tenant; ``lock`` locks its row until the transaction ends.

    Raises:
        SearchNotFound: The tenant has no such search.
    """
    check_id(search_id)
    query = select(SEARCHES).where(SEARCHES.c.id == search_id, SEARCHES.c.tenant == tenant)
    rows = connection.execute(query.with_for_update() if lock else query).all()
    if not rows:
        raise no_search(search_id)
    return stored(connection, rows)[0]


def found(connection: Connection, search_id: str) -> StoredSearch:
    """Return a search that is known to exist."""
    row = _SEARCH.execute(connection, {"of": search_id}).one()
    return _stored(row, {label.key: label.value for label in _LABELS.execute(connection, {"of": search_id})})


def owner_and_state(connection: Connection, search_id: str) -> tuple[str, SearchState] | None:
    """Return tenant and state of a search; None if there is no such search."""
    row = _OWNER_AND_STATE.execute(connection, {"of": search_id}).first()
    return None if row is None else (row.tenant, SearchState(row.state))


def with_position(connection: Connection, search: StoredSearch) -> StoredSearch:
    """Return a search, if it is queued with its position in the queue."""
    if search.state is not SearchState.QUEUED:
        return search
    fields = {"of": search.tenant, "priority": search.priority, "created_s": search.created_s, "id": search.id}
    count = _AHEAD.execute(connection, fields).one()[0]
    return replace(search, position=count + 1)


def with_positions(connection: Connection, searches: Sequence[StoredSearch]) -> list[StoredSearch]:
    """Return searches of one tenant, the queued ones with their positions in its queue, which is read once."""
    tenants = {search.tenant for search in searches if search.state is SearchState.QUEUED}
    query = (
        select(SEARCHES.c.id)
        .where(SEARCHES.c.tenant.in_(tenants), SEARCHES.c.state == SearchState.QUEUED.value)
        .order_by(SEARCHES.c.priority, SEARCHES.c.created_s, SEARCHES.c.id)
    )
    queue = list(connection.execute(query).scalars()) if tenants else []
    positions = {search_id: position for position, search_id in enumerate(queue, start=1)}
    return [replace(search, position=positions.get(search.id)) for search in searches]


def stored(connection: Connection, rows: Sequence[Row[Any]]) -> list[StoredSearch]:
    """Return the searches of rows of `SEARCHES`, with their labels."""
    labels: dict[str, dict[str, str]] = {row.id: {} for row in rows}
    for search_id, key, value in connection.execute(select(LABELS).where(LABELS.c.search_id.in_(labels))):
        labels[search_id][key] = value
    return [_stored(row, labels[row.id]) for row in rows]


def _stored(row: Row[Any], labels: Mapping[str, str]) -> StoredSearch:
    return StoredSearch(
        id=row.id,
        tenant=row.tenant,
        request=row.request,
        request_id=row.request_id,
        labels=labels,
        priority=row.priority,
        expires_s=row.expires_s,
        attached=bool(row.attached),
        state=SearchState(row.state),
        created_s=row.created_s,
        started_s=row.started_s,
        finished_s=row.finished_s,
        events=row.events,
        waiting=row.waiting,
        result=row.result,
        failure=row.failure,
    )
