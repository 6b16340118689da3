"""How often a tenant may call."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from eacps.errors import TooManyCalls

_FORGET_AT = 10_000


@dataclass
class _Bucket:
    tokens: float
    at_s: float


class RateLimit:
    """A token bucket for every tenant.

    Args:
        per_second: Calls that a tenant may make in the long run; None for no bound.
        burst: Calls that it may make at once, in multiples of those of a second.
        clock: Seconds, monotonic.
    """

    def __init__(
        self, per_second: float | None, *, burst: float = 2.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_second, self._clock = per_second, clock
        self._most = 0.0 if per_second is None else max(1.0, burst * per_second)
        self._buckets: dict[str, _Bucket] = {}

    def take(self, tenant: str) -> None:
        """Let a tenant make a call.

        Raises:
            TooManyCalls: It has made too many.
        """
        if self._per_second is None:
            return
        now_s = self._clock()
        bucket = self._buckets.setdefault(tenant, _Bucket(self._most, now_s))
        bucket.tokens = min(self._most, bucket.tokens + (now_s - bucket.at_s) * self._per_second)
        bucket.at_s = now_s
        if bucket.tokens < 1.0:
            raise TooManyCalls(f"more than {self._per_second:g} calls a second; come more slowly")
        bucket.tokens -= 1.0
        if len(self._buckets) > _FORGET_AT:
            self._buckets = {name: one for name, one in self._buckets.items() if one.tokens < self._most}
