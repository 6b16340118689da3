"""What the engine needs from outside: how searches are written down, and who runs them when."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Protocol

from eacps.durable.records import StoredSearch
from eacps.evaluation import SearchPlan, SearchUpdate

Run = Callable[[str], Awaitable[None]]


class Codec(Protocol):
    """Writes requests and events as bytes, and reads them."""

    def pictures_of(self, request: bytes) -> Collection[str]:
        """Give the digests of the pictures that a request refers to."""
        ...

    def plan_of(self, request: bytes, pictures: Mapping[str, bytes], *, search_id: str) -> SearchPlan:
        """Give the plan of a request. Takes as long as decoding its pictures does.

        Args:
            request: As kept.
            pictures: Encoded, by digest.
            search_id: Of the search.

        Raises:
            InvalidRequest: This server does not take it (any more).
        """
        ...

    def event_of(self, update: SearchUpdate, *, sequence: int) -> bytes:
        """Write an event down, its pictures by digest."""
        ...

    def failed(self, error: Exception) -> tuple[Callable[[int], bytes], bytes]:
        """Write down why a search failed: as its last event, for its sequence number, and as a status."""
        ...

    def cancelled(self, *, sequence: int) -> bytes:
        """Write down the last event of a search that was cancelled."""
        ...


class Workflows(Protocol):
    """Runs searches when there is a place for them."""

    async def start(self, run: Run) -> None:
        """Take up work: what waits, and what a former process left running.

        Args:
            run: Runs a search by its id to its end. Cancelled, it leaves the search to be taken up again.
        """
        ...

    async def enqueue(self, search: StoredSearch) -> None:
        """Have a search run. One that is enqueued already is not enqueued again."""
        ...

    async def forget(self, search_ids: Collection[str]) -> None:
        """Keep no record of these searches, which are over."""
        ...

    async def stop(self, abandon: Callable[[], Awaitable[None]], grace_s: float) -> None:
        """Take up nothing more, and give what runs some time to end.

        Args:
            abandon: Called then; ends what runs still.
            grace_s: How long.
        """
        ...
