"""From a request's settings to what is searched, how, and within which bounds. Faults name the request's fields."""

import math
from collections.abc import Mapping

from eacps.api.faults import Faults
from eacps.errors import InvalidSearchSpec
from eacps.search.budget import Budget
from eacps.search.diversity import LowDiversityPolicy
from eacps.search.objective import MissingPolicy, Objective, Scalarisation
from eacps.search.potential import Weights
from eacps.search.pruning import Pruning, PruningMode
from eacps.search.spec import (
    DEFAULT_ADAPTIVE_CANDIDATES,
    DEFAULT_ADAPTIVE_ROUNDS,
    DEFAULT_ANGLE_RAD,
    DEFAULT_CANDIDATES,
    DEFAULT_CHILDREN,
    DEFAULT_DECAY,
    DEFAULT_FRESH_SHARE,
    DEFAULT_OFFSET_RADIUS,
    DEFAULT_PARENTS,
    DEFAULT_ROUNDS,
    MAX_CANDIDATES,
    MIN_ANGLE_RAD,
    NO_PRUNING,
    AdaptiveSpec,
    BestOfNSpec,
    EacpsSpec,
    LocalMove,
    SearchSpec,
    SeedOffset,
    SphericalMove,
)
from eacps.v1 import search_service_pb2 as pb

MAX_SCORERS = 16
DEFAULT_SCORE_REPEATS = 3
MAX_SCORE_REPEATS = 9
_MAX_BUDGET = 2**32 - 1

# Fields that only the fixed strategy reads: a request that gives one, and no strategy, means that one.
_FIXED_FIELDS = (
    "global_candidates",
    "parents",
    "children_per_parent",
    "local_rounds",
    "angle",
    "angle_decay",
    "seed_radius",
)
# Where the search core's own checks point, in terms of the request.
_SPEC_FIELDS = {
    "seed": "random_seed",
    "candidates": "global_candidates",
    "rounds": "local_rounds",
    "local.angle": "angle",
    "local.decay": "angle_decay",
    "local.radius": "seed_radius",
}
_PRUNING_MODES = {
    pb.PRUNING_MODE_AUTO: PruningMode.AUTO,
    pb.PRUNING_MODE_OFF: PruningMode.OFF,
    pb.PRUNING_MODE_FIXED: PruningMode.FIXED,
}
_LOW_DIVERSITY = {
    pb.LOW_DIVERSITY_REPORT: LowDiversityPolicy.REPORT,
    pb.LOW_DIVERSITY_WIDEN: LowDiversityPolicy.WIDEN,
    pb.LOW_DIVERSITY_STOP: LowDiversityPolicy.STOP,
}
_SCALARISATIONS = {
    pb.SCALARISATION_UNSPECIFIED: Scalarisation.WEIGHTED_SUM,
    pb.SCALARISATION_WEIGHTED_SUM: Scalarisation.WEIGHTED_SUM,
    pb.SCALARISATION_GEOMETRIC_MEAN: Scalarisation.GEOMETRIC_MEAN,
    pb.SCALARISATION_RANK_SUM: Scalarisation.RANK_SUM,
}
_MISSING = {
    pb.MISSING_SCORES_UNSPECIFIED: MissingPolicy.LOWER_BOUND,
    pb.MISSING_SCORES_LOWER_BOUND: MissingPolicy.LOWER_BOUND,
    pb.MISSING_SCORES_DROP: MissingPolicy.DROP,
}


def strategy_of(search: pb.SearchSettings) -> int:
    """Give the strategy that the settings mean."""
    if search.strategy != pb.STRATEGY_UNSPECIFIED:
        return search.strategy
    fixed = any(search.HasField(name) for name in _FIXED_FIELDS) or search.local_move != pb.LOCAL_MOVE_UNSPECIFIED
    return pb.STRATEGY_EACPS if fixed else pb.STRATEGY_EACPS_ADAPTIVE


