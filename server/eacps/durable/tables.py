"""The tables of durable searches. Times are seconds since the epoch."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

METADATA = MetaData()
_ID, _DIGEST, _TENANT = 32, 64, 64


def _search_id() -> Column[str]:
    """Return a column that refers to a search, whose deletion deletes the row."""
    return Column(
        "search_id", String(_ID), ForeignKey("searches.id", ondelete="CASCADE"), primary_key=True, nullable=False
    )


SEARCHES = Table(
    "searches",
    METADATA,
    Column("id", String(_ID), primary_key=True),
    Column("tenant", String(_TENANT), nullable=False),
    Column("request_id", String(128)),
    Column("fingerprint", String(_DIGEST), nullable=False),
    Column("request", LargeBinary, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("created_s", Double, nullable=False),
    Column("started_s", Double),
    Column("finished_s", Double),
    Column("expires_s", Double),
    Column("attached", Boolean, nullable=False),
    Column("events", BigInteger, nullable=False),
    Column("spent", Text),
    Column("waiting", String(64)),
    Column("result", LargeBinary),
    Column("failure", LargeBinary),
    Column("retryable", Boolean),
    UniqueConstraint("tenant", "request_id"),
    Index("searches_by_age", "tenant", "created_s", "id"),
    Index("searches_by_state", "state"),
)
"""One row for each search. ``events`` counts its rows in `EVENTS`; ``spent`` is JSON; ``waiting`` is the reason of an
outage; ``result`` and ``failure`` are messages; ``retryable``: whether the same ``request_id`` starts a new search."""

LABELS = Table(
    "search_labels",
    METADATA,
    _search_id(),
    Column("key", String(63), primary_key=True),
    Column("value", String(255), nullable=False),
)

EVENTS = Table(
    "search_events",
    METADATA,
    _search_id(),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("payload", LargeBinary, nullable=False),
    Column("report", Text),
)
"""Events of searches, from 1 without gaps; ``report`` is a candidate's outcome, encoded for the search itself."""

PARTS = Table(
    "search_parts",
    METADATA,
    _search_id(),
    Column("name", String(32), primary_key=True),
    Column("data", Text, nullable=False),
)
"""The state of a search beside its reports, part by part (`eacps.evaluation.codec`)."""

OBJECTS = Table(
    "objects",
    METADATA,
    Column("digest", String(_DIGEST), primary_key=True),
    Column("size", BigInteger, nullable=False),
)
"""Objects that are in the object store, or about to be written."""

REFERENCES = Table(
    "object_references",
    METADATA,
    Column("digest", String(_DIGEST), ForeignKey("objects.digest"), primary_key=True),
    _search_id(),
    Index("references_by_search", "search_id"),
)

UPLOADS = Table(
    "uploads",
    METADATA,
    Column("digest", String(_DIGEST), ForeignKey("objects.digest"), primary_key=True),
    Column("tenant", String(_TENANT), primary_key=True),
    Column("created_s", Double, nullable=False),
)
