"""Best-of-N: independent seeds, one cohort. The baseline every other strategy is measured against."""

import numpy as np

from eacps.search.cohort import Candidate
from eacps.search.context import SearchContext
from eacps.search.spec import BestOfNSpec
from eacps.search.strategy import Strategy


class BestOfN(Strategy):
    """Evaluate N fresh seeds, the first of them pinned.

    Args:
        spec: Settings.
        context: What the search is about.
        rng: Source of all randomness, on PCG64.
    """

    def __init__(self, spec: BestOfNSpec, context: SearchContext, rng: np.random.Generator) -> None:
        super().__init__(spec, context, rng)
        self._count = spec.candidates

    def _finished(self) -> bool:
        return self._generation > 0

    def _propose(self) -> list[Candidate]:
        return self._explore(self._count)
