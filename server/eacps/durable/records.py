"""What is known of a search beside its course."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class SearchState(StrEnum):
    """Where a search is in its life."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def over(self) -> bool:
        """Whether nothing more will happen to it."""
        return self not in UNFINISHED


UNFINISHED = (SearchState.QUEUED, SearchState.RUNNING)


@dataclass(frozen=True)
class Submission:
    """A search to be.

    Args:
        id: 32 hexadecimal digits.
        tenant: Whose.
        request: All that determines it, encoded; pictures by digest.
        fingerprint: Of the request as the caller sent it: equal for equal requests.
        inputs: Digests of its pictures, which the object store holds.
        request_id: The caller's name for it; None where there is none.
        labels: The caller's own.
        priority: Smaller numbers go first among those of the tenant that wait.
        expires_s: Seconds since the epoch at which it must be over; None for never.
    """

    id: str
    tenant: str
    request: bytes
    fingerprint: str
    inputs: frozenset[str]
    request_id: str | None
    labels: Mapping[str, str]
    priority: int
    expires_s: float | None


@dataclass(frozen=True)
class StoredSearch:
    """A search as the database has it.

    Args:
        id, tenant, request, request_id, labels, priority, expires_s: As submitted.
        state: Where it is in its life.
        created_s, started_s, finished_s: Seconds since the epoch; None for what has not happened.
        events: How many it has told.
        result: Its last event where it succeeded, encoded.
        failure: Why it failed where it did, encoded.
    """

    id: str
    tenant: str
    request: bytes
    request_id: str | None
    labels: Mapping[str, str]
    priority: int
    expires_s: float | None
    state: SearchState
    created_s: float
    started_s: float | None
    finished_s: float | None
    events: int
    result: bytes | None
    failure: bytes | None


@dataclass(frozen=True)
class StoredEvent:
    """One event.

    Args:
        sequence: From 1 without gaps.
        identity: What it tells of; no two events of a search share it.
        payload: Encoded.
    """

    sequence: int
    identity: str
    payload: bytes


@dataclass(frozen=True)
class Limits:
    """How many searches may be unfinished, running ones included.

    Args:
        searches: Of all tenants.
        per_tenant: Of one.
    """

    searches: int = 256
    per_tenant: int = 64
