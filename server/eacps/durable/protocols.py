"""What the engine needs from outside: how requests and events are encoded, and when searches run."""

from collections.abc import Awaitable, Callable, Collection, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from eacps.durable.stored import StoredSearch
from eacps.evaluation import SearchPlan, SearchSettings, SearchUpdate

Run = Callable[[str], Coroutine[Any, Any, None]]
ReadPicture = Callable[[str], Awaitable[bytes]]


class Codec(Protocol):
    """Encodes requests and events as bytes."""

    async def plan_of(self, request: bytes, read: ReadPicture, *, search_id: str) -> SearchPlan:
        """Return the plan of a request, as soon as there is memory for its pictures.

        Args:
            request: Encoded, as stored.
            read: Returns the bytes of a picture by its digest.
            search_id: Id of the search.

        Raises:
            InvalidRequest: This server does not accept it.
            StoreUnavailable: A picture cannot be read.
        """
        ...

    def settings_of(self, request: bytes, *, search_id: str) -> SearchSettings:
        """Return the settings of a request, without reading its pictures; otherwise as `plan_of`."""
        ...

    def event_of(self, update: SearchUpdate, *, sequence: int) -> bytes:
        """Encode an event, its pictures by digest."""
        ...

    def failed(self, error: Exception) -> tuple[Callable[[int], bytes], bytes]:
        """Encode why a search failed: a function from sequence number to its last event, and a status."""
        ...

    def cancelled(self, *, sequence: int) -> bytes:
        """Encode the last event of a search that was cancelled."""
        ...


@dataclass(frozen=True)
class ConcurrencyLimits:
    """How many searches run at once; the others wait.

    Args:
        per_server: On this server.
        total: On all servers together; None for no limit beside those of the servers.
        per_tenant: Of one tenant, on all servers together; None for no limit. Keeps slots free for the tenants that
            wait.
        poll_s: Interval at which a queue that servers share is polled.
    """

    per_server: int = 8
    total: int | None = None
    per_tenant: int | None = None
    poll_s: float = 0.1


class Workflows(Protocol):
    """Runs searches when there is a slot for them."""

    @property
    def resumes_by_itself(self) -> bool:
        """Whether it resumes what an earlier process left running; otherwise the engine enqueues that again."""
        ...

    async def start(self, run: Run) -> None:
        """Run searches from now on: those that are enqueued and, if it `resumes_by_itself`, those left running before.

        Args:
            run: Runs a search by its id to its end. If it is cancelled, the search stays unfinished and can be resumed.
        """
        ...

    async def enqueue(self, search: StoredSearch) -> None:
        """Add a search to the queue, unless it is in there."""
        ...

    async def forget(self, search_ids: Collection[str]) -> None:
        """Remove all records of these searches, which have ended."""
        ...

    async def stop(self, abandon: Callable[[], Awaitable[None]], grace_s: float) -> None:
        """Start no more searches, and wait for the running ones to end.

        Args:
            abandon: Called after the grace period; interrupts the searches that still run.
            grace_s: How long to wait.
        """
        ...
