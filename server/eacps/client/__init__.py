"""A client of the search service: asyncio (`AsyncClient`) and blocking (`Client`).

    from eacps.client import Client, v1

    with Client("127.0.0.1:50051") as client:
        request = v1.RunSearchRequest(
            scene=v1.Image(data=scene), character=v1.Image(data=character), prompt="make the person smile"
        )
        search = client.submit(request)
        for event in client.watch(search.search_id):
            ...

A `Batch` searches for many shots as one piece of work, and goes on where it was when it is run again::

    shots = [Shot("12a", request), Shot("12b", another)]
    with Client("127.0.0.1:50051") as client:
        for entry in Batch(client, shots, Path("finals")).run():
            print(entry.shot, entry.state, entry.files or entry.failure)

Requests and answers are the messages of ``search_service.proto``. Pictures too large for a request are uploaded first;
events are followed through lost connections and restarted servers. A call is tried again if the server is unavailable,
or refuses it with a hint when to call again, and for no other reason.
"""

from eacps.client.aio import AsyncClient
from eacps.client.batch import AsyncBatch, ShotStatus
from eacps.client.batch_journal import ShotEntry
from eacps.client.connection import SYSTEM, ClientTls, Keepalive
from eacps.client.errors import (
    BatchRunning,
    CallFailed,
    ClientClosed,
    ClientError,
    InvalidBatch,
    InvalidSettings,
    Violation,
)
from eacps.client.retries import Retries
from eacps.client.shots import Shot
from eacps.client.sync import Batch, Client
from eacps.v1 import search_service_pb2 as v1

__all__ = [
    "SYSTEM",
    "AsyncBatch",
    "AsyncClient",
    "Batch",
    "BatchRunning",
    "CallFailed",
    "Client",
    "ClientClosed",
    "ClientError",
    "ClientTls",
    "InvalidBatch",
    "InvalidSettings",
    "Keepalive",
    "Retries",
    "Shot",
    "ShotEntry",
    "ShotStatus",
    "Violation",
    "v1",
]
