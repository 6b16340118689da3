"""TLS and mutual TLS with generated certificates: who gets in, who does not, and renewal without a restart."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from eacps.api import MessageCodec, SearchServer, SearchServicer, ServerTls
from eacps.client import AsyncClient, CallFailed, ClientTls, InvalidSettings
from eacps.client.connection import Keepalive, open_channel
from eacps.durable.protocols import ConcurrencyLimits
from eacps.errors import InvalidRequest
from eacps.evaluation import Services
from eacps.testing import ToyModels, ToyScorer
from eacps.v1 import search_service_pb2 as pb
from eacps.v1.search_service_pb2_grpc import SearchServiceStub
from tests.api.certificates import Authority
from tests.api.conftest import RULES, engine_over, events_in


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ours")


@pytest.fixture
def theirs(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "theirs")


@asynccontextmanager
async def served(tls: ServerTls) -> AsyncIterator[str]:
    async def ready() -> bool:
        return True

    def open_services() -> Services:
        return Services(ToyModels(), {"brightness": ToyScorer(), "other": ToyScorer("other")})

    with TemporaryDirectory() as folder:
        async with engine_over(MessageCodec(RULES), open_services, Path(folder), concurrency=ConcurrencyLimits()) as (
            engine,
            objects,
        ):
            servicer = SearchServicer(RULES, engine, objects, open_services)
            server = SearchServer(servicer, address="127.0.0.1:0", is_ready=ready, tls=tls)
            await server.start()
            try:
                yield f"127.0.0.1:{server.port}"
            finally:
                await server.stop(lambda: engine.stop(0.0), rest_s=0.0)


async def healthy(address: str, tls: ClientTls | None) -> bool:
    """Whether a client with these certificates is answered."""
    async with open_channel(address, tls, Keepalive()) as channel:
        try:
            answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=3)
        except grpc.aio.AioRpcError as exc:
            if exc.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                raise
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


async def test_a_search_runs_over_tls(ours: Authority, make_request: Callable[..., pb.RunSearchRequest]) -> None:
    certificate, key = ours.issue("server", "127.0.0.1")
    async with (
        served(ServerTls(certificate, key)) as address,
        open_channel(address, ClientTls(ours.root), Keepalive()) as channel,
    ):
        events = await events_in(SearchServiceStub(channel).RunSearch(make_request(), timeout=60))
    assert events[-1].HasField("finished")


async def test_who_does_not_trust_the_server_or_speaks_in_the_clear_is_not_answered(
    ours: Authority, theirs: Authority
) -> None:
    certificate, key = ours.issue("server", "127.0.0.1")
    async with served(ServerTls(certificate, key)) as address:
        assert await healthy(address, ClientTls(ours.root))
        assert not await healthy(address, ClientTls(theirs.root))
        assert not await healthy(address, ClientTls())
        assert not await healthy(address, None)


async def test_a_certificate_of_another_name_is_not_trusted(ours: Authority) -> None:
    certificate, key = ours.issue("server", "elsewhere.example")
    async with served(ServerTls(certificate, key)) as address:
        assert not await healthy(address, ClientTls(ours.root))


async def test_with_mutual_tls_every_client_shows_a_certificate_that_is_trusted(
    ours: Authority, theirs: Authority
) -> None:
    certificate, key = ours.issue("server", "127.0.0.1")
    async with served(ServerTls(certificate, key, client_ca=ours.root)) as address:
        assert await healthy(address, ClientTls(ours.root, *ours.issue("client", "studio@example.org")))
        assert not await healthy(address, ClientTls(ours.root, *theirs.issue("client", "studio@example.org")))
        assert not await healthy(address, ClientTls(ours.root))


async def test_with_mutual_tls_the_certificates_name_is_the_tenants(
    ours: Authority, make_request: Callable[..., pb.RunSearchRequest]
) -> None:
    certificate, key = ours.issue("server", "127.0.0.1")

    def client(address: str, name: str) -> AsyncClient:
        files = ours.issue(name.replace(" ", "-"), f"{name.replace(' ', '-')}.example.org", common_name=name)
        return AsyncClient(address, tls=ClientTls(ours.root, *files))

    async with (
        served(ServerTls(certificate, key, client_ca=ours.root)) as address,
        client(address, "ada") as ada,
        client(address, "bob") as bob,
        client(address, "no name") as nobody,
    ):
        search = await ada.submit(make_request())
        assert (await ada.get(search.search_id)).search_id == search.search_id
        with pytest.raises(CallFailed, match="NOT_FOUND"):
            await bob.get(search.search_id)
        with pytest.raises(CallFailed, match="UNAUTHENTICATED"):
            await nobody.get(search.search_id)


async def test_renewed_certificates_are_served_without_a_restart(ours: Authority, theirs: Authority) -> None:
    certificate, key = ours.issue("server", "127.0.0.1")
    async with served(ServerTls(certificate, key)) as address:
        assert not await healthy(address, ClientTls(theirs.root))
        for old, new in zip((certificate, key), theirs.issue("server", "127.0.0.1"), strict=True):
            os.replace(new, old)
        assert await healthy(address, ClientTls(theirs.root))
        certificate.unlink()
        assert await healthy(address, ClientTls(theirs.root)), "in the middle of a renewal the old one goes on"


async def test_files_that_cannot_be_read_are_all_named(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").touch()
    with pytest.raises(InvalidRequest) as caught:
        async with served(ServerTls(tmp_path / "none.pem", tmp_path / "empty.pem", tmp_path)):
            pass
    assert [one.field for one in caught.value.violations] == ["tls_certificate", "tls_key", "tls_client_ca"]


async def test_half_a_pair_of_ours_is_named(ours: Authority) -> None:
    certificate, _ = ours.issue("client", "studio@example.org")
    with pytest.raises(InvalidSettings, match="together"):
        open_channel("127.0.0.1:1", ClientTls(ours.root, certificate), Keepalive())
    with pytest.raises(InvalidSettings, match="cannot read"):
        open_channel("127.0.0.1:1", ClientTls(Path("/none.pem")), Keepalive())
    await asyncio.sleep(0)
