"""The gRPC server: the search service, health checking and reflection."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import OVERALL_HEALTH, aio
from grpc_health.v1.health import SERVICE_NAME as HEALTH_SERVICE

from eacps.api.access import Access, KeyRing
from eacps.api.admission import Admission
from eacps.api.calls import CallObserver
from eacps.api.interceptor import CallInterceptor
from eacps.api.reflection import enable_reflection
from eacps.api.servicer import SearchServicer
from eacps.api.tls import ServerTls, server_credentials
from eacps.descriptors import half_of_descriptors
from eacps.errors import AddressUnavailable
from eacps.evaluation import Observer
from eacps.v1 import search_service_pb2 as pb
from eacps.v1.search_service_pb2_grpc import add_SearchServiceServicer_to_server
from eacps.wire import LIVE

_log = logging.getLogger(__name__)
_SERVICE = pb.DESCRIPTOR.services_by_name["SearchService"]
SEARCH_SERVICE = _SERVICE.full_name
STREAM_METHODS = frozenset(method.name for method in _SERVICE.methods if method.server_streaming)
"""Names of the methods that answer with a stream."""
UPLOAD_METHODS = frozenset(method.name for method in _SERVICE.methods if method.client_streaming)
"""Names of the methods that take a stream."""
_WATCHED = (OVERALL_HEALTH, SEARCH_SERVICE)
_GRPC_LOG = logging.getLogger("grpc._cython.cygrpc")
_WARN_OF_CALLERS = ("opentelemetry.baggage.propagation", "opentelemetry.trace.propagation.tracecontext")
"""Loggers that warn of the metadata of single calls, as often as a caller likes."""


def _is_worth_logging(record: logging.LogRecord) -> bool:
    """Whether a record of gRPC is about more than a call that was over before its response could be sent.

    The caller of such a call has left, or sent a message that gRPC itself refuses. gRPC logs that as an error, with a
    traceback. Wrong use of gRPC is a `grpc.aio.UsageError`, which is logged.
    """
    return not (record.exc_info and isinstance(record.exc_info[1], grpc.aio.InternalError))


@dataclass(frozen=True)
class ServerLimits:
    """Limits of connections and messages.

    Args:
        max_request_bytes: Size of one request: three pictures of 4 MiB and their settings.
        max_response_bytes: Size of one response: what gRPC clients accept by default.
        readiness_interval_s: Interval of the checks whether Triton is ready.
        keepalive_interval_s: Interval of keepalive pings to clients. One that has lost its power or its network is
            noticed only by them, and would keep Triton busy to the end of its search.
        keepalive_timeout_s: Longest time until the answer to a ping.
        least_ping_interval_s: Shortest interval of keepalive pings from clients, also on a connection without calls. A
            client that pings more often is disconnected.
        max_connections: How many there are at once; more are closed as they come. None for half of the descriptors that
            this process may open: without any left, files and the database could not be opened.
        handshake_timeout_s: How long a new connection may say nothing.
    """

    max_request_bytes: int = 13 * 2**20
    max_response_bytes: int = 4 * 2**20
    readiness_interval_s: float = 5.0
    keepalive_interval_s: float = 20.0
    keepalive_timeout_s: float = 10.0
    least_ping_interval_s: float = 1.0
    max_connections: int | None = None
    handshake_timeout_s: float = 20.0

    @property
    def connections(self) -> int:
        """Most connections at once."""
        return half_of_descriptors() if self.max_connections is None else self.max_connections


class SearchServer:
    """The search service on a port, with health checking and reflection.

    Args:
        servicer: Answers the calls.
        address: ``host:port``; port 0 takes a free one.
        is_ready: Returns whether Triton is ready, which health checks report.
        limits: Limits of connections and messages.
        admission: Admits calls; None for the default limits.
        observer: Notified whether the server is ready.
        tls: Certificates; None serves without TLS.
        keys: API keys; None lets anyone call.
        calls: Notified of every call.

    Raises:
        AddressUnavailable: The address cannot be bound.
        InvalidRequest: Names every certificate that cannot be read.
    """

    def __init__(
        self,
        servicer: SearchServicer,
        *,
        address: str,
        is_ready: Callable[[], Awaitable[bool]],
        limits: ServerLimits | None = None,
        admission: Admission | None = None,
        observer: Observer | None = None,
        tls: ServerTls | None = None,
        keys: KeyRing | None = None,
        calls: CallObserver | None = None,
    ) -> None:
        _GRPC_LOG.addFilter(_is_worth_logging)  # added once, however many servers there are
        for name in _WARN_OF_CALLERS:
            logging.getLogger(name).setLevel(logging.ERROR)
        self._observer = observer or Observer()
        self._is_ready, self._limits = is_ready, limits or ServerLimits()
        self._server = grpc.aio.server(
            interceptors=[CallInterceptor(Access(keys), admission, self._observer, calls)],
            options=[
                ("grpc.max_receive_message_length", self._limits.max_request_bytes),
                ("grpc.max_send_message_length", self._limits.max_response_bytes),
                ("grpc.keepalive_time_ms", round(self._limits.keepalive_interval_s * 1000)),
                ("grpc.keepalive_timeout_ms", round(self._limits.keepalive_timeout_s * 1000)),
                ("grpc.http2.ping_timeout_ms", round(self._limits.keepalive_timeout_s * 1000)),  # else it is a minute
                ("grpc.http2.max_pings_without_data", 0),  # as often as the interval says
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.http2.min_ping_interval_without_data_ms", round(self._limits.least_ping_interval_s * 1000)),
                ("grpc.max_allowed_incoming_connections", self._limits.connections),
                ("grpc.server_handshake_timeout_ms", round(self._limits.handshake_timeout_s * 1000)),
                ("grpc.so_reuseport", 0),  # a second server on the port is a mistake
            ],
        )
        self._health = aio.HealthServicer()
        add_SearchServiceServicer_to_server(servicer, self._server)  # type: ignore[no-untyped-call]  # generated
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        enable_reflection((SEARCH_SERVICE, HEALTH_SERVICE), self._server)
        self.port = self._bind(address, tls)
        self._watch: asyncio.Task[None] | None = None

    def _bind(self, address: str, tls: ServerTls | None) -> int:
        try:
            if tls is None:
                return self._server.add_insecure_port(address)
            return self._server.add_secure_port(address, server_credentials(tls))
        except RuntimeError as exc:
            raise AddressUnavailable(f"cannot listen on {address}: {exc}") from exc

    async def start(self) -> None:
        """Start serving; health says SERVING as soon as everything is ready."""
        await self._set_health(await self._is_ready())
        await self._health.set(LIVE, health_pb2.HealthCheckResponse.SERVING)
        await self._server.start()
        self._watch = asyncio.create_task(self._follow_readiness(), name="health")
        _log.info("serving on port %d", self.port)

    async def stop(self, settle: Callable[[], Awaitable[None]], *, rest_s: float = 1.0) -> None:
        """Stop: health says NOT_SERVING at once, then searches are settled, then all calls end.

        Args:
            settle: Lets searches that run come to their end, or to where they can be resumed.
            rest_s: How long the calls that are left may take after that.
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
