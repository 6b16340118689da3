"""Whether two ways did the same work: the same seeds, the same pictures, the same scores.

The pictures' tolerances are those of the tests that hold the sampler to diffusers' pipeline.
"""

from dataclasses import dataclass

import numpy as np

from benchmarks.edits import Picture
from benchmarks.outcome import SCORERS, Outcome

MEAN_TOLERANCE = 0.1  # of the absolute difference, in steps of 1/255
MAX_TOLERANCE = 3  # likewise
SCORE_TOLERANCE = 0.02


class WorkDiffers(Exception):
    """Two ways made different pictures or scores of the same request: their speeds do not compare."""


@dataclass
class Agreement:
    """The largest differences met so far.

    Args:
        pictures: Pairs of pictures compared, priors included.
        scores: Pairs of scores compared.
        mean_difference, max_difference: Of pictures, in steps of 1/255.
        score_difference: Of scores.
    """

    pictures: int = 0
    scores: int = 0
    mean_difference: float = 0.0
    max_difference: int = 0
    score_difference: float = 0.0

    def compare(self, ours: Outcome, theirs: Outcome) -> None:
        """Compare what both have.

        Raises:
            WorkDiffers: Nothing to compare, or a difference above its tolerance.
        """
        name = f"edit {ours.edit.number}"
        self._compare_pictures(ours.prior, theirs.prior, f"{name}, prior")
        shared = ours.pictures.keys() & theirs.pictures.keys()
        if not shared or not ours.scores.keys() & theirs.scores.keys():
            raise WorkDiffers(f"{name}: the two ways have no candidate in common")
        for seed in sorted(shared):
            self._compare_pictures(ours.pictures[seed], theirs.pictures[seed], f"{name}, seed {seed}")
        for seed in sorted(ours.scores.keys() & theirs.scores.keys()):
            for scorer in SCORERS:
                self._compare_scores(ours, theirs, seed, scorer)

    def _compare_pictures(self, ours: Picture, theirs: Picture, name: str) -> None:
        if ours.shape != theirs.shape:
            raise WorkDiffers(f"{name}: pictures of {ours.shape} and {theirs.shape}")
        gap = np.abs(ours.astype(np.int32) - theirs.astype(np.int32))
        mean, largest = float(gap.mean()), int(gap.max())
        self.pictures += 1
        self.mean_difference, self.max_difference = max(self.mean_difference, mean), max(self.max_difference, largest)
        if mean > MEAN_TOLERANCE or largest > MAX_TOLERANCE:
            raise WorkDiffers(f"{name}: the pictures differ by {mean:.3f}/255 in the mean, {largest}/255 at most")

    def _compare_scores(self, ours: Outcome, theirs: Outcome, seed: int, scorer: str) -> None:
        pair = ours.scores[seed].get(scorer), theirs.scores[seed].get(scorer)
        gap = abs(pair[0] - pair[1]) if pair[0] is not None and pair[1] is not None else float("inf")
        self.scores += 1
        self.score_difference = max(self.score_difference, gap)
        if not gap <= SCORE_TOLERANCE:
            raise WorkDiffers(f"edit {ours.edit.number}, seed {seed}: {scorer} is {pair[0]} and {pair[1]}")
