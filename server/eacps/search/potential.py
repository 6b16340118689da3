"""The potential U(x): what the search climbs. Higher is better; scores, weights and potential lie in [0, 1].

A score that could not be had is never a zero in disguise and never left out of the sum: the weights stay as they are,
the unknown score is assumed at its least (0, the lower end of its range), and the potential says that it is a lower
bound (``complete`` is False) and whose score is missing. Renormalizing the weights over the known scores instead would
reward missingness.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from eacps.errors import FieldViolation, IllegalSearchMove, InvalidSearchSpec

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


@dataclass(frozen=True)
class Weights:
    """What each scorer counts for in U(x).

    Args:
        raw: Weight by scorer's name: finite, not negative, not all zero. Only their proportions matter. A scorer of
            weight 0 is reported but not searched.

    Raises:
        InvalidSearchSpec: Names every invalid weight as ``weights.<scorer>``.
    """

    raw: Mapping[str, float]

    def __post_init__(self) -> None:
        violations = [
            FieldViolation(f"weights.{name}", f"is {weight}, not a finite number of at least 0")
            for name, weight in self.raw.items()
            if not (math.isfinite(weight) and weight >= 0.0)
        ]
        if not violations and not any(weight > 0.0 for weight in self.raw.values()):
            violations = [FieldViolation("weights", "has no weight above 0")]
        if violations:
            raise InvalidSearchSpec(violations)

    @property
    def normalized(self) -> dict[str, float]:
        """Weights summing to 1, by scorer's name in alphabetical order; scorers of weight 0 are left out."""
        largest = max(self.raw.values())
        scaled = {name: weight / largest for name, weight in sorted(self.raw.items())}  # the sum cannot overflow
        total = math.fsum(scaled.values())
        return {name: weight / total for name, weight in scaled.items() if weight > 0.0}


@dataclass(frozen=True)
class Potential:
    """U(x) of one candidate.

    Args:
        value: In ``[0, 1]``, higher is better; the lower bound over what is unknown where ``complete`` is False.
        complete: Whether every weighted score was known.
        missing: Names of the weighted scorers whose score is missing, in alphabetical order.
        shortfall: By how much floors are missed, in ``[0, 1]``: the largest gap, the whole floor where the score is
            missing. Above 0 the candidate is infeasible and ranks below all feasible ones.
        scores: The weighted scores that were known, by scorer's name, each in ``[0, 1]``; what rank sums and the
            Pareto front compare.

    Raises:
        IllegalSearchMove: A number is NaN or outside ``[0, 1]``, or ``complete`` and ``missing`` contradict.
    """

    value: float
    complete: bool = True
    missing: tuple[str, ...] = ()
    shortfall: float = 0.0
    scores: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, number in (("potential", self.value), ("shortfall", self.shortfall), *self.scores.items()):
            if not 0.0 <= number <= 1.0:  # NaN fails this too
                raise IllegalSearchMove(f"{name} is {number}, not in [0, 1]")
        if self.complete == bool(self.missing):
            raise IllegalSearchMove("a potential is complete exactly if no score is missing")

    @property
    def feasible(self) -> bool:
        """Whether no floor is missed."""
        return self.shortfall == 0.0
