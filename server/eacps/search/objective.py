"""What is searched for: how the scores of a candidate become its potential, and candidates an order."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eacps.errors import FieldViolation, IllegalSearchMove, InvalidSearchSpec
from eacps.search.potential import Potential, ScoreCard, Weights


class Scalarization(StrEnum):
    """How several scores become one number."""

    WEIGHTED_SUM = "weighted_sum"
    GEOMETRIC_MEAN = "geometric_mean"  # product of v^w: no score buys back another that is near 0
    RANK_SUM = "rank_sum"  # weighted mean of the scorers' ranks among all candidates: free of their scales


class MissingPolicy(StrEnum):
    """What becomes of a candidate that lacks a weighted score."""

    LOWER_BOUND = "lower_bound"  # ranked on the least its potential can be, and flagged
    DROP = "drop"  # not ranked, and never a parent


@dataclass(frozen=True)
class Objective:
    """What the search climbs.

    Args:
        weights: What each scorer counts for. Held-out scorers have none.
        floors: Least calibrated score by weighted scorer's name, in ``(0, 1]``. A candidate below one is infeasible.
        method: How scores are put together.
        held_out: Scorers that are reported and never searched; their weight is 0 or absent.
        missing: What becomes of candidates that lack a weighted score.

    Raises:
        InvalidSearchSpec: Names every invalid field.
    """

    weights: Weights
    floors: Mapping[str, float] = field(default_factory=dict)
    method: Scalarization = Scalarization.WEIGHTED_SUM
    held_out: frozenset[str] = frozenset()
    missing: MissingPolicy = MissingPolicy.LOWER_BOUND

    def __post_init__(self) -> None:
        normalized = self.weights.normalized
        found = [
            FieldViolation(f"weights.{name}", "is held out and cannot have a weight")
            for name in sorted(self.held_out & normalized.keys())
        ]
        for name, floor in self.floors.items():
            if not 0.0 < floor <= 1.0:  # NaN fails this too
                found.append(FieldViolation(f"floors.{name}", f"is {floor}, not in (0, 1]"))
            if name not in normalized:
                found.append(FieldViolation(f"floors.{name}", "is of a scorer without a weight"))
        if found:
            raise InvalidSearchSpec(found)

    def potential(self, card: ScoreCard) -> Potential:
        """Return U(x) of a candidate; for a rank sum, which needs the others, the weighted sum in its place.

        A missing score counts as 0, the least it can be, and is flagged.

        Raises:
            IllegalSearchMove: The card says nothing at all of a weighted scorer.
        """
        normalized = self.weights.normalized
        if unknown := [name for name in normalized if name not in card.values and name not in card.missing]:
            raise IllegalSearchMove(f"neither scored nor missing: {', '.join(unknown)}")
        known = {name: card.values.get(name, 0.0) for name in normalized}
        missing = tuple(name for name in normalized if name in card.missing)
        gaps = (floor - known[name] for name, floor in self.floors.items())
        return Potential(
            value=min(self._scalar(normalized, known), 1.0),  # rounding may overshoot 1
            complete=not missing,
            missing=missing,
            shortfall=max(0.0, *gaps, 0.0),
            scores={name: value for name, value in known.items() if name not in card.missing},
        )

    def utilities(self, potentials: Sequence[Potential]) -> NDArray[np.float64]:
        """Return each candidate's value on one scale, ``[N]``, higher is better.

        Feasible candidates have the method's value, in ``[0, 1]``; infeasible ones minus their shortfall, below 0.
        """
        values = np.array([one.value for one in potentials], np.float64)
        if self.method is Scalarization.RANK_SUM and potentials:
            values = self._rank_sums(potentials)
        shortfalls = np.array([one.shortfall for one in potentials], np.float64)
        return np.where(shortfalls > 0.0, -shortfalls, values)

    def order(self, potentials: Sequence[Potential]) -> list[int]:
        """Return the indices of candidates, best first; ties stay in the order given."""
        return [int(index) for index in np.argsort(-self.utilities(potentials), kind="stable")]

    def takes(self, potential: Potential) -> bool:
        """Whether the policy on missing scores lets a candidate be ranked."""
        return potential.complete or self.missing is MissingPolicy.LOWER_BOUND

    def _scalar(self, weights: Mapping[str, float], known: Mapping[str, float]) -> float:
        if self.method is Scalarization.GEOMETRIC_MEAN:
            return float(math.prod(known[name] ** weight for name, weight in weights.items()))
        return math.fsum(weight * known[name] for name, weight in weights.items())

    def _rank_sums(self, potentials: Sequence[Potential]) -> NDArray[np.float64]:
        """Weighted mean over scorers of the share of candidates that are no better, ties counted half."""
        total = np.zeros(len(potentials))
        for name, weight in self.weights.normalized.items():
            values = np.array([one.scores.get(name, 0.0) for one in potentials])
            ordered = np.sort(values)
            below = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
            total += weight * below / (2 * len(values))
        return total

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able form."""
        return {
            "weights": dict(self.weights.raw),
            "floors": dict(self.floors),
            "method": self.method.value,
            "held_out": sorted(self.held_out),
            "missing": self.missing.value,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Objective":
        """Restore an objective from ``to_dict``'s form.

        Raises:
            InvalidSearchSpec: A value is out of range.
            KeyError, TypeError, ValueError: ``data`` has another form.
        """
        return cls(
            weights=Weights(data["weights"]),
            floors=data["floors"],
            method=Scalarization(data["method"]),
            held_out=frozenset(data["held_out"]),
            missing=MissingPolicy(data["missing"]),
        )


def pareto_front(potentials: Sequence[Potential]) -> tuple[int, ...]:
    """Return the indices of the candidates that no other one dominates, in their order.

    A candidate dominates another if no score of it is worse and one is better; a missing score counts as 0. Infeasible
    candidates are left out where there are feasible ones.
    """
    names = sorted({name for one in potentials for name in one.scores})
    feasible = [index for index, one in enumerate(potentials) if one.feasible]
    indices = feasible or list(range(len(potentials)))
    table = np.array([[potentials[index].scores.get(name, 0.0) for name in names] for index in indices])
    return tuple(
        index
        for index, row in zip(indices, table, strict=True)
        if not ((table >= row).all(axis=1) & (table > row).any(axis=1)).any()
    )


def contested(utilities: Sequence[float], keep: int, *, most: int) -> tuple[int, ...]:
    """Name the candidates nearest to the boundary between those selected and the others.

    A second score of a stochastic scorer is worth its call only there, where it may change who is selected.

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
    return tuple(sorted(int(index) for index in near))
