"""Rate limits for calls: of one tenant, or of all together."""

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
    """Token buckets, one for every tenant.

    Args:
        per_second: Calls per second on average; None for no limit.
        burst: Calls that may come at once, in multiples of those of a second.
        clock: Seconds, monotonic.
    """

    def __init__(
        self, per_second: float | None, *, burst: float = 2.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_second, self._clock = per_second, clock
        self._most = 0.0 if per_second is None else max(1.0, burst * per_second)
        self._buckets: dict[str | None, _Bucket] = {}

    def take(self, tenant: str | None) -> None:
        """Count a call of a tenant; None stands for all tenants together.

        Raises:
            TooManyCalls: The limit is exceeded.
        """
        if self._per_second is None:
            return
        now_s = self._clock()
        bucket = self._buckets.setdefault(tenant, _Bucket(self._most, now_s))
        bucket.tokens = min(self._most, bucket.tokens + (now_s - bucket.at_s) * self._per_second)
        bucket.at_s = now_s
        if bucket.tokens < 1.0:
            raise TooManyCalls(
                f"more than {self._per_second:g} calls of this kind a second",
                limit=self._per_second,
                subject="server" if tenant is None else f"tenant:{tenant}",
                retry_after_s=(1.0 - bucket.tokens) / self._per_second,
            )
        bucket.tokens -= 1.0
        if len(self._buckets) > _FORGET_AT:
            self._buckets = {name: one for name, one in self._buckets.items() if one.tokens < self._most}
