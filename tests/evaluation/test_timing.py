"""Stopwatch, deadline and budget."""

import asyncio
from typing import Any

import pytest

from eacps.evaluation import Deadline
from eacps.evaluation.timing import BudgetTracker, Stopwatch
from eacps.search.budget import Budget, Price, Spent


class TestStopwatch:
    def test_counts_overlapping_time_once(self) -> None:
        now = [0.0]
        watch = Stopwatch(lambda: now[0])
        with watch.measure("score"):
            now[0] = 1.0
            with watch.measure("score"), watch.measure("generate"):
                now[0] = 3.0
            now[0] = 4.0
        with watch.measure("score"):
            now[0] = 5.0
        assert watch.spent_s() == {"score": 5.0, "generate": 2.0}


class TestDeadline:
    def test_none_never_passes(self) -> None:
        assert Deadline().left_s() is None
        assert Deadline.after(None).left_s() is None

    async def test_what_is_left_falls_to_zero(self) -> None:
        deadline = Deadline.after(0.02)
        assert 0 < deadline.left_s() <= 0.02
        await asyncio.sleep(0.03)
        assert deadline.left_s() == 0.0


class TestLedger:
    """Its clock stands still but where a test moves it; deadlines are on the clock of the machine."""

    def tracker(
        self, now: list[float], *, spent: BudgetTracker | None = None, left_s: float | None = None, **bounds: Any
    ) -> BudgetTracker:
        kept = None if spent is None else spent.to_json()
        return BudgetTracker(Budget(**bounds), Price(), Deadline.after(left_s), lambda: now[0], spent=kept)

    def test_goes_on_from_what_was_spent(self) -> None:
        now = [0.0]
        first = self.tracker(now, nfe=10, wall_time_s=8.0)
        first.pay(steps=4, pictures=1, vlm_calls=2)
        now[0] = 3.0
        later = [1000.0]
        second = self.tracker(later, spent=first, nfe=10, wall_time_s=8.0)
        later[0] = 1002.0
        assert second.spent == Spent(nfe=4, pictures=1, vlm_calls=2, wall_s=5.0)
        assert second.allowance().steps == 6
        assert second.left_s() == pytest.approx(3.0)

    @pytest.mark.parametrize("left_s", [10.0, 3.0, 0.5, 0.0, -1.0])
    def test_a_deadline_is_a_point_in_time_whatever_was_spent(self, left_s: float) -> None:
        now = [0.0]
        first = self.tracker(now)
        now[0] = 60.0
        second = self.tracker(now, spent=first, left_s=left_s)
        assert second.left_s() == pytest.approx(max(0.0, left_s - min(1.0, 0.2 * left_s)), abs=0.01)
        assert second.allowance().time_is_up is (left_s <= 0)
