"""What one way made of one edit."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from benchmarks.edits import Edit, Picture

SCORERS = ("identity", "realism", "prompt")


@dataclass(eq=False)
class Outcome:
    """Pictures and scores by seed, and where the time went.

    Args:
        edit: What was asked for.
        prior: The identity prior, ``uint8 [H, W, 3]``.
        pictures: Some or all of the candidates' pictures.
        scores: Of every candidate, by scorer.
        stages_s: Seconds by stage: prepare, generate, score. Stages may overlap.
    """

    edit: Edit
    prior: Picture
    pictures: Mapping[int, Picture]
    scores: Mapping[int, Mapping[str, float]]
    stages_s: Mapping[str, float]


@dataclass
class Stopwatch:
    """Adds up seconds by stage."""

    spent_s: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Add the time of the block to ``stage``."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.spent_s[stage] = self.spent_s.get(stage, 0.0) + time.perf_counter() - start
