"""Which requests are answered at all: those for this host, that come from its own page, and are not too long.

A browser sends requests wherever any page tells it to. Another site's page must not reach the studio by them: neither
under a name of its own that leads here (DNS rebinding), nor from its own address (cross-site requests).
"""

from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from eacps.studio.failures import RequestRefused

MAX_JSON_BYTES = 2**20
_LOCAL = frozenset({"127.0.0.1", "localhost", "[::1]"})
_SAFE = ("GET", "HEAD")
_OWN = ("same-origin", "none")
"""What browsers say of a request that the page itself, or the person in the address bar, has made."""
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


class RequestGuard:
    """ASGI middleware.

    Args:
        app: What it guards.
        hosts: Names of the studio beside those of this machine, without ports; ``*`` allows any.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] = ()) -> None:
        self._app, self._hosts, self._any = app, _LOCAL | {one.lower() for one in hosts}, "*" in hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        if reason := self._reason(scope["method"], Headers(scope=scope)):
            body = {"code": "FOREIGN_REQUEST", "message": reason, "temporary": False, "violations": []}
            await JSONResponse(body, 403)(scope, receive, send_guarded)
            return
        await self._app(scope, receive, send_guarded)

    def _reason(self, method: str, headers: Headers) -> str | None:
        """Return why a request is refused; None if it is not."""
        host = headers.get("host", "").lower()
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
        if not self._any and name not in self._hosts:
            return f"the studio is not called {name!r}; say --host to allow it"
        if headers.get("sec-fetch-site", "none") not in _OWN and headers.get("sec-fetch-mode") != "navigate":
            return "the request comes from another site"
        if method not in _SAFE and headers.get("origin", "").lower() not in (f"http://{host}", f"https://{host}"):
            return "the request does not come from the studio's own page"
        return None


async def json_body(request: Request) -> bytes:
    """Return the body of a request that is JSON.

    Raises:
        RequestRefused: It is longer than `MAX_JSON_BYTES`.
    """
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > MAX_JSON_BYTES:
            raise RequestRefused(413, "TOO_LONG", f"the request is longer than {MAX_JSON_BYTES >> 20} MiB")
    return bytes(data)
