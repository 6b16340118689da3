"""Pings of clients: by the C library that most of gRPC's languages share, whose defaults a server's policy meets."""

import asyncio
from collections.abc import Callable

import grpc.aio
import pytest

from eacps.v1 import search_service_pb2 as pb
from eacps.v1.search_service_pb2_grpc import SearchServiceStub
from tests.api.conftest import Serve, straight
from tests.api.test_stored_searches import Gated, create

MakeRequest = Callable[..., pb.RunSearchRequest]
EAGER = [
    ("grpc.enable_http_proxy", 0),
    ("grpc.keepalive_time_ms", 1000),
    ("grpc.keepalive_timeout_ms", 1000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
]
QUIET_S = 6.0
"""By the default policy of gRPC's servers, a connection is closed at its third ping within five minutes."""


class Ports:
    """Remembers on which port the server is."""

    def __init__(self) -> None:
        self.port = 0

    def to(self, port: int) -> object:
        self.port = port
        return straight(port)


@pytest.mark.parametrize("watched", [True, False], ids=["a quiet stream", "no calls"])
async def test_pings_do_not_end_a_connection(serve: Serve, make_request: MakeRequest, watched: bool) -> None:
    models, ports = Gated(), Ports()
    async with serve(models=models, between=ports.to) as channel:
        search = await create(SearchServiceStub(channel), make_request())
        async with grpc.aio.insecure_channel(f"127.0.0.1:{ports.port}", options=EAGER) as pinging:
            stub = SearchServiceStub(pinging)
            await stub.GetSearch(pb.GetSearchRequest(search_id=search.search_id))
            call = stub.WatchSearch(pb.WatchSearchRequest(search_id=search.search_id)) if watched else None
            async with asyncio.timeout(QUIET_S + 20):
                await asyncio.sleep(QUIET_S)
                assert pinging.get_state() is grpc.ChannelConnectivity.READY
                models.gate.set()
                if call is not None:
                    events = [response.event async for response in call]
                    assert events[-1].HasField("finished")
