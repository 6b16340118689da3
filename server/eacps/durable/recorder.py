"""Records the progress of one search: each record in one transaction, then handed to those who watch the search."""

from eacps.durable.feeds import Feeds
from eacps.durable.protocols import Codec
from eacps.durable.search_store import SearchStore
from eacps.durable.stored import StoredEvent
from eacps.evaluation import Observer, Record, SearchFinished


class SearchRecorder:
    """An `eacps.evaluation.Recorder`.

    Args:
        search_id: Id of the search.
        store: Holds the search.
        codec: Encodes events.
        feeds: Receive the events of the search.
        observer: Notified of every update.
        events: How many the search has already.
    """

    def __init__(
        self, search_id: str, store: SearchStore, codec: Codec, feeds: Feeds, observer: Observer, *, events: int
    ) -> None:
        self._search_id, self._store, self._codec, self._feeds = search_id, store, codec, feeds
        self._observer, self._events = observer, events
        self.records, self.finished = 0, False

    async def record(self, record: Record) -> None:
        """See `Recorder.record`.

        Raises:
            SearchOver: The search is not running any more.
            StoreUnavailable: The database failed; the record may have been stored or not.
        """
        events = [
            StoredEvent(sequence, self._codec.event_of(entry.update, sequence=sequence), entry.report)
            for sequence, entry in enumerate(record.entries, start=self._events + 1)
        ]
        finished = any(isinstance(entry.update, SearchFinished) for entry in record.entries)
        await self._store.record(
            self._search_id, events, before=self._events, spent=record.spent, parts=record.parts, finished=finished
        )
        self._events += len(events)
        self.records += 1
        self.finished = finished
        for entry in record.entries:
            self._observer.updated(entry.update)
        self._feeds.hand_over(self._search_id, events)