def spec_of(faults: Faults, search: pb.SearchSettings, drawn_seed: int) -> SearchSpec | None:
    """Read how noise is chosen; None where something is at fault.

    Args:
        faults: Told what is.
        search: The settings.
        drawn_seed: Takes the place of ``random_seed`` where there is none.
    """
    before = len(faults.found)
    if search.strategy not in pb.Strategy.values():
        faults.add("search.strategy", f"{int(search.strategy)} is not known")
    adaptive = strategy_of(search) == pb.STRATEGY_EACPS_ADAPTIVE
    pruning = _pruning(faults, search.pruning)
    low = _low_diversity(faults, search, LowDiversityPolicy.WIDEN if adaptive else LowDiversityPolicy.REPORT)
    seed = search.random_seed if search.HasField("random_seed") else drawn_seed
    first = search.first_seed if search.HasField("first_seed") else None
    # Both are read whatever the strategy: what is out of range is at fault even where it is not used.
    fixed = _fixed_spec(faults, search, seed, first, pruning, low)
    moving = _adaptive_spec(faults, search, seed, first, pruning, low)
    if len(faults.found) > before:
        return None
    return moving if adaptive else fixed


def _fixed_spec(
    faults: Faults,
    search: pb.SearchSettings,
    seed: int,
    first: int | None,
    pruning: Pruning,
    low: LowDiversityPolicy,
) -> SearchSpec | None:
    before = len(faults.found)
    candidates = faults.count(search, "search.global_candidates", 1, 512, default=DEFAULT_CANDIDATES)
    parents = faults.count(search, "search.parents", 1, 64, default=DEFAULT_PARENTS)
    children = faults.count(search, "search.children_per_parent", 1, 64, default=DEFAULT_CHILDREN)
    rounds = faults.count(search, "search.local_rounds", 0, 16, default=DEFAULT_ROUNDS)
    local = _local_move(faults, search)
    if len(faults.found) > before:
        return None
    try:
        if search.strategy == pb.STRATEGY_BEST_OF_N:
            return BestOfNSpec(seed, candidates, first, pruning, low)
        # Defaults never contradict what the caller did say.
        parents = parents if search.HasField("parents") else min(parents, candidates)
        return EacpsSpec(seed, candidates, parents, children, rounds, local, first, pruning, low)
    except InvalidSearchSpec as exc:
        for violation in exc.violations:
            faults.add(f"search.{_SPEC_FIELDS.get(violation.field, violation.field)}", violation.description)
        return None


def _adaptive_spec(
    faults: Faults,
    search: pb.SearchSettings,
    seed: int,
    first: int | None,
    pruning: Pruning,
    low: LowDiversityPolicy,
) -> AdaptiveSpec:
    return AdaptiveSpec(
        seed=seed,
        candidates=faults.count(search, "search.trajectories", 1, MAX_CANDIDATES, default=DEFAULT_ADAPTIVE_CANDIDATES),
        rounds=faults.count(search, "search.adaptive_rounds", 1, 64, default=DEFAULT_ADAPTIVE_ROUNDS),
        fresh_share=faults.real(search, "search.fresh_share", 0.0, 1.0, default=DEFAULT_FRESH_SHARE),
        crossover=search.crossover if search.HasField("crossover") else True,
        first_seed=first,
        pruning=pruning,
        low_diversity=low,
    )


def _local_move(faults: Faults, search: pb.SearchSettings) -> LocalMove:
    if search.local_move not in pb.LocalMove.values():
        faults.add("search.local_move", f"{int(search.local_move)} is not known")
    angle = faults.real(search, "search.angle", MIN_ANGLE_RAD, math.pi / 2, default=DEFAULT_ANGLE_RAD)
    decay = faults.real(search, "search.angle_decay", 0.0, 1.0, default=DEFAULT_DECAY, above=True)
    radius = faults.count(search, "search.seed_radius", 1, 2**31 - 1, default=DEFAULT_OFFSET_RADIUS)
    if search.local_move != pb.LOCAL_MOVE_SEED_OFFSET:
        return SphericalMove(angle, decay)
    return SeedOffset(radius)


def _pruning(faults: Faults, settings: pb.PruningSettings) -> Pruning:
    rungs = tuple((rung.steps_share, rung.kept_share) for rung in settings.rungs)
    if settings.mode == pb.PRUNING_MODE_UNSPECIFIED and not rungs:
        return NO_PRUNING
    mode = _PRUNING_MODES.get(settings.mode, NO_PRUNING.mode)
    if settings.mode not in pb.PruningMode.values():
        faults.add("search.pruning.mode", f"{int(settings.mode)} is not known")
        return NO_PRUNING
    try:
        return Pruning(mode, rungs)
    except InvalidSearchSpec as exc:
        for violation in exc.violations:
            faults.add(f"search.{violation.field}", violation.description)
        return NO_PRUNING


