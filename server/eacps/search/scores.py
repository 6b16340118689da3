"""The scores of one candidate: raw as scorers gave them, and calibrated, so that weights mean something."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from eacps.errors import IllegalSearchMove

SATURATION = 0.995
"""Calibrated scores from here on are at the upper end of their scale: they no longer tell candidates apart."""


def saturated(value: float) -> bool:
    """Return whether a calibrated score is at the upper end of its scale."""
    return value >= SATURATION


@dataclass(frozen=True)
class ScoreCard:
    """All scores of one candidate.

    Args:
        values: Score by scorer's name, calibrated, each in ``[0, 1]``; higher is better.
        missing: Reason by scorer's name, for every score that could not be had.
        raw: The same scores as the scorers gave them, each in ``[0, 1]``; by default ``values``.
        repeats: How often a scorer was asked, by name, where that is more than once; its score is the mean.

    Raises:
        IllegalSearchMove: A score is NaN or outside ``[0, 1]``, or a scorer is both scored and missing.
    """

    values: Mapping[str, float]
    missing: Mapping[str, str] = field(default_factory=dict)
    raw: Mapping[str, float] = field(default_factory=dict)
    repeats: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.raw:
            object.__setattr__(self, "raw", self.values)
        for name, value in (*self.values.items(), *self.raw.items()):
            if not 0.0 <= value <= 1.0:  # NaN fails this too
                raise IllegalSearchMove(f"score {name!r} is {value}, not in [0, 1]")
        if self.raw.keys() != self.values.keys():
            raise IllegalSearchMove("raw and calibrated scores are of different scorers")
        if both := sorted(set(self.values) & set(self.missing)):
            raise IllegalSearchMove(f"both scored and missing: {', '.join(both)}")
