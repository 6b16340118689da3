"""The server over streamable HTTP, for callers with keys of their own."""

from collections.abc import Callable
from typing import Any

from mcp.server.mcpserver import Context, MCPServer
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from eacps.client import AsyncClient

_MAX_BODY_BYTES = 64 * 2**20
PATH = "/mcp"


def bearer_of(headers: Any) -> str | None:
    """Return the key in a request's headers; None if there is none."""
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return (key.strip() or None) if scheme.lower() == "bearer" else None


def with_callers_key(open_client: Callable[[str | None], AsyncClient]) -> Callable[[Context[Any, Any]], AsyncClient]:
    """Return what opens a client with the key of the HTTP request that a call came with."""

    def open_with_key(context: Context[Any, Any]) -> AsyncClient:
        request = context.request_context.request
        return open_client(None if request is None else bearer_of(request.headers))

    return open_with_key


def mcp_app(server: MCPServer[Any], *, needs_key: bool, local: bool) -> ASGIApp:
    """Return the ASGI application.

    Args:
        server: Whose tools call with the caller's key; see `with_callers_key`.
        needs_key: Whether a request without a key is refused here.
        local: Whether only this machine may call, by its own name.
    """
    app = server.streamable_http_app(
        streamable_http_path=PATH,
        stateless_http=True,
        max_request_body_size=_MAX_BODY_BYTES,
        host="127.0.0.1" if local else "0.0.0.0",
    )
    return _Guarded(app, needs_key=needs_key)


class _Guarded:
    """Refuses pages of a browser, and callers without a key."""

    def __init__(self, app: ASGIApp, *, needs_key: bool) -> None:
        self._app, self._needs_key = app, needs_key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            if "origin" in headers:
                await PlainTextResponse("pages of a browser may not call", 403)(scope, receive, send)
                return
            if self._needs_key and bearer_of(headers) is None:
                refusal = PlainTextResponse("an API key is needed", 401, {"www-authenticate": "Bearer"})
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)
