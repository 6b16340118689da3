"""Which candidates are worth a second score: those on whom the next selection turns.

A stochastic scorer's answer is averaged over repeats only where that may change who is selected; elsewhere a repeat
would cost a call and change nothing.
"""

from collections.abc import Sequence

import numpy as np


def contested(utilities: Sequence[float], keep: int, *, most: int) -> tuple[int, ...]:
    """Name the candidates nearest to the boundary between those selected and the others.

    Args:
        utilities: One for each candidate, higher is better.
        keep: How many will be selected.
        most: How many to name at most, as many on either side where there are.

    Returns:
        Places, in their order; none where all are selected or none is.
    """
    if not 0 < keep < len(utilities):
        return ()
    order = np.argsort(-np.asarray(utilities, np.float64), kind="stable")
    half = max(1, most // 2)
    near = order[max(0, keep - half) : keep + half]
    return tuple(sorted(int(place) for place in near))
