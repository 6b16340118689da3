"""How much time is left."""

import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Deadline:
    """A point on the monotonic clock, or none.

    Args:
        at_s: Value of ``time.monotonic()`` at which time is up; None is never.
    """

    at_s: float | None = None

    @classmethod
    def after(cls, seconds: float | None) -> "Deadline":
        """Give the deadline ``seconds`` from now; None is none."""
        return cls(None if seconds is None else time.monotonic() + seconds)

    def left_s(self) -> float | None:
        """Seconds left, not below 0; None without a deadline."""
        return None if self.at_s is None else max(0.0, self.at_s - time.monotonic())
