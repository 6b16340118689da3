"""A batch as several runs, one per thread, instead of one run by many threads.

Threads that share every operator of a run wait for each other at each of them; threads with rows of their own wait
once. That is for wall time: what it does to processor time depends on the network and the number of rows, see
``docs/experiments.md``.
"""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import pairwise

import numpy as np

from eacps.arrays import Arrays
from eacps.models.served_network import Run

MAX_ROWS = 8
"""Rows of one run. More cost more per row again: their activations leave the core's cache."""


class RowRuns:
    """Evaluates the rows of a batch in several runs at once.

    Args:
        run: Evaluates a part of the rows in the thread that calls it; called from several threads.
        threads: How many run at once, at least 1.
        name: Of the threads.
    """

    def __init__(self, run: Run, threads: int, name: str) -> None:
        self._run, self._threads = run, threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)

    def __call__(self, feeds: Arrays) -> Arrays:
        """Evaluate all rows.

        Args:
            feeds: Inputs by name; axis 0 is the batch, at least one row.

        Returns:
            Outputs by name, rows in the order of the inputs.

        Raises:
            Exception: What a run raised, the first of them by row; no run is left behind.
        """
        rows = len(next(iter(feeds.values())))
        runs = [
            self._pool.submit(self._run, {name: array[part] for name, array in feeds.items()})
            for part in parts(rows, self._threads)
        ]
        wait(runs)
        answers = [run.result() for run in runs]
        return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}

    def close(self) -> None:
        """End the threads, after the runs under way."""
        self._pool.shutdown()


def parts(rows: int, threads: int) -> Sequence[slice]:
    """Cut ``rows`` into parts of at most `MAX_ROWS` for ``threads`` at a time; lengths differ by one at most."""
    rounds = math.ceil(rows / (threads * MAX_ROWS))
    count = min(rows, threads * rounds)
    ends = [rows * number // count for number in range(count + 1)]
    return [slice(start, end) for start, end in pairwise(ends)]
