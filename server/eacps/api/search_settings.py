"""Converts the search settings of a request to the spec of a strategy. Violations name the fields of the request."""

from collections.abc import Callable
from dataclasses import dataclass

from eacps.api.recipes import checked_recipe, recipe_of
from eacps.api.violations import Violations
from eacps.enums import LOCAL_MOVE, LOW_DIVERSITY, STRATEGY
from eacps.errors import InvalidSearchSpec
from eacps.search.defaults import (
    DEFAULT_ADAPTIVE_CANDIDATES,
    DEFAULT_CANDIDATES,
    DEFAULT_CROSSOVER,
    DEFAULT_PARENTS,
    DEFAULT_RESTARTS,
    adaptive_rounds,
)
from eacps.search.diversity import LowDiversityPolicy
from eacps.search.known import KnownPoint
from eacps.search.spec import (
    AdaptiveSpec,
    BestOfNSpec,
    EacpsSpec,
    LocalMove,
    SearchSpec,
    SeedOffset,
    SphericalMove,
)
from eacps.v1 import search_service_pb2 as pb

# Fields of a spec that are not called as those of the request.
_RENAMED = {
    "best_of_n": {"candidates": "trajectories"},
    "eacps": {
        "rounds": "local_rounds",
        "local.angle": "spherical.angle",
        "local.decay": "spherical.angle_decay",
        "local.radius": "seed_offset.radius",
    },
    "eacps_adaptive": {"candidates": "trajectories"},
}


_SHARED = ("start", "avoided_seeds")  # fields of the search settings themselves


@dataclass(frozen=True)
class _Common:
    """What all strategies share."""

    seed: int
    first_seed: int | None
    low_diversity: LowDiversityPolicy
    avoided_seeds: tuple[int, ...]


def spec_of(violations: Violations, search: pb.SearchSettings, drawn_seed: int) -> SearchSpec | None:
    """Convert the settings; return None if a field is invalid.

    Args:
        violations: Collects them.
        search: The settings.
        drawn_seed: Used if there is no ``random_seed``.
    """
    before, strategy = len(violations.found), STRATEGY.word_of(search)
    common = _Common(
        seed=search.random_seed if search.HasField("random_seed") else drawn_seed,
        first_seed=search.first_seed if search.HasField("first_seed") else None,
        low_diversity=violations.choice(
            search, "search.low_diversity", LOW_DIVERSITY, LowDiversityPolicy, default=low_diversity_of(search)
        ),
        avoided_seeds=tuple(search.avoided_seeds),
    )
    if search.start and strategy != AdaptiveSpec.strategy:
        violations.add("search.start", f"is not accepted by {strategy}")
    try:
        spec = _READERS[strategy](violations, search, common)
    except InvalidSearchSpec as exc:
        for violation in exc.violations:
            name = _RENAMED[strategy].get(violation.field, violation.field)
            path = name if name.startswith(_SHARED) else f"{strategy}.{name}"
            violations.add(f"search.{path}", violation.description)
        return None
    return None if len(violations.found) > before else spec


def low_diversity_of(search: pb.SearchSettings) -> LowDiversityPolicy:
    """Return the default policy of the strategy."""
    adaptive = STRATEGY.word_of(search) == AdaptiveSpec.strategy
    return LowDiversityPolicy.WIDEN if adaptive else LowDiversityPolicy.REPORT


def parents_of(settings: pb.EacpsSettings) -> int:
    """Return the number of parents. Its default never contradicts the number of candidates that the caller asks for."""
    if settings.HasField("parents"):
        return settings.parents
    candidates = settings.global_candidates if settings.HasField("global_candidates") else DEFAULT_CANDIDATES
    return min(DEFAULT_PARENTS, candidates)


def rounds_of(settings: pb.EacpsAdaptiveSettings) -> int:
    """Return the number of rounds after the first one; its default depends on the number of trajectories."""
    if settings.HasField("rounds"):
        return settings.rounds
    return adaptive_rounds(settings.trajectories if settings.HasField("trajectories") else DEFAULT_ADAPTIVE_CANDIDATES)


def _adaptive(violations: Violations, search: pb.SearchSettings, common: _Common) -> SearchSpec:
    settings, path = search.eacps_adaptive, "search.eacps_adaptive"
    candidates = violations.integer(settings, f"{path}.trajectories")
    rounds = violations.given_integer(settings, f"{path}.rounds")
    return AdaptiveSpec(
        candidates=candidates,
        rounds=adaptive_rounds(candidates) if rounds is None else rounds,
        fresh_share=violations.real(settings, f"{path}.fresh_share"),
        crossover=settings.crossover if settings.HasField("crossover") else DEFAULT_CROSSOVER,
        restarts=settings.restarts if settings.HasField("restarts") else DEFAULT_RESTARTS,
        start=_start(violations, search),
        known=_known(search),
        **vars(common),
    )


def _start(violations: Violations, search: pb.SearchSettings) -> tuple[KnownPoint, ...]:
    """Read the points to begin from; what is known of candidates has been filled in."""
    points = []
    for index, point in enumerate(search.start):
        path = f"search.start[{index}]"
        if point.WhichOneof("source") is None:
            violations.add(path, "is neither recipe nor candidate")
            continue
        recipe = point.recipe if point.HasField("recipe") else point.known.recipe
        if (noise := checked_recipe(violations, recipe, f"{path}.recipe")) is not None:
            points.append(KnownPoint(noise, dict(point.known.scores) or None, point.known.build))
    return tuple(points)


def _known(search: pb.SearchSettings) -> tuple[KnownPoint, ...]:
    """Read what the server has filled in of other candidates of the same searches; each counts once."""
    others = {recipe_of(other.recipe): other for point in search.start for other in point.known.others}
    return tuple(KnownPoint(noise, dict(other.scores), other.build) for noise, other in others.items())


def _eacps(violations: Violations, search: pb.SearchSettings, common: _Common) -> SearchSpec | None:
    before, settings, path = len(violations.found), search.eacps, "search.eacps"
    candidates = violations.integer(settings, f"{path}.global_candidates")
    violations.integer(settings, f"{path}.parents")
    children = violations.integer(settings, f"{path}.children_per_parent")
    rounds = violations.integer(settings, f"{path}.local_rounds")
    local = _local_move(violations, settings)
    if len(violations.found) > before:
        return None  # what contradicts a number out of range says nothing new
    return EacpsSpec(
        global_candidates=candidates,
        parents=parents_of(settings),
        children_per_parent=children,
        rounds=rounds,
        local=local,
        **vars(common),
    )


def _best_of_n(violations: Violations, search: pb.SearchSettings, common: _Common) -> SearchSpec:
    return BestOfNSpec(
        candidates=violations.integer(search.best_of_n, "search.best_of_n.trajectories"),
        **vars(common),
    )


def _local_move(violations: Violations, settings: pb.EacpsSettings) -> LocalMove:
    path = "search.eacps"
    if LOCAL_MOVE.word_of(settings) == "seed_offset":
        return SeedOffset(violations.integer(settings.seed_offset, f"{path}.seed_offset.radius"))
    return SphericalMove(
        violations.real(settings.spherical, f"{path}.spherical.angle"),
        violations.real(settings.spherical, f"{path}.spherical.angle_decay"),
    )


_READERS: dict[str, Callable[[Violations, pb.SearchSettings, _Common], SearchSpec | None]] = {
    AdaptiveSpec.strategy: _adaptive,
    EacpsSpec.strategy: _eacps,
    BestOfNSpec.strategy: _best_of_n,
}
