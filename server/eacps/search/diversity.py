"""Do seeds make a difference on this checkpoint? The spread of the first cohort against what was measured before.

Few-step distilled checkpoints shrink seed diversity: a search over noise then finds little, whatever it spends.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import NormalDist

import numpy as np

from eacps.search.calibration import Landscape

LOW_RATIO = 0.5
SIGNIFICANCE = 0.01
MIN_COUNT = 4


class LowDiversityPolicy(StrEnum):
    """What a search does where its first cohort hardly differs."""

    REPORT = "report"
    WIDEN = "widen"  # local moves go further
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Diversity:
    """What the first cohort's potentials say.

    Args:
        spread: Their standard deviation.
        expected: The checkpoint's, as calibrated; None where it was not.
        p_value: Chance of a spread as small as this, were it the checkpoint's; None without one.
        low: Whether it is less than half of the expected, beyond chance.
    """

    spread: float
    expected: float | None
    p_value: float | None
    low: bool


def diversity_of(potentials: Sequence[float], landscape: Landscape) -> Diversity | None:
    """Compare the potentials of fresh seeds with the checkpoint's landscape; None for fewer than four of them."""
    if len(potentials) < MIN_COUNT:
        return None
    spread = float(np.std(potentials, ddof=1))
    if landscape.spread is None:
        return Diversity(spread, None, None, False)
    # A task's own spread lies as likely below the mean task's as tasks scatter: the least plausible one is compared.
    expected = max(landscape.spread - (landscape.spread_sd or 0.0), 1e-9)
    p_value = _chi_squared_cdf((len(potentials) - 1) * (spread / expected) ** 2, len(potentials) - 1)
    low = spread < LOW_RATIO * landscape.spread and p_value < SIGNIFICANCE
    return Diversity(spread, landscape.spread, p_value, low)


def _chi_squared_cdf(value: float, freedom: int) -> float:
    """Distribution function of chi squared (Wilson and Hilferty 1931)."""
    ninth = 2.0 / (9.0 * freedom)
    return NormalDist().cdf(((value / freedom) ** (1 / 3) - (1 - ninth)) / math.sqrt(ninth))
