"""Best-of-N: independent seeds, one cohort. The baseline every other strategy is measured against."""

import numpy as np

from eacps.search.cohort import Candidate
from eacps.search.spec import BestOfNSpec
from eacps.search.strategy import AskTell


class BestOfN(AskTell):
    """Evaluate N fresh seeds, the first of them pinned.

    Args:
        spec: Settings.
        steps: Denoising steps of the full schedule, at least 1.
        rng: Source of all randomness, on PCG64.
    """

    def __init__(self, spec: BestOfNSpec, *, steps: int, rng: np.random.Generator) -> None:
        super().__init__(spec, steps=steps, rng=rng)
        self._candidates = spec.candidates

    def _finished(self) -> bool:
        return self._generation > 0

    def _propose(self) -> list[Candidate]:
        return self._explore(self._candidates)
