"""Durable searches: kept in a database with all that they did, so that they outlive callers, connections and servers.

The tables are in `tables`, what is asked of them in `searches`, `journal` and `objects`; `engine` puts a search
together from them and `eacps.evaluation`; `workflows` says when it runs. How requests and events are written down is
the API's affair, and comes in as a `Codec`.
"""

from eacps.durable.database import Database, sqlite_url
from eacps.durable.engine import SearchEngine
from eacps.durable.objects import ObjectStore, open_store
from eacps.durable.ports import Codec, Workflows
from eacps.durable.records import Limits, SearchState, StoredEvent, StoredSearch, Submission
from eacps.durable.searches import Place, SearchStore
from eacps.durable.sweeper import Retention, Sweeper, Swept

__all__ = [
    "Codec",
    "Database",
    "Limits",
    "ObjectStore",
    "Place",
    "Retention",
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
