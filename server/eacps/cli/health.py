"""``eacps health``: whether a search server answers, and whether it is ready to search."""

import asyncio
from typing import Any

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from eacps.cli.composition import Composition
from eacps.cli.exit_codes import ExitCode
from eacps.cli.outcome import CommandFailed
from eacps.cli.remote import translated_errors
from eacps.client.connection import ClientTls, Keepalive, open_channel
from eacps.wire import LIVE

READY = "eacps.v1.SearchService"
_TIMEOUT_S = 5.0
_SERVER = "127.0.0.1:50051"


async def health_of(server: str, tls: ClientTls | None, service: str = READY) -> int:
    """Ask a server for the health of one of its services.

    Raises:
        grpc.aio.AioRpcError: It does not answer within 5 s.
        InvalidSettings: The certificates are invalid.
    """
    async with open_channel(server, tls, Keepalive()) as channel:
        request = health_pb2.HealthCheckRequest(service=service)
        stub: Any = health_pb2_grpc.HealthStub(channel)
        return int((await stub.Check(request, timeout=_TIMEOUT_S)).status)


def check_health(composition: Composition, *, live: bool) -> None:
    """Ask a server for its health.

    Args:
        composition: Names the server.
        live: Whether it is enough that the process answers, whatever Triton does.

    Raises:
        CommandFailed: It does not answer, or is not ready.
    """
    server, service = composition.server or _SERVER, LIVE if live else READY

    with translated_errors(server):
        try:
            status = asyncio.run(health_of(server, composition.server_tls, service))
        except grpc.aio.AioRpcError as exc:
            message = f"search server {server}: {exc.code().name}: {exc.details()}"
            raise CommandFailed(message, ExitCode.SERVER, code=exc.code().name) from exc
    if status != health_pb2.HealthCheckResponse.SERVING:
        raise CommandFailed(f"search server {server} is not ready", ExitCode.SERVER, code="NOT_SERVING")
