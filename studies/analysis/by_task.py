"""Rows by task, and what is common to all analyses: spread within tasks, means with standard errors over tasks."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from studies.tables import FreshRow

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over tasks with its standard error."""

    mean: float
    error: float

    def __str__(self) -> str:
        return f"{self.mean:+.2f} ± {self.error:.2f}"


def estimate(values: Sequence[float] | Array) -> Estimate:
    """Return mean and standard error of values, one for each task; the error of a single one is not known."""
    array = np.asarray(values, np.float64)
    error = array.std(ddof=1) / math.sqrt(len(array)) if len(array) > 1 else math.nan
    return Estimate(float(array.mean()), float(error))


def columns(rows: Sequence[FreshRow], name: str) -> dict[int, Array]:
    """Return one column of the fresh seeds by task, in order of their indices."""
    found: dict[int, dict[int, float]] = defaultdict(dict)
    for row in rows:
        found[row.task][row.index] = getattr(row, name)
    return {task: np.array([values[index] for index in sorted(values)]) for task, values in found.items()}


def within_task_sd(rows: Sequence[FreshRow], name: str = "potential") -> float:
    """Return the standard deviation within tasks: the root of the mean over tasks of the unbiased variance."""
    return math.sqrt(float(np.mean([values.var(ddof=1) for values in columns(rows, name).values()])))
