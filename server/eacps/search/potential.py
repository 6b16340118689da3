"""The potential U(x): what the search climbs. Higher is better; scores, weights and potential lie in [0, 1].

A score that could not be had is never a zero in disguise and never left out of the sum: the weights stay as they are,
the unknown score is assumed at its least (0, the lower end of its range), and the potential says that it is a lower
bound (``complete`` is False) and whose score is missing. Renormalising the weights over the known scores instead would
reward missingness.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from eacps.errors import FieldViolation, IllegalSearchMove, InvalidSearchSpec


@dataclass(frozen=True)
class ScoreCard:
    """All scores of one candidate at one stop step.

    Args:
        values: Score by scorer's name, each in ``[0, 1]``; higher is better.
        missing: Reason by scorer's name, for every score that could not be had.

    Raises:
        IllegalSearchMove: A score is NaN or outside ``[0, 1]``, or a scorer is both scored and missing.
    """

    values: Mapping[str, float]
    missing: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value in self.values.items():
            if not 0.0 <= value <= 1.0:  # NaN fails this too
                raise IllegalSearchMove(f"score {name!r} is {value}, not in [0, 1]")
        if both := sorted(set(self.values) & set(self.missing)):
            raise IllegalSearchMove(f"both scored and missing: {', '.join(both)}")


@dataclass(frozen=True)
class Weights:
    """What each scorer counts for in U(x).

    Args:
        raw: Weight by scorer's name: finite, not negative, not all zero. Only their proportions matter. A scorer of
            weight 0 is reported but not searched.

    Raises:
        InvalidSearchSpec: Names every weight at fault as ``weights.<scorer>``.
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
    def normalised(self) -> dict[str, float]:
        """Weights summing to 1, by scorer's name in alphabetical order; scorers of weight 0 are left out."""
        largest = max(self.raw.values())
        scaled = {name: weight / largest for name, weight in sorted(self.raw.items())}  # the sum cannot overflow
        total = math.fsum(scaled.values())
        return {name: weight / total for name, weight in scaled.items() if weight > 0.0}


@dataclass(frozen=True, slots=True)
class Potential:
    """U(x) of one candidate.

    Args:
        value: In ``[0, 1]``, higher is better; the lower bound over what is unknown where ``complete`` is False.
        complete: Whether every weighted score was known.
        missing: Names of the weighted scorers whose score is missing, in alphabetical order.

    Raises:
        IllegalSearchMove: ``value`` is NaN or outside ``[0, 1]``, or ``complete`` and ``missing`` contradict.
    """

    value: float
    complete: bool = True
    missing: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0.0 <= self.value <= 1.0:  # NaN fails this too
            raise IllegalSearchMove(f"potential is {self.value}, not in [0, 1]")
        if self.complete == bool(self.missing):
            raise IllegalSearchMove("a potential is complete exactly if no score is missing")


def potential(card: ScoreCard, weights: Weights) -> Potential:
    """Give U(x) = sum of w_j v_j with the weights normalised to sum 1.

    Scores without a weight are ignored. A missing score counts as 0, the least it can be, and is flagged.

    Args:
        card: The candidate's scores; for every weighted scorer a value or a reason why it is missing.
        weights: What each scorer counts for.

    Raises:
        IllegalSearchMove: The card says nothing at all of a weighted scorer.
    """
    normalised = weights.normalised
    if unknown := [name for name in normalised if name not in card.values and name not in card.missing]:
        raise IllegalSearchMove(f"neither scored nor missing: {', '.join(unknown)}")
    missing = tuple(name for name in normalised if name in card.missing)
    value = math.fsum(weight * card.values[name] for name, weight in normalised.items() if name in card.values)
    return Potential(min(value, 1.0), complete=not missing, missing=missing)  # rounding may overshoot 1
