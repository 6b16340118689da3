"""The routes, and which callers are refused before anything is read."""

import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import uuid4

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from eacps.client import AsyncClient, CallFailed, ClientTls, InvalidSettings, Retries
from eacps.http.edits import Edits, HttpLimits
from eacps.http.errors import SERVER, HttpError, error_of

MODEL = "eacps"
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1", "[::1]")
_logger = logging.getLogger(__name__)
_PICTURE_THREADS = 2
_ATTEMPTS = Retries(attempts=3)
"""The caller's own client tries again, too."""


@dataclass(frozen=True)
class Upstream:
    """The search server.

    Args:
        server: ``host:port``.
        tls: How to trust it; None uses no TLS.
        ready: Asks whether it can search.
    """

    server: str
    ready: Callable[[], Awaitable[bool]] = field(repr=False)
    tls: ClientTls | None = None


class Service:
    """What the routes share.

    Args:
        upstream: The search server.
        limits: How much is done at once.
        needs_key: Whether a request without a key is refused here.
        local: Whether only this machine may call: then no page of a browser may, under whatever name.
    """

    def __init__(self, upstream: Upstream, limits: HttpLimits, *, needs_key: bool, local: bool) -> None:
        self._upstream, self._needs_key, self._local = upstream, needs_key, local
        self._executor = ThreadPoolExecutor(_PICTURE_THREADS, "pictures")
        self._created = int(time.time())
        self.edits = Edits(self.open_client, check_model, limits, self._executor)

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncGenerator[None, None]:  # noqa: ARG002
        """Run until the application ends."""
        try:
            yield
        finally:
            self._executor.shutdown(cancel_futures=True)

    def open_client(self, request: Request) -> AsyncClient:
        """Open a client with a request's key.

        Raises:
            HttpError: It has none, or one that nobody can have.
        """
        if "origin" in request.headers:
            raise HttpError(403, "Pages of a browser may not call.", code="origin_not_allowed")
        if self._local and (request.url.hostname or "") not in LOCAL_NAMES:
            raise HttpError(403, "Only this machine may call, by its own name.", code="host_not_allowed")
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        key = key.strip() if scheme.lower() == "bearer" else ""
        if not key and self._needs_key:
            message = "You didn't provide an API key. Send it in the header 'Authorization: Bearer KEY'."
            raise HttpError(401, message, code="missing_api_key")
        try:
            upstream = self._upstream
            return AsyncClient(upstream.server, tls=upstream.tls, api_key=key or None, retries=_ATTEMPTS)
        except InvalidSettings:
            raise HttpError(401, "Incorrect API key provided.", code="invalid_api_key") from None

    async def models(self, request: Request) -> Response:
        """List the one model, to those with a good key."""
        await self._check_key(request)
        return JSONResponse({"object": "list", "data": [self._model()]})

    async def model(self, request: Request) -> Response:
        """Describe the one model."""
        await self._check_key(request)
        check_model(request.path_params["model"])
        return JSONResponse(self._model())

    async def live(self, request: Request) -> Response:  # noqa: ARG002
        """Answer as long as this process runs."""
        return JSONResponse({"status": "ok"})

    async def ready(self, request: Request) -> Response:  # noqa: ARG002
        """Return whether the search server can search."""
        if await self._upstream.ready():
            return JSONResponse({"status": "ok"})
        raise HttpError(503, "The search server is not ready.", type=SERVER, code="not_ready", retry=True)

    async def _check_key(self, request: Request) -> None:
        async with self.open_client(request) as client:
            async for _ in client.list(page_size=1):
                break

    def _model(self) -> dict[str, object]:
        return {"id": MODEL, "object": "model", "created": self._created, "owned_by": "eacps"}


def check_model(name: str) -> None:
    """Check the name of a model.

    Raises:
        HttpError: It is not served.
    """
    if name != MODEL:
        message = f"The model '{name[:100]}' does not exist; this server has '{MODEL}'."
        raise HttpError(404, message, code="model_not_found", param="model")


def create_app(
    upstream: Upstream, limits: HttpLimits | None = None, *, needs_key: bool = True, local: bool = False
) -> ASGIApp:
    """Return the ASGI application; see `Service`."""
    service = Service(upstream, limits or HttpLimits(), needs_key=needs_key, local=local)
    routes = [
        Route("/v1/images/edits", service.edits, methods=["POST"]),
        Route("/v1/models", service.models),
        Route("/v1/models/{model}", service.model),
        Route("/health/live", service.live),
        Route("/health/ready", service.ready),
    ]
    handlers = {HttpError: _answered, CallFailed: _failed, HTTPException: _refused, Exception: _bug}
    app = Starlette(routes=routes, exception_handlers=handlers, lifespan=service.lifespan)  # type: ignore[arg-type]
    return _Identified(app)


class _Identified:
    """Add an id to every response; the log has the same id."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id, began_s, status = f"req_{uuid4().hex}", time.monotonic(), 0

        async def tagged(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            await self._app(scope, receive, tagged)
        finally:
            took_s = time.monotonic() - began_s
            _logger.info("%s %s %r %d %.3f s", request_id, scope["method"], scope["path"][:200], status, took_s)


async def _answered(request: Request, exc: HttpError) -> Response:  # noqa: ARG001
    return exc.response


async def _failed(request: Request, exc: CallFailed) -> Response:  # noqa: ARG001
    return error_of(exc).response


async def _refused(request: Request, exc: HTTPException) -> Response:
    message = f"{exc.detail} ({request.method} {request.url.path[:200]})"
    return HttpError(exc.status_code, message, code="unknown_url" if exc.status_code == 404 else "not_allowed").response


async def _bug(request: Request, exc: Exception) -> Response:  # noqa: ARG001
    """Answer for a bug, which Starlette then raises for the log."""
    return HttpError(500, "An internal error occurred.", type=SERVER, code="internal_error").response
