"""The gRPC server: our service, health checking and reflection."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import OVERALL_HEALTH, aio
from grpc_health.v1.health import SERVICE_NAME as HEALTH_SERVICE
from grpc_reflection.v1alpha import reflection

from eacps.api.access import AccessInterceptor, KeyRing
from eacps.api.interceptor import ErrorInterceptor
from eacps.api.servicer import SearchServicer
from eacps.api.tls import ServerTls, server_credentials
from eacps.evaluation import Observer, Silent
from eacps.v1 import search_service_pb2 as pb
from eacps.v1.search_service_pb2_grpc import add_SearchServiceServicer_to_server

_log = logging.getLogger(__name__)
SEARCH_SERVICE = pb.DESCRIPTOR.services_by_name["SearchService"].full_name
_WATCHED = (OVERALL_HEALTH, SEARCH_SERVICE)


@dataclass(frozen=True)
class ServerLimits:
    """Bounds on what travels.

    Args:
        max_request_bytes: Of one message to us: three pictures of 4 MiB and their settings.
        max_response_bytes: Of one message from us: two pictures, PNG.
        readiness_interval_s: Between two looks at whether Triton is ready.
        keepalive_interval_s: Between two looks at whether a client is still there; one that lost its power or its
            network says no goodbye, and would keep Triton busy to the end of its search.
        keepalive_timeout_s: For its answer.
    """

    max_request_bytes: int = 13 * 2**20
    max_response_bytes: int = 64 * 2**20
    readiness_interval_s: float = 5.0
    keepalive_interval_s: float = 20.0
    keepalive_timeout_s: float = 10.0


class SearchServer:
    """The search service on a port, with health checking and reflection.

    Args:
        servicer: Our service.
        address: ``host:port``; port 0 takes a free one.
        is_ready: Whether what we depend on is ready; health follows it.
        limits: Bounds on what travels.
        observer: Told whether we are ready.
        tls: Certificates; None serves in the clear.
        keys: Of who may call; None lets anyone.

    Raises:
        RuntimeError: The address cannot be bound.
        InvalidRequest: Names every certificate that cannot be read.
    """

    def __init__(
        self,
        servicer: SearchServicer,
        *,
        address: str,
        is_ready: Callable[[], Awaitable[bool]],
        limits: ServerLimits | None = None,
        observer: Observer | None = None,
        tls: ServerTls | None = None,
        keys: KeyRing | None = None,
    ) -> None:
        self._observer = observer or Silent()
        self._is_ready, self._limits = is_ready, limits or ServerLimits()
        self._server = grpc.aio.server(
            # The first one is the outermost: what the second refuses becomes a status like any other error.
            interceptors=[ErrorInterceptor(self._observer), AccessInterceptor(keys)],
            options=[
                ("grpc.max_receive_message_length", self._limits.max_request_bytes),
                ("grpc.max_send_message_length", self._limits.max_response_bytes),
                ("grpc.keepalive_time_ms", round(self._limits.keepalive_interval_s * 1000)),
                ("grpc.keepalive_timeout_ms", round(self._limits.keepalive_timeout_s * 1000)),
                ("grpc.http2.ping_timeout_ms", round(self._limits.keepalive_timeout_s * 1000)),  # else it is a minute
                ("grpc.http2.max_pings_without_data", 0),  # as often as the interval says
                ("grpc.so_reuseport", 0),  # a second server on the port is a mistake, not a reinforcement
            ],
        )
        self._health = aio.HealthServicer()
        add_SearchServiceServicer_to_server(servicer, self._server)  # type: ignore[no-untyped-call]  # generated
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection((SEARCH_SERVICE, HEALTH_SERVICE, reflection.SERVICE_NAME), self._server)
        if tls is None:
            self.port = self._server.add_insecure_port(address)
        else:
            self.port = self._server.add_secure_port(address, server_credentials(tls))
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start serving; health says SERVING as soon as everything is ready."""
        await self._set_health(await self._is_ready())
        await self._server.start()
        self._watch = asyncio.create_task(self._follow_readiness(), name="health")
        _log.info("serving on port %d", self.port)

    async def stop(self, settle: Callable[[], Awaitable[None]], *, rest_s: float = 1.0) -> None:
        """Stop: health says NOT_SERVING at once; then searches are settled, and then all calls end.

        Args:
            settle: Lets what runs come to an end, or to where it can be taken up again.
            rest_s: For calls that are left after that.
        """
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait({self._watch})
        await self._health.enter_graceful_shutdown()
        await settle()
        await self._server.stop(rest_s)
        _log.info("stopped")

    async def wait_for_termination(self) -> None:
        """Wait until the server was stopped."""
        await self._server.wait_for_termination()

    async def _follow_readiness(self) -> None:
        while True:
            await asyncio.sleep(self._limits.readiness_interval_s)
            await self._set_health(await self._is_ready())

    async def _set_health(self, ready: bool) -> None:
        self._observer.ready(ready)
        kind = health_pb2.HealthCheckResponse
        for service in _WATCHED:
            await self._health.set(service, kind.SERVING if ready else kind.NOT_SERVING)
