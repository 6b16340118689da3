"""What stands before a provider: so many calls at once, so many a second, and none for a while after all failed."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from enum import StrEnum


class GateClosed(Exception):
    """The provider is not asked: its last calls have all failed."""


class CircuitState(StrEnum):
    """Whether calls are let through."""

    CLOSED = "closed"  # all are
    OPEN = "open"  # none is
    PROBING = "probing"  # one is, to see


class CircuitBreaker:
    """Lets no calls through for a while once several in a row have failed, then one, and all again if that succeeds.

    Args:
        failures: In a row that open it, at least 1.
        pause_s: For which it is open then; every probe that fails doubles it.
        longest_s: Longest pause of all.
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
        """Whether a call may be made now; of one that may, the outcome is to be told."""
        if self.state is CircuitState.OPEN and self._clock() - self._opened_s >= self._pause_s:
            self.state = CircuitState.PROBING
            return True
        return self.state is CircuitState.CLOSED

    def succeeded(self) -> None:
        """A call was answered, whatever the answer."""
        self._failures, self._pause_s, self.state = 0, self._first_s, CircuitState.CLOSED

    def failed(self) -> None:
        """A call was not answered."""
        self._failures += 1
        if self.state is CircuitState.PROBING:
            self._pause_s = min(self._longest_s, 2 * self._pause_s)
        elif self._failures < self._most:
            return
        self.state, self._opened_s = CircuitState.OPEN, self._clock()


class Gate:
    """One provider's, shared by all scorers that ask it.

    Args:
        in_flight: Most calls at once, at least 1.
        per_second: Most calls begun in a second; None for no bound.
        breaker: Opens where the provider fails.

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
        """Make a call within the block, whose end without an exception means that it was answered.

        Raises:
            GateClosed: Calls are not made at present.
        """
        async with self._slots:
            await self._turn()
            if not self.breaker.admit():
                raise GateClosed("not asked: its last calls have all failed")
            try:
                yield
            except asyncio.CancelledError:
                if self.breaker.state is CircuitState.PROBING:  # nothing is known yet: the next call shall see
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
