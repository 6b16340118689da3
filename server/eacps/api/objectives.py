"""Converts the scorers and the budget of a request: what counts, and when to stop. Violations name its fields."""

import math
from collections.abc import Mapping

from eacps.api.violations import Violations
from eacps.enums import MISSING_SCORES, SCALARIZATION
from eacps.limits import MAX_SCORERS
from eacps.search.budget import Budget
from eacps.search.objective import MissingPolicy, Objective, Scalarization
from eacps.search.potential import Weights
from eacps.v1 import search_service_pb2 as pb


def objective_of(
    violations: Violations,
    request: pb.RunSearchRequest,
    offered: frozenset[str],
    default_weights: Mapping[str, float],
    default_held_out: frozenset[str],
) -> Objective | None:
    """Convert what counts; return None if a field is invalid.

    Args:
        violations: Collects them.
        request: The request.
        offered: Names of all scorers, including those of the questions in the request.
        default_weights: Weights used if the request has none above 0.
        default_held_out: Scorers that are reported too, unless the request names them.
    """
    before = len(violations.found)
    method = violations.choice(
        request, "scalarization", SCALARIZATION, Scalarization, default=Scalarization.WEIGHTED_SUM
    )
    missing = violations.choice(
        request, "missing_scores", MISSING_SCORES, MissingPolicy, default=MissingPolicy.LOWER_BOUND
    )
    weights = _weights(violations, request, offered, default_weights)
    if weights is None or len(violations.found) > before:
        return None
    held_out = {scorer.name for scorer in request.scorers if scorer.held_out}
    named = {scorer.name for scorer in request.scorers}
    return Objective(
        weights=weights,
        floors={scorer.name: scorer.floor for scorer in request.scorers if scorer.HasField("floor")},
        method=method,
        held_out=frozenset(held_out | (default_held_out - named)),
        missing=missing,
    )


def _weights(
    violations: Violations, request: pb.RunSearchRequest, offered: frozenset[str], default_weights: Mapping[str, float]
) -> Weights | None:
    """Return the weights of the request, or the default ones if it has none above 0."""
    if len(request.scorers) > MAX_SCORERS:
        violations.add_limit("scorers", f"are {len(request.scorers)}; at most {MAX_SCORERS} are accepted")
        return None
    before, given = len(violations.found), {scorer.name: scorer.weight for scorer in request.scorers}
    held_out = {scorer.name for scorer in request.scorers if scorer.held_out}
    by_default = {name: weight for name, weight in default_weights.items() if name not in held_out}
    raw = given if any(weight > 0 for weight in given.values()) else {**given, **by_default}
    seen: set[str] = set()
    for index, scorer in enumerate(request.scorers):
        _check_scorer(
            violations, f"scorers[{index}]", scorer, offered, weight=raw[scorer.name], named=scorer.name in seen
        )
        seen.add(scorer.name)
    if len(violations.found) > before:
        return None
    if not any(weight > 0 for weight in raw.values()):
        violations.add("scorers", "have no weight above 0")
        return None
    return Weights(raw)


def _check_scorer(
    violations: Violations, path: str, scorer: pb.ScorerSettings, offered: frozenset[str], *, weight: float, named: bool
) -> None:
    """Check one scorer, given its weight after defaults."""
    if scorer.name not in offered:
        known = ", ".join(sorted(offered))
        violations.add(f"{path}.name", f"{scorer.name[:40]!r} is not offered; known scorers: {known}")
    elif named:
        violations.add(f"{path}.name", f"{scorer.name!r} is named twice")
    if not (math.isfinite(scorer.weight) and scorer.weight >= 0):
        violations.add(f"{path}.weight", f"is {scorer.weight}, not a finite number of at least 0")
    if scorer.held_out and scorer.weight > 0:
        violations.add(f"{path}.weight", "is above 0, though the scorer is held out")
    if scorer.HasField("floor"):
        if not 0.0 < scorer.floor <= 1.0:  # NaN fails this too
            violations.add(f"{path}.floor", f"is {scorer.floor:g}, not in (0, 1]")
        elif not weight > 0:
            violations.add(f"{path}.floor", "needs a weight above 0")


def budget_of(violations: Violations, request: pb.RunSearchRequest) -> Budget:
    """Convert when to stop."""
    budget = request.budget
    return Budget(
        nfe=violations.given_integer(budget, "budget.denoiser_evaluations"),
        pictures=violations.given_integer(budget, "budget.pictures"),
        vlm_calls=violations.given_integer(budget, "budget.vlm_calls"),
        wall_time_s=_wall_time_s(violations, budget),
        target_potential=violations.given(budget, "budget.target_potential"),
        min_gain_per_trajectory=violations.given(budget, "budget.min_gain_per_trajectory"),
    )


def _wall_time_s(violations: Violations, budget: pb.Budget) -> float | None:
    if not budget.HasField("wall_time"):
        return None
    wall_time, path = budget.wall_time, "budget.wall_time"
    try:
        wall_time.ToJsonString()  # checks the ranges of seconds and nanoseconds, and that their signs agree
    except ValueError:
        violations.add(path, f"is {wall_time.seconds} s and {wall_time.nanos} ns, which is no duration")
        return None
    seconds = wall_time.ToTimedelta().total_seconds()
    if not seconds > 0:
        violations.add(path, f"is {seconds:g} s, not above 0")
        return None
    return seconds
