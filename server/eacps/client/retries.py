"""How often to try again, and after which pauses."""

import random
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Retries:
    """Exponential back-off with full jitter, for calls that found the server unavailable.

    Args:
        attempts: The first one included. While events come, a watch begins to count anew.
        first_s: Longest first pause.
        factor: By how much the longest pause grows.
        most_s: Longest pause of all.
    """

    attempts: int = 8
    first_s: float = 0.5
    factor: float = 2.0
    most_s: float = 15.0

    def pauses(self) -> Iterator[float]:
        """Return the pauses between the attempts, in seconds."""
        longest = self.first_s
        for _ in range(self.attempts - 1):
            yield random.uniform(0.0, longest)
            longest = min(longest * self.factor, self.most_s)
