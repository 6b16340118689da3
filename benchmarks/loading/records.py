"""What callers saw."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np

PERCENTILES = (50, 90, 99)


@dataclass
class Record:
    """Grows while the load runs.

    Attributes:
        latencies_s: By what was waited for.
        errors: By status code and reason.
        done: Calls and searches that were served, by kind.
        candidates: Scored, of all searches.
        turned_away: Callers that the harness itself had no room for.
    """

    latencies_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    errors: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    candidates: int = 0
    turned_away: int = 0

    def took(self, what: str, seconds: float) -> None:
        """Note how long something took."""
        self.latencies_s[what].append(seconds)

    def summary(self, duration_s: float) -> dict[str, Any]:
        """Return everything as JSON-able values; rates are over ``duration_s``."""
        return {
            "duration_s": round(duration_s, 3),
            "per_second": {kind: round(count / duration_s, 3) for kind, count in sorted(self.done.items())},
            "candidates_per_second": round(self.candidates / duration_s, 3),
            "done": dict(sorted(self.done.items())),
            "errors": dict(sorted(self.errors.items())),
            "turned_away": self.turned_away,
            "latency_s": {
                what: {f"p{p}": round(float(np.percentile(values, p)), 4) for p in PERCENTILES}
                for what, values in sorted(self.latencies_s.items())
                if values
            },
        }
