"""Durable searches: their state is in a database, so that they outlive callers, connections and servers.

    engine                      submit, watch, cancel, delete
    running, recorder           one search on this server; recording its progress
    feeds                       events for watchers
    local_workflows             the queue of the only server of a SQLite file
    dbos_workflows              the queue of servers that share a PostgreSQL
    search_store, object_store  transactions over searches; pictures by hash
    rows, statements, tables    what the transactions consist of
    stores                      the bytes themselves: a folder, or a bucket of a cloud
    stored                      what the database holds of a search, as data classes
    database, outages           SQLite or PostgreSQL; which of their errors are outages
    server_lock, sweeper        one server of a name; retention

The API encodes requests and events: `protocols.Codec`.
"""

from eacps.durable.database import Database, sqlite_url
from eacps.durable.engine import SearchEngine
from eacps.durable.object_store import ObjectStore
from eacps.durable.protocols import Codec, Workflows
from eacps.durable.running import Backoff
from eacps.durable.search_store import SearchCursor, SearchStore
from eacps.durable.stored import QueueLimits, SearchState, StoredEvent, StoredSearch, Submission
from eacps.durable.stores import open_store
from eacps.durable.sweeper import Retention, Sweeper, Swept

__all__ = [
    "Backoff",
    "Codec",
    "Database",
    "ObjectStore",
    "QueueLimits",
    "Retention",
    "SearchCursor",
    "SearchEngine",
    "SearchState",
    "SearchStore",
    "StoredEvent",
    "StoredSearch",
    "Submission",
    "Sweeper",
    "Swept",
    "Workflows",
    "open_store",
    "sqlite_url",
]
