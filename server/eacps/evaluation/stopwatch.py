"""Wall-clock time spent by stage. A stage that runs several times at once is counted once."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from eacps.evaluation.observer import Attribute, Observer, Silent


class Stopwatch:
    """Measures named stages, which may overlap each other and themselves.

    Args:
        clock: Seconds, never running backwards.
        observer: Told stage and seconds of every block that ends, and shown it as a span.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, observer: Observer | None = None) -> None:
        self._clock, self._observer = clock, observer or Silent()
        self._spent: dict[str, float] = {}
        self._running: dict[str, tuple[int, float]] = {}  # how many at once, since when

    @contextmanager
    def measure(self, stage: str, **attributes: Attribute) -> Iterator[None]:
        """Count the time of the ``with`` block towards ``stage``; ``attributes`` are those of its span."""
        began = self._clock()
        count, since = self._running.get(stage, (0, began))
        self._running[stage] = (count + 1, since)
        try:
            with self._observer.span(stage, attributes):
                yield
        finally:
            self._observer.measured(stage, self._clock() - began)
            count, since = self._running[stage]
            if count > 1:
                self._running[stage] = (count - 1, since)
            else:
                del self._running[stage]
                self._spent[stage] = self._spent.get(stage, 0.0) + self._clock() - since

    def at_least(self, spent_s: Mapping[str, float]) -> None:
        """Count what was measured before, in a run of the search that was cut off."""
        for stage, seconds in spent_s.items():
            self._spent[stage] = max(seconds, self._spent.get(stage, 0.0))

    def spent_s(self) -> dict[str, float]:
        """Seconds by stage, of blocks that have ended."""
        return dict(self._spent)
