"""How long a stage trains, and how it resumes."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch


@dataclass
class Pace:
    """A budget of steps, and of minutes if given; whichever ends first ends the stage.

    Attributes:
        steps: Steps of the whole stage, over all its runs.
        minutes: Minutes of the whole stage, or None for no limit.
        spent_s: Seconds spent by earlier runs.
    """

    steps: int
    minutes: float | None
    spent_s: float = 0.0
    _started: float = field(default_factory=time.monotonic)

    @property
    def elapsed_s(self) -> float:
        """Seconds spent, over all runs."""
        return self.spent_s + time.monotonic() - self._started

    def progress(self, step: int) -> float:
        """Share of the budget used after ``step`` steps, 1 or more when it is used up."""
        by_time = 0.0 if self.minutes is None else self.elapsed_s / (60 * self.minutes)
        return max(step / self.steps, by_time)


def rate_scale(progress: float, step: int, *, warmup: int = 100, final: float = 0.02) -> float:
    """Share of the peak learning rate: a linear warm-up over ``warmup`` steps, then a cosine down to ``final``."""
    cosine = final + (1 - final) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    return min(1.0, (step + 1) / warmup) * cosine


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write ``state`` so that an interruption leaves either the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)


def load_state(path: Path) -> dict[str, Any] | None:
    """Read what ``save_state`` wrote; None if there is nothing yet."""
    return torch.load(path, weights_only=False, map_location="cpu") if path.exists() else None
