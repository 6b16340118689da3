"""Measuring one way over one repetition: a window on wall clock, processors and Triton's counters."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.counters import Counters, difference, read_counters
from benchmarks.outcome import Outcome
from benchmarks.processes import ProcessorTime, read_processor_time

_SETTLE_S = 0.2  # Triton counts an execution just after it has answered; idle threads stop spinning


@dataclass(frozen=True, eq=False)
class Window:
    """One measurement.

    Args:
        way: Which way of doing the work.
        repetition: Counts from 0.
        seconds: On the wall clock.
        processor: Seconds of processor time used meanwhile.
        counters: What Triton counted meanwhile.
        outcomes: What was made, one for each edit.
    """

    way: str
    repetition: int
    seconds: float
    processor: ProcessorTime
    counters: Counters
    outcomes: Sequence[Outcome]

    @property
    def candidates(self) -> int:
        """Pictures made and scored."""
        return sum(len(outcome.scores) for outcome in self.outcomes)

    @property
    def candidates_per_s(self) -> float:
        """Throughput."""
        return self.candidates / self.seconds

    @property
    def foreign_cores(self) -> float:
        """Cores that processes which are not ours kept busy meanwhile."""
        return max(0.0, self.processor.machine - self.processor.tree) / self.seconds


def measure(way: str, repetition: int, metrics_url: str, work: Callable[[], Sequence[Outcome]]) -> Window:
    """Do the work and measure it."""
    time.sleep(_SETTLE_S)
    counters, processor = read_counters(metrics_url), read_processor_time()
    start = time.perf_counter()
    outcomes = work()
    seconds = time.perf_counter() - start
    used = read_processor_time().since(processor)
    time.sleep(_SETTLE_S)
    return Window(way, repetition, seconds, used, difference(read_counters(metrics_url), counters), outcomes)
