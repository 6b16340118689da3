"""What the database holds of a search: its submission, its state, its events."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class SearchState(StrEnum):
    """State of a search."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self not in UNFINISHED


UNFINISHED = (SearchState.QUEUED, SearchState.RUNNING)


@dataclass(frozen=True)
class Submission:
    """A search that is to be created.

    Args:
        id: 32 hexadecimal digits.
        tenant: Its owner.
        request: All that determines the search, encoded; pictures by digest.
        fingerprint: Hash of the request as the caller sent it: equal for equal requests.
        inputs: Digests of its pictures, which the object store holds.
        request_id: The caller's name for it, or None.
        labels: The caller's labels.
        priority: Smaller numbers go first among those of the tenant that wait.
        expires_s: Deadline, in seconds since the epoch: the search stops shortly before it and returns its best so far.
            None for no deadline.
        attached: Whether it ends with its caller's call; an outage of Triton then ends it too, also when it was resumed
            after a restart of the server and no caller is left.
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
    attached: bool = False


@dataclass(frozen=True)
class StoredSearch:
    """A search in the database.

    Args:
        id, tenant, request, request_id, labels, priority, expires_s, attached: As submitted.
        state: Its state.
        created_s, started_s, finished_s: Seconds since the epoch; None for what has not happened.
        events: Number of events so far.
        waiting: Reason of the outage whose end it waits for; None if there is none.
        result: Last event of a search that succeeded, encoded.
        failure: Why it failed, encoded; None if it did not.
        position: Position in its tenant's queue, from 1; None if it is not queued, or was not read with its position.
    """

    id: str
    tenant: str
    request: bytes
    request_id: str | None
    labels: Mapping[str, str]
    priority: int
    expires_s: float | None
    attached: bool
    state: SearchState
    created_s: float
    started_s: float | None
    finished_s: float | None
    events: int
    waiting: str | None
    result: bytes | None
    failure: bytes | None
    position: int | None = field(default=None, compare=False)  # it changes with other searches


@dataclass(frozen=True)
class StartedSearch:
    """A search that has been started or resumed.

    Args:
        search: The search.
        waited_s: How long it waited in the queue; None if it had run before.
    """

    search: StoredSearch
    waited_s: float | None


@dataclass(frozen=True)
class StoredEvent:
    """One event of a search.

    Args:
        sequence: From 1 without gaps.
        payload: The encoded event.
        report: The outcome of a candidate, encoded for the search itself; None for other events.
    """

    sequence: int
    payload: bytes
    report: str | None = None


@dataclass(frozen=True)
class QueueLimits:
    """How many searches may be queued or running.

    Args:
        searches: Of all tenants together.
        per_tenant: Of one tenant.
    """

    searches: int = 256
    per_tenant: int = 64
