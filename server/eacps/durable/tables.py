"""The tables of durable searches. Times are seconds since the epoch."""

from sqlalchemy import (
    BigInteger,
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


def _search_id(*, primary_key: bool = True) -> Column[str]:
    """A column that names a search and goes with it."""
    return Column(
        "search_id", String(_ID), ForeignKey("searches.id", ondelete="CASCADE"), primary_key=primary_key, nullable=False
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
    Column("events", BigInteger, nullable=False),
    Column("result", LargeBinary),
    Column("failure", LargeBinary),
    UniqueConstraint("tenant", "request_id"),
    Index("searches_by_age", "tenant", "created_s", "id"),
    Index("searches_by_state", "state"),
)
"""One row a search. ``events`` counts those in `EVENTS`; ``result`` and ``failure`` are messages."""

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
    Column("identity", String(128), nullable=False),
    Column("payload", LargeBinary, nullable=False),
    UniqueConstraint("search_id", "identity"),
)
"""What a search told, from 1 without gaps; no two events of a search tell the same."""

STEPS = Table(
    "search_steps",
    METADATA,
    _search_id(),
    Column("key", String(_DIGEST), primary_key=True),
    Column("name", String(32), nullable=False),
    Column("outputs", Text, nullable=False),
)
"""Outputs of steps that were run to their end, as JSON, by name and inputs (`eacps.evaluation.steps.step_key`)."""

OBJECTS = Table(
    "objects",
    METADATA,
    Column("digest", String(_DIGEST), primary_key=True),
    Column("size", BigInteger, nullable=False),
)
"""What the object store holds, or is about to."""

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
