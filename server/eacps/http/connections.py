"""Bounds the connections of an HTTP server, and the time that the head of a request may take.

uvicorn bounds neither: callers who connect and say nothing would take all descriptors, and without any left the process
can neither accept a connection nor open a file.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

from eacps.descriptors import half_of_descriptors


@dataclass(frozen=True)
class ConnectionLimits:
    """Limits of connections.

    Args:
        most: How many there are at once; more are closed as they come. None for half of the descriptors that this
            process may open.
        head_timeout_s: How long the head of a request may take, from the connection or from its first byte.
    """

    most: int | None = None
    head_timeout_s: float = 20.0

    @property
    def connections(self) -> int:
        """Most connections at once."""
        return half_of_descriptors() if self.most is None else self.most


def bounded(protocol: Any, limits: ConnectionLimits) -> Any:
    """Return uvicorn's protocol class with limits: one of ``uvicorn.protocols.http``."""
    most = limits.connections

    class Bounded(protocol):  # type: ignore[misc]  # chosen by uvicorn when it starts
        _refused = False
        _timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:
            self._refused = len(self.connections) >= most
            if self._refused:
                transport.abort()
                return
            super().connection_made(transport)
            self._expect_head()

        def data_received(self, data: bytes) -> None:
            if self._refused:
                return
            super().data_received(data)
            if self.cycle is not None and not self.cycle.response_complete:
                self._expect_none()
            elif self._timer is None:
                self._expect_head()

        def connection_lost(self, exc: Exception | None) -> None:
            self._expect_none()
            if not self._refused:
                super().connection_lost(exc)

        def eof_received(self) -> None:
            if not self._refused:
                super().eof_received()

        def _expect_head(self) -> None:
            self._timer = self.loop.call_later(limits.head_timeout_s, self.transport.close)

        def _expect_none(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    return Bounded
