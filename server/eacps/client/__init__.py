"""A client of the search service: asyncio (`AsyncClient`) and blocking (`Client`).

    from eacps.client import Client, v1

    with Client("127.0.0.1:50051") as client:
        request = v1.RunSearchRequest(
            scene=v1.Image(data=scene), character=v1.Image(data=character), prompt="make the person smile"
        )
        search = client.submit(request)
        for event in client.watch(search.search_id):
            ...

Requests and answers are the messages of ``search_service.proto``. Pictures too large for a request are uploaded first;
events are followed through lost connections and restarted servers; what is unavailable for a while is tried again,
and nothing else is.
"""

from eacps.client.aio import AsyncClient
from eacps.client.errors import CallFailed, ClientError, InvalidSettings, Violation
from eacps.client.retries import Retries
from eacps.client.sync import Client
from eacps.client.tls import SYSTEM, ClientTls
from eacps.v1 import search_service_pb2 as v1

__all__ = [
    "SYSTEM",
    "AsyncClient",
    "CallFailed",
    "Client",
    "ClientError",
    "ClientTls",
    "InvalidSettings",
    "Retries",
    "Violation",
    "v1",
]
