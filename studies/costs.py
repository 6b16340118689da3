"""What a search costs: the work it did, and the seconds of that at measured prices.

The study keeps scores and makes no picture twice, so that its own wall time does not measure a search. Work is counted
as the service does it: candidates that begin at the same step run together, in micro-batches of the default size.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from eacps.search.defaults import DEFAULT_MICRO_BATCH


@dataclass(frozen=True, slots=True)
class Work:
    """Work done so far.

    Attributes:
        nfe: Evaluations of the denoiser, over all candidates.
        pictures: Decoded and scored, drafts included.
        calls: Of the denoiser, one per step and batch.
        batches: Decoded and scored.
    """

    nfe: int = 0
    pictures: int = 0
    calls: int = 0
    batches: int = 0

    def plus(self, evaluations: Sequence[int]) -> Work:
        """Add a cohort, given the evaluations of each of its candidates; those of equally many share batches."""
        batches = {each: math.ceil(count / DEFAULT_MICRO_BATCH) for each, count in Counter(evaluations).items()}
        return Work(
            self.nfe + sum(evaluations),
            self.pictures + len(evaluations),
            self.calls + sum(each * count for each, count in batches.items()),
            self.batches + sum(batches.values()),
        )


@dataclass(frozen=True, slots=True)
class Prices:
    """Seconds on a machine that does nothing else. A search's own computing is not among them.

    Attributes:
        evaluation_s: Of the denoiser, for each candidate of a batch.
        call_s: Of the denoiser, whatever the batch's size.
        picture_s: Decoding and the scorers that a search needs, for each picture.
        batch_s: Likewise, whatever the batch's size.
    """

    evaluation_s: float
    picture_s: float
    call_s: float
    batch_s: float

    def seconds(self, work: Work) -> float:
        """Return what this work takes, one batch after the other: a service scores one while it makes the next.

        ``python -m benchmarks.search_time`` measures whole searches.
        """
        return (
            work.nfe * self.evaluation_s
            + work.calls * self.call_s
            + work.pictures * self.picture_s
            + work.batches * self.batch_s
        )