def _low_diversity(faults: Faults, search: pb.SearchSettings, default: LowDiversityPolicy) -> LowDiversityPolicy:
    if search.low_diversity not in pb.LowDiversity.values():
        faults.add("search.low_diversity", f"{int(search.low_diversity)} is not known")
    return _LOW_DIVERSITY.get(search.low_diversity, default)


def objective_of(
    faults: Faults,
    request: pb.RunSearchRequest,
    offered: frozenset[str],
    default_weights: Mapping[str, float],
    default_held_out: frozenset[str],
) -> Objective | None:
    """Read what counts; None where something is at fault.

    Args:
        faults: Told what is.
        request: As it came.
        offered: Names of the scorers that there are, those of the request's own questions included.
        default_weights: Where the request names no scorer.
        default_held_out: Likewise.
    """
    before = len(faults.found)
    if request.scalarisation not in _SCALARISATIONS:
        faults.add("scalarisation", f"{int(request.scalarisation)} is not known")
    if request.missing_scores not in _MISSING:
        faults.add("missing_scores", f"{int(request.missing_scores)} is not known")
    weights = _weights(faults, request, offered, default_weights)
    if weights is None or len(faults.found) > before:
        return None
    held_out = frozenset(scorer.name for scorer in request.scorers if scorer.held_out)
    return Objective(
        weights=weights,
        floors={scorer.name: scorer.floor for scorer in request.scorers if scorer.HasField("floor")},
        method=_SCALARISATIONS[request.scalarisation],
        held_out=held_out if request.scorers else default_held_out,
        missing=_MISSING[request.missing_scores],
    )


def _weights(
    faults: Faults, request: pb.RunSearchRequest, offered: frozenset[str], default_weights: Mapping[str, float]
) -> Weights | None:
    if not request.scorers:
        return Weights(dict(default_weights))
    if len(request.scorers) > MAX_SCORERS:
        faults.add("scorers", f"are {len(request.scorers)}; at most {MAX_SCORERS} are accepted")
        return None
    before, raw = len(faults.found), {}
    for index, scorer in enumerate(request.scorers):
        _check_scorer(faults, f"scorers[{index}]", scorer, offered, named=scorer.name in raw)
        raw[scorer.name] = scorer.weight
    if len(faults.found) > before:
        return None
    if not any(weight > 0 for weight in raw.values()):
        faults.add("scorers", "have no weight above 0")
        return None
    return Weights(raw)


def _check_scorer(
    faults: Faults, path: str, scorer: pb.ScorerSettings, offered: frozenset[str], *, named: bool
) -> None:
    if scorer.name not in offered:
        there_are = ", ".join(sorted(offered))
        faults.add(f"{path}.name", f"{scorer.name[:40]!r} is not offered; there are {there_are}")
    elif named:
        faults.add(f"{path}.name", f"{scorer.name!r} is named twice")
    if not (math.isfinite(scorer.weight) and scorer.weight >= 0):
        faults.add(f"{path}.weight", f"is {scorer.weight}, not a finite number of at least 0")
    if scorer.held_out and scorer.weight > 0:
        faults.add(f"{path}.weight", "is above 0, though the scorer is held out")
    if scorer.HasField("floor"):
        if not 0.0 < scorer.floor <= 1.0:  # NaN fails this too
            faults.add(f"{path}.floor", f"is {scorer.floor:g}, not in (0, 1]")
        elif not scorer.weight > 0:
            faults.add(f"{path}.floor", "is of a scorer without a weight")


def budget_of(faults: Faults, request: pb.RunSearchRequest) -> Budget:
    """Read when to stop."""
    budget = request.budget
    wall_time_s = None
    if budget.HasField("wall_time"):
        wall_time_s = budget.wall_time.ToTimedelta().total_seconds()
        if not wall_time_s > 0:
            faults.add("budget.wall_time", f"is {wall_time_s:g} s, not above 0")
            wall_time_s = None
    target = faults.real(budget, "budget.target_potential", 0.0, 1.0, default=0.0, above=True)
    return Budget(
        nfe=faults.count(budget, "budget.denoiser_evaluations", 1, 2**63 - 1, default=0) or None,
        pictures=faults.count(budget, "budget.pictures", 1, _MAX_BUDGET, default=0) or None,
        vlm_calls=faults.count(budget, "budget.vlm_calls", 1, _MAX_BUDGET, default=0) or None,
        wall_time_s=wall_time_s,
        target_potential=target or None,
    )
