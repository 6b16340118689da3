"""Who asks: the API key of each browser, in this process's memory alone. Keys are never sent back, shown or logged."""

import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from eacps.client import AsyncClient
from eacps.studio.failures import RequestRefused

_MOST_SESSIONS = 256
_IDLE_S = 12 * 3600.0


@dataclass
class _Session:
    client: AsyncClient
    used_s: float


class Sessions:
    """Clients by browser.

    Without a key of the studio's own, each browser sends its key once, and gets a cookie that stands for it. A studio
    with a key answers only browsers that were opened by its link, since whoever else reaches its address would act in
    the name of that key.

    Args:
        connect: Makes a client that sends this key; None sends none.
        key: The studio's own; None if it has none.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        connect: Callable[[str | None], AsyncClient],
        *,
        key: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connect, self._clock = connect, clock
        self._shared = connect(key)
        self.link_token = secrets.token_urlsafe(24) if key is not None else None
        self._sessions: OrderedDict[str, _Session] = OrderedDict()

    async def close(self) -> None:
        """End all connections."""
        for one in [*self._sessions.values()]:
            await self._close(one.client)
        self._sessions.clear()
        await self._shared.close()

    def client_of(self, request: Request) -> AsyncClient:
        """Return the client of the browser that asks; one without a key if it has given none.

        Raises:
            RequestRefused: The studio has a key of its own, and the browser was not opened by its link.
        """
        found = self._sessions.get(request.cookies.get(_cookie_of(request), ""))
        if found is not None and self._clock() - found.used_s < _IDLE_S:
            found.used_s = self._clock()
            return found.client
        if self.link_token is not None:
            raise RequestRefused(401, "LINK_NEEDED", "open the studio by the link that `eacps studio` has printed")
        return self._shared

    def is_signed_in(self, request: Request) -> bool:
        """Return whether the browser has given a key of its own."""
        found = self._sessions.get(request.cookies.get(_cookie_of(request), ""))
        return found is not None and found.client is not self._shared

    async def open_by_key(self, key: str, request: Request, response: Response) -> None:
        """Let a browser act in the name of a key from now on.

        Raises:
            RequestRefused: The studio has a key of its own.
            InvalidSettings: The key cannot be sent.
            CallFailed: The server does not know the key, or cannot be reached.
        """
        if self.link_token is not None:
            raise RequestRefused(403, "LINK_NEEDED", "this studio has a key of its own")
        client = self._connect(key)
        try:
            await client.capabilities()
        except BaseException:
            await client.close()
            raise
        await self._opened(client, request, response)

    async def open_by_link(self, token: str, request: Request, response: Response) -> bool:
        """Let a browser that was opened by the studio's link act in the name of its key; return whether it was."""
        if self.link_token is None or not hmac.compare_digest(token.encode(), self.link_token.encode()):
            return False
        await self._opened(self._shared, request, response)
        return True

    async def forget(self, request: Request, response: Response) -> None:
        """End the session of a browser."""
        name = _cookie_of(request)
        if (found := self._sessions.pop(request.cookies.get(name, ""), None)) is not None:
            await self._close(found.client)
        response.delete_cookie(name, httponly=True, samesite="strict")

    async def _opened(self, client: AsyncClient, request: Request, response: Response) -> None:
        await self._sweep()
        name = secrets.token_urlsafe(32)
        self._sessions[name] = _Session(client, self._clock())
        secure = request.url.scheme == "https"
        response.set_cookie(_cookie_of(request), name, httponly=True, samesite="strict", secure=secure)

    async def _sweep(self) -> None:
        """End sessions that nobody uses, and the oldest if there are too many."""
        now_s = self._clock()
        idle = [name for name, one in self._sessions.items() if now_s - one.used_s >= _IDLE_S]
        excess = len(self._sessions) - len(idle) - _MOST_SESSIONS + 1
        oldest = [name for name in self._sessions if name not in idle][: max(0, excess)]
        for name in (*idle, *oldest):
            await self._close(self._sessions.pop(name).client)

    async def _close(self, client: AsyncClient) -> None:
        if client is not self._shared:
            await client.close()


def _cookie_of(request: Request) -> str:
    """Return the name of the cookie: cookies are for all ports of a host, and each may have a studio."""
    return f"eacps_studio_{request.url.port or request.url.scheme}"
