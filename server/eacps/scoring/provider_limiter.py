"""Limits on the calls of a provider: concurrent calls, calls per second, and a circuit breaker."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from enum import StrEnum


class CircuitOpen(Exception):
    """The provider is not called because its last calls have all failed."""


class CircuitState(StrEnum):
    """Whether calls are allowed."""

    CLOSED = "closed"  # all
    OPEN = "open"  # none
    PROBING = "probing"  # one, to find out


class CircuitBreaker:
    """Rejects calls for a while after several in a row failed, then allows a probe, and all calls if that succeeds.

    Args:
        failures: Number of consecutive failures that open it, at least 1.
        pause_s: How long it stays open; doubles with every failed probe.
        longest_s: Maximum of the pause.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        *,
        failures: int = 8,
        pause_s: float = 5.0,
        longest_s: float = 120.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most, self._first_s, self._longest_s, self._clock = failures, pause_s, longest_s, clock
        self._failures, self._pause_s, self._opened_s = 0, pause_s, 0.0
        self.state = CircuitState.CLOSED

    def admit(self) -> bool:
        """Return whether a call may be made now. Report the outcome of one that may."""
        if self.state is CircuitState.OPEN and self._clock() - self._opened_s >= self._pause_s:
            self.state = CircuitState.PROBING
            return True
        return self.state is CircuitState.CLOSED

    def succeeded(self) -> None:
        """Record a call that was answered, regardless of the answer."""
        self._failures, self._pause_s, self.state = 0, self._first_s, CircuitState.CLOSED

    def failed(self) -> None:
        """Record a call that was not answered."""
        self._failures += 1
        if self.state is CircuitState.PROBING:
            self._pause_s = min(self._longest_s, 2 * self._pause_s)
        elif self._failures < self._most:
            return
        self.state, self._opened_s = CircuitState.OPEN, self._clock()


class ProviderLimiter:
    """The limits of one provider, shared by all scorers that ask it.

    Args:
        in_flight: Most calls at once, at least 1.
        per_second: Most calls begun in a second; None for no bound.
        breaker: Opens when the provider fails.

    Raises:
        ValueError: A bound is not above 0.
    """

    def __init__(
        self, in_flight: int = 16, *, per_second: float | None = None, breaker: CircuitBreaker | None = None
    ) -> None:
        if in_flight < 1 or (per_second is not None and per_second <= 0):
            raise ValueError("in_flight must be at least 1, per_second above 0")
        self._slots, self.breaker = asyncio.Semaphore(in_flight), breaker or CircuitBreaker()
        self._interval_s = 0.0 if per_second is None else 1.0 / per_second
        self._next_s = 0.0

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Hold one of the ``in_flight`` slots while the block prepares and makes calls."""
        async with self._slots:
            yield

    @asynccontextmanager
    async def call(self) -> AsyncIterator[None]:
        """Make one call within the block. A block that ends without an exception counts as answered.

        Raises:
            CircuitOpen: The circuit breaker is open.
        """
        await self._turn()
        if not self.breaker.admit():
            raise CircuitOpen("not asked: its last calls have all failed")
        try:
            yield
        except asyncio.CancelledError:
            if self.breaker.state is CircuitState.PROBING:  # nothing is known yet: the next call has to find out
                self.breaker.failed()
            raise
        except BaseException:
            self.breaker.failed()
            raise
        self.breaker.succeeded()

    async def _turn(self) -> None:
        now_s = time.monotonic()
        at_s = max(now_s, self._next_s)
        self._next_s = at_s + self._interval_s
        if at_s > now_s:
            await asyncio.sleep(at_s - now_s)
