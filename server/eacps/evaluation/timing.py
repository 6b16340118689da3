"""Time and budget of a search: deadline, seconds by stage, and the budget left."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from eacps.evaluation.observer import Attribute, Observer
from eacps.search.budget import Allowance, Budget, Price, Spent

FINISHING_S = 1.0
"""Seconds before the deadline that are kept for encoding and sending the result."""
FINISHING_SHARE = 0.2
"""Of the time that is left: no more than this is kept."""
PASTING_S = 0.25
"""For a megapixel of the scene, into which the result is put back; measured 0.14 on one busy core."""


@dataclass(frozen=True)
class Deadline:
    """A point in time, or none.

    Args:
        at_s: Value of ``time.monotonic()`` at which time is up; None is never.
    """

    at_s: float | None = None

    @classmethod
    def after(cls, seconds: float | None) -> "Deadline":
        """Return the deadline ``seconds`` from now; None is none."""
        return cls(None if seconds is None else time.monotonic() + seconds)

    @classmethod
    def at(cls, epoch_s: float | None, clock: Callable[[], float] = time.time) -> "Deadline":
        """Return the deadline at a point in time, in seconds since the epoch as ``clock`` has it; None is none."""
        return cls.after(None if epoch_s is None else epoch_s - clock())

    def left_s(self) -> float | None:
        """Seconds left, not below 0; None without a deadline."""
        return None if self.at_s is None else max(0.0, self.at_s - time.monotonic())


class Stopwatch:
    """Measures named stages, which may overlap each other and themselves.

    Args:
        clock: Seconds, never running backwards.
        observer: Notified of stage and seconds of every block that ends, and of the block as a span.
        spent_s: Seconds by stage that were measured before the search was interrupted.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        observer: Observer | None = None,
        *,
        spent_s: Mapping[str, float] | None = None,
    ) -> None:
        self._clock, self._observer = clock, observer or Observer()
        self._spent = dict(spent_s or {})
        self._running: dict[str, tuple[int, float]] = {}  # how many at once, since when

    @contextmanager
    def measure(self, stage: str, **attributes: Attribute) -> Iterator[None]:
        """Count the time of the ``with`` block toward ``stage``; ``attributes`` are those of its span."""
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

    def spent_s(self) -> dict[str, float]:
        """Seconds by stage, of blocks that have ended."""
        return dict(self._spent)


class BudgetTracker:
    """Counts against a budget. Time is that in which the search was worked on; a deadline bounds it as well.

    Args:
        budget: Of the search.
        price: Of a step and of a picture.
        deadline: Of the search; it stops asking before that, so that the best so far still reaches the caller.
        clock: Seconds, monotonic.
        spent: What was spent before the search was interrupted, as `to_json` gave it.
        observer: Notified of what is spent from now on.
    """

    def __init__(
        self,
        budget: Budget,
        price: Price,
        deadline: Deadline,
        clock: Callable[[], float] = time.monotonic,
        *,
        spent: Mapping[str, Any] | None = None,
        observer: Observer | None = None,
    ) -> None:
        self._observer = observer or Observer()
        self._budget, self._price, self._clock = budget, price, clock
        counts = spent or {}
        self._steps, self._pictures = counts.get("steps", 0), counts.get("pictures", 0)
        self._vlm_calls = counts.get("vlm_calls", 0)
        self._start_s = clock() - counts.get("wall_s", 0.0)
        self._deadline = deadline
        self.keep_for_delivery(counts.get("megapixels", 0.0))

    def keep_for_delivery(self, megapixels: float) -> None:
        """Keep time for encoding the result and pasting it into a scene of so many megapixels."""
        self._megapixels = megapixels
        bounds = [] if self._budget.wall_time_s is None else [self._start_s + self._budget.wall_time_s]
        if (left_s := self._deadline.left_s()) is not None:
            finishing_s = FINISHING_S + PASTING_S * megapixels
            bounds.append(self._clock() + left_s - min(finishing_s, FINISHING_SHARE * left_s))
        self._end_s = min(bounds, default=None)

    def pay(self, *, steps: int = 0, pictures: int = 0, vlm_calls: int = 0) -> None:
        """Count what was spent."""
        self._steps += steps
        self._pictures += pictures
        self._vlm_calls += vlm_calls
        evaluations = steps * self._price.nfe_per_step
        self._observer.worked(evaluations=evaluations, pictures=pictures, vlm_calls=vlm_calls)

    @property
    def spent(self) -> Spent:
        """All so far."""
        nfe = self._steps * self._price.nfe_per_step
        return Spent(nfe, self._pictures, self._vlm_calls, self._clock() - self._start_s)

    def to_json(self) -> dict[str, Any]:
        """Return all so far in a JSON-able form."""
        return {
            "steps": self._steps,
            "pictures": self._pictures,
            "vlm_calls": self._vlm_calls,
            "wall_s": self._clock() - self._start_s,
            "megapixels": self._megapixels,
        }

    def allowance(self) -> Allowance:
        """Return what the next cohort may cost."""
        left = self._budget.left(self.spent, self._price)
        left_s = self.left_s()
        return replace(left, time_is_up=left.time_is_up or (left_s is not None and left_s <= 0))

    def affords_calls(self, calls: int) -> bool:
        """Whether so many calls of vision-language models may be made on top."""
        return self._budget.vlm_calls is None or self._vlm_calls + calls <= self._budget.vlm_calls

    def left_s(self) -> float | None:
        """Seconds left to ask for more; None without a bound."""
        return None if self._end_s is None else self._end_s - self._clock()
