"""What a search has spent, and what it may still spend."""

import time
from collections.abc import Callable

from eacps.evaluation.deadline import Deadline
from eacps.search.budget import Allowance, Budget, Price, Spent

FINISHING_S = 1.0
"""Of the call's time, kept for encoding the result and handing it out; of a short time a fifth."""
FINISHING_SHARE = 0.2
PASTING_S = 0.25
"""For a megapixel of the scene, into which the result is put back; measured 0.14 on one busy core."""


class Ledger:
    """Counts against a budget; the caller's deadline bounds the time as well.

    Args:
        budget: Of the search.
        price: Of a step and of a picture.
        deadline: Of the call; the search ends before it, so that the best so far still reaches the caller.
        clock: Seconds, monotonic.
        megapixels: Of the scene.
    """

    def __init__(
        self,
        budget: Budget,
        price: Price,
        deadline: Deadline,
        clock: Callable[[], float] = time.monotonic,
        *,
        megapixels: float = 0.0,
    ) -> None:
        self._budget, self._price, self._clock = budget, price, clock
        self._start_s = clock()
        self._steps = self._pictures = self._vlm_calls = 0
        left_s = deadline.left_s()
        finishing_s = FINISHING_S + PASTING_S * megapixels
        within = None if left_s is None else left_s - min(finishing_s, FINISHING_SHARE * left_s)
        bounds = [bound for bound in (budget.wall_time_s, within) if bound is not None]
        self._time_s = min(bounds, default=None)

    def pay(self, *, steps: int = 0, pictures: int = 0, vlm_calls: int = 0) -> None:
        """Count what was spent."""
        self._steps += steps
        self._pictures += pictures
        self._vlm_calls += vlm_calls

    @property
    def spent(self) -> Spent:
        """All so far."""
        nfe = self._steps * self._price.nfe_per_step
        return Spent(nfe, self._pictures, self._vlm_calls, self._clock() - self._start_s)

    def allowance(self) -> Allowance:
        """What the next cohort may cost."""
        left = self._budget.left(self.spent, self._price)
        left_s = self.left_s()
        return Allowance(
            left.steps, left.pictures, left.scored, left.time_is_up or (left_s is not None and left_s <= 0)
        )

    def spend_time(self, elapsed_s: float) -> None:
        """Go on from so many seconds spent, as they were recorded; no fewer than were spent here."""
        self._start_s = min(self._start_s, self._clock() - elapsed_s)

    def affords_calls(self, calls: int) -> bool:
        """Whether so many calls of vision-language models may be made on top."""
        return self._budget.vlm_calls is None or self._vlm_calls + calls <= self._budget.vlm_calls

    def left_s(self) -> float | None:
        """Seconds left; None without a bound."""
        return None if self._time_s is None else self._start_s + self._time_s - self._clock()
