"""Pings of clients: by the C library that most of gRPC's languages share, whose defaults a server's policy meets."""

import asyncio
from collections.abc import Callable

import grpc.aio
import pytest

from eacps.api import ServerLimits
from eacps.descriptors import half_of_descriptors
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


async def test_connections_leave_descriptors_to_files(serve: Serve) -> None:
    ports = Ports()
    async with serve(limits=ServerLimits(max_connections=4), between=ports.to) as channel:
        await SearchServiceStub(channel).GetCapabilities(pb.GetCapabilitiesRequest(), timeout=60)
        silent = [await asyncio.open_connection("127.0.0.1", ports.port) for _ in range(8)]
        async with asyncio.timeout(10):
            while sum(reader.at_eof() for reader, _ in silent) < 5:
                await asyncio.sleep(0.01)
                await asyncio.gather(
                    *(asyncio.wait_for(one.read(99), 0.1) for one, _ in silent), return_exceptions=True
                )
        assert sum(reader.at_eof() for reader, _ in silent) == 5
        for _, writer in silent:
            writer.close()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{ports.port}") as other:
            stub = SearchServiceStub(other)
            await stub.GetCapabilities(pb.GetCapabilitiesRequest(), timeout=60, wait_for_ready=True)


async def test_who_connects_and_says_nothing_is_disconnected(serve: Serve) -> None:
    ports = Ports()
    async with serve(limits=ServerLimits(handshake_timeout_s=0.3), between=ports.to):
        reader, writer = await asyncio.open_connection("127.0.0.1", ports.port)
        async with asyncio.timeout(10):
            while await reader.read(99):
                pass
        writer.close()


def test_half_of_the_descriptors_are_for_connections() -> None:
    assert ServerLimits().connections == half_of_descriptors()
    assert [ServerLimits(max_connections=most).connections for most in (7, 0)] == [7, 0]
