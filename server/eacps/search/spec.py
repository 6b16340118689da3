"""Search settings: plain values, validated as a whole, so that a caller learns all violations at once.

A search is a function of its spec, the number of steps and the reported outcomes: the same three give the same
candidates.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Protocol

from eacps.errors import FieldViolation, InvalidSearchSpec
from eacps.search.defaults import (
    DEFAULT_ADAPTIVE_CANDIDATES,
    DEFAULT_ANGLE_RAD,
    DEFAULT_CANDIDATES,
    DEFAULT_CHILDREN,
    DEFAULT_CROSSOVER,
    DEFAULT_DECAY,
    DEFAULT_FRESH_SHARE,
    DEFAULT_OFFSET_RADIUS,
    DEFAULT_PARENTS,
    DEFAULT_RESTART_TRAJECTORIES,
    DEFAULT_RESTARTS,
    DEFAULT_ROUNDS,
    MAX_CANDIDATES,
    MAX_START_POINTS,
    MIN_ANGLE_RAD,
    adaptive_rounds,
)
from eacps.search.diversity import LowDiversityPolicy
from eacps.search.known import KnownPoint
from eacps.search.recipe import SEED_BOUND, seed_error

SEARCH_SEED_BOUND = 2**64
MAX_AVOIDED_SEEDS = 4096
MIN_FIRST_ROUND = 4  # fewer fresh seeds say nothing of mean and spread


@dataclass(frozen=True, slots=True)
class SphericalMove:
    """Turn a parent's noise by an angle toward fresh noise.

    Args:
        angle: Radius of the move in the first local round, in radians, in ``[0.001, pi/2]``.
        decay: Factor on the angle from each local round to the next, in ``(0, 1]``; 1 keeps it. It must leave an angle
            of at least 0.001 in the last round.
    """

    angle: float = DEFAULT_ANGLE_RAD
    decay: float = DEFAULT_DECAY

    def angle_in_round(self, number: int) -> float:
        """Return the angle of local round ``number``, counted from 1."""
        return self.angle * self.decay ** (number - 1)

    def violations(self) -> list[FieldViolation]:
        """List every invalid field, named ``local.<field>``."""
        found = []
        if not MIN_ANGLE_RAD <= self.angle <= math.pi / 2:
            found.append(FieldViolation("local.angle", f"is {self.angle}, not in [{MIN_ANGLE_RAD}, pi/2]"))
        if not 0.0 < self.decay <= 1.0:
            found.append(FieldViolation("local.decay", f"is {self.decay}, not in (0, 1]"))
        return found


@dataclass(frozen=True, slots=True)
class SeedOffset:
    """Add a small integer to a parent's seed: ``s_best + delta``, modulo 2**32, never a seed already used.

    Where a parent has no unused seed left within the radius, the child becomes a fresh seed, and its move says so.

    Noises of neighboring seeds are independent, so this is more random sampling under another name; it is here because
    the algorithm is written so.

    Args:
        radius: Largest ``|delta|``, in ``[1, 2**31)``; delta is uniform and not 0.
    """

    radius: int = DEFAULT_OFFSET_RADIUS

    def violations(self) -> list[FieldViolation]:
        """List every invalid field, named ``local.<field>``."""
        return _count_violations("local.radius", self.radius, 1, SEED_BOUND // 2 - 1)


LocalMove = SphericalMove | SeedOffset


@dataclass(frozen=True, slots=True)
class BestOfNSpec:
    """Settings of best-of-N: independent seeds, the best one wins.

    Args:
        seed: Seed of the search itself, in ``[0, 2**64)``; makes it reproducible.
        candidates: N, in ``[1, 4096]``.
        first_seed: Seed of the first candidate's noise, in ``[0, 2**32)``; None takes the low 32 bits of ``seed``. The
            first candidate is thus the picture that a plain user gets for ``manual_seed(seed)``, and "gain over the
            first seed" means something.
        low_diversity: What becomes of a search whose seeds hardly differ.
        avoided_seeds: Seeds that no candidate has, each in ``[0, 2**32)``; a first seed among them is replaced by the
            next one that is not.

    Raises:
        InvalidSearchSpec: Names every invalid field.
    """

    strategy: ClassVar[str] = "best_of_n"

    seed: int
    candidates: int = DEFAULT_CANDIDATES
    first_seed: int | None = None
    low_diversity: LowDiversityPolicy = LowDiversityPolicy.REPORT
    avoided_seeds: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        found = _seed_violations(self.seed, self.first_seed, self.avoided_seeds)
        found += _count_violations("candidates", self.candidates, 1, MAX_CANDIDATES)
        if found:
            raise InvalidSearchSpec(found)

    @property
    def total_candidates(self) -> int:
        """What the search costs, in whole trajectories: the number of candidates."""
        return self.candidates

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able form."""
        return {**asdict(self), **_shared(self)}


@dataclass(frozen=True, slots=True)
class EacpsSpec:
    """Settings of EACPS: global exploration, then local rounds around the best so far.

    Args:
        seed: Seed of the search itself, in ``[0, 2**64)``; makes it reproducible.
        global_candidates: K_global, random seeds in round 0, at least 1.
        parents: M, candidates that get children in each local round, in ``[1, global_candidates]``.
        children_per_parent: K_local, at least 1.
        rounds: Local rounds, at least 0. All candidates together are at most 4096.
        local: The move that makes a child of a parent.
        first_seed, low_diversity, avoided_seeds: As for `BestOfNSpec`.

    Raises:
        InvalidSearchSpec: Names every invalid field.
    """

    strategy: ClassVar[str] = "eacps"

    seed: int
    global_candidates: int = DEFAULT_CANDIDATES
    parents: int = DEFAULT_PARENTS
    children_per_parent: int = DEFAULT_CHILDREN
    rounds: int = DEFAULT_ROUNDS
    local: LocalMove = SphericalMove()
    first_seed: int | None = None
    low_diversity: LowDiversityPolicy = LowDiversityPolicy.REPORT
    avoided_seeds: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        found = _seed_violations(self.seed, self.first_seed, self.avoided_seeds)
        counts = _count_violations("global_candidates", self.global_candidates, 1, MAX_CANDIDATES)
        counts += _count_violations("parents", self.parents, 1, MAX_CANDIDATES)
        counts += _count_violations("children_per_parent", self.children_per_parent, 1, MAX_CANDIDATES)
        counts += _count_violations("rounds", self.rounds, 0, MAX_CANDIDATES)
        found += counts + self.local.violations()
        if not counts:
            found += self._contradictions()
        if found:
            raise InvalidSearchSpec(found)

    @property
    def total_candidates(self) -> int:
        """What the search costs, in whole trajectories: the number of candidates."""
        return self.global_candidates + self.rounds * self.parents * self.children_per_parent

    def _contradictions(self) -> list[FieldViolation]:
        found, total = [], self.total_candidates
        if self.parents > self.global_candidates:
            found.append(FieldViolation("parents", f"is {self.parents}, above the {self.global_candidates} candidates"))
        if total > MAX_CANDIDATES:
            found.append(FieldViolation("rounds", f"makes {total} candidates in all, above {MAX_CANDIDATES}"))
        if isinstance(self.local, SphericalMove) and not self.local.violations():
            last = self.local.angle_in_round(max(1, self.rounds))
            if last < MIN_ANGLE_RAD:
                text = f"leaves an angle of {last:.2g} in round {self.rounds}, below {MIN_ANGLE_RAD}"
                found.append(FieldViolation("local.decay", text))
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able form."""
        move = "spherical" if isinstance(self.local, SphericalMove) else "seed_offset"
        return {**asdict(self), **_shared(self), "local": {"move": move, **asdict(self.local)}}


@dataclass(frozen=True, slots=True)
class AdaptiveSpec:
    """Settings of adaptive EACPS: rounds whose moves a model of this search's own landscape chooses.

    Args:
        seed: Seed of the search itself, in ``[0, 2**64)``; makes it reproducible.
        candidates: What the search may cost, in whole trajectories, in ``[1, 4096]``.
        first_share: Share of them that explores in round 0, in ``(0, 1]``.
        rounds: Rounds after it, over which the others are spread evenly, at least 1; fewer where there are too few.
            None: as many as `eacps.search.defaults.adaptive_rounds` says.
        fresh_share: Least share of fresh seeds in the trajectories that are spent up to any round, the first one
            included, in ``[0, 1]``; rounded down to whole seeds. A share below ``first_share`` asks for none in later
            rounds, unless ``start`` takes their places in the first.
        parents: Most candidates that get children in a round, at least 1.
        crossover: Whether recipes may be combined.
        restarts: Whether finished pictures may be noised again and denoised from there, at a part of the price.
        restart_trajectories: A round may restart pictures if at most so many trajectories are left before it, and the
            last round may unless it is 0; at least 0.
        first_seed, low_diversity, avoided_seeds: As for `BestOfNSpec`.
        start: Points to begin from, at most 16 and fewer than ``candidates``; each becomes a candidate of round 0.
        known: Further points with scores, which say how good those are; they become no candidates.

    Raises:
        InvalidSearchSpec: Names every invalid field.
    """

    strategy: ClassVar[str] = "eacps_adaptive"

    seed: int
    candidates: int = DEFAULT_ADAPTIVE_CANDIDATES
    first_share: float = 0.25
    rounds: int | None = None
    fresh_share: float = DEFAULT_FRESH_SHARE
    parents: int = 6
    crossover: bool = DEFAULT_CROSSOVER
    restarts: bool = DEFAULT_RESTARTS
    restart_trajectories: int = DEFAULT_RESTART_TRAJECTORIES
    first_seed: int | None = None
    low_diversity: LowDiversityPolicy = LowDiversityPolicy.WIDEN
    avoided_seeds: tuple[int, ...] = ()
    start: tuple[KnownPoint, ...] = ()
    known: tuple[KnownPoint, ...] = ()

    def __post_init__(self) -> None:
        found = _seed_violations(self.seed, self.first_seed, self.avoided_seeds)
        found += _count_violations("candidates", self.candidates, 1, MAX_CANDIDATES)
        if self.rounds is not None:
            found += _count_violations("rounds", self.rounds, 1, MAX_CANDIDATES)
        found += _count_violations("parents", self.parents, 1, MAX_CANDIDATES)
        found += _count_violations("restart_trajectories", self.restart_trajectories, 0, MAX_CANDIDATES)
        found += _start_violations(self.start, self.candidates, self.avoided_seeds)
        if not 0.0 < self.first_share <= 1.0:  # NaN fails this too
            found.append(FieldViolation("first_share", f"is {self.first_share}, not in (0, 1]"))
        if not 0.0 <= self.fresh_share <= 1.0:
            found.append(FieldViolation("fresh_share", f"is {self.fresh_share}, not in [0, 1]"))
        if found:
            raise InvalidSearchSpec(found)

    @property
    def total_candidates(self) -> int:
        """What the search costs, in whole trajectories."""
        return self.candidates

    @property
    def planned_rounds(self) -> int:
        """Rounds after the first one, as many as there are candidates for."""
        rounds = adaptive_rounds(self.candidates) if self.rounds is None else self.rounds
        return min(rounds, self.candidates - self._first_round())

    def trajectories_by_round(self, number: int) -> int:
        """Return what round ``number`` (0 explores) and all before it may cost together, in whole trajectories."""
        first = self._first_round()
        if number == 0:
            return first
        return first + (self.candidates - first) * number // self.planned_rounds

    def _first_round(self) -> int:
        first = max(MIN_FIRST_ROUND, 1 + len(self.start), round(self.first_share * self.candidates))
        return min(self.candidates, first)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able form."""
        return {
            **asdict(self),
            **_shared(self),
            "start": [point.to_dict() for point in self.start],
            "known": [point.to_dict() for point in self.known],
        }


SearchSpec = BestOfNSpec | EacpsSpec | AdaptiveSpec


def on_build(spec: SearchSpec, build: str) -> SearchSpec:
    """Return a spec whose start points have scores of this build of the checkpoint alone."""
    if not isinstance(spec, AdaptiveSpec):
        return spec
    start = tuple(point if point.build == build else replace(point, scores=None) for point in spec.start)
    return replace(spec, start=start, known=tuple(point for point in spec.known if point.build == build))


class Spec(Protocol):
    """What the settings of all strategies have, those of a study included."""

    @property
    def strategy(self) -> str:
        """Name of the strategy."""

    @property
    def seed(self) -> int:
        """Seed of the search itself."""

    @property
    def first_seed(self) -> int | None:
        """Seed of the first candidate's noise; None takes the low 32 bits of ``seed``."""

    @property
    def low_diversity(self) -> LowDiversityPolicy:
        """What becomes of a search whose seeds hardly differ."""

    @property
    def avoided_seeds(self) -> tuple[int, ...]:
        """Seeds that no candidate has."""

    @property
    def total_candidates(self) -> int:
        """What the search costs, in whole trajectories."""

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able form."""


def _shared(spec: SearchSpec) -> dict[str, Any]:
    return {
        "strategy": spec.strategy,
        "low_diversity": spec.low_diversity.value,
    }


def spec_from_dict(data: Mapping[str, Any]) -> SearchSpec:
    """Restore a spec from its ``to_dict`` form.

    Raises:
        InvalidSearchSpec: Unknown strategy, move or field, or a value out of range.
    """
    fields = dict(data)
    strategy = fields.pop("strategy", None)
    try:
        fields["low_diversity"] = LowDiversityPolicy(fields["low_diversity"])
        fields["avoided_seeds"] = tuple(fields["avoided_seeds"])
        if strategy == BestOfNSpec.strategy:
            return BestOfNSpec(**fields)
        if strategy == AdaptiveSpec.strategy:
            for name in ("start", "known"):
                fields[name] = tuple(KnownPoint.from_dict(point) for point in fields[name])
            return AdaptiveSpec(**fields)
        if strategy == EacpsSpec.strategy:
            return EacpsSpec(**{**fields, "local": _local_from_dict(fields["local"])})
    except (KeyError, TypeError, ValueError) as exc:
        raise InvalidSearchSpec([FieldViolation("spec", f"is malformed: {exc}")]) from exc
    raise InvalidSearchSpec([FieldViolation("strategy", f"{strategy!r} is not known")])


def _local_from_dict(data: Mapping[str, Any]) -> LocalMove:
    fields = dict(data)
    move = fields.pop("move", None)
    if move == "spherical":
        return SphericalMove(**fields)
    if move == "seed_offset":
        return SeedOffset(**fields)
    raise InvalidSearchSpec([FieldViolation("local.move", f"{move!r} is not known")])


def _seed_violations(seed: int, first_seed: int | None, avoided: Sequence[int]) -> list[FieldViolation]:
    found = _count_violations("seed", seed, 0, SEARCH_SEED_BOUND - 1)
    if first_seed is not None and (error := seed_error(first_seed)):
        found.append(FieldViolation("first_seed", error))
    found += [FieldViolation("avoided_seeds", error) for one in avoided if (error := seed_error(one))]
    if len(avoided) > MAX_AVOIDED_SEEDS:
        found.append(FieldViolation("avoided_seeds", f"are {len(avoided)}, more than {MAX_AVOIDED_SEEDS}"))
    return found


def _start_violations(start: Sequence[KnownPoint], candidates: int, avoided: Sequence[int]) -> list[FieldViolation]:
    found = []
    if len(start) > MAX_START_POINTS:
        found.append(FieldViolation("start", f"are {len(start)} points, more than {MAX_START_POINTS}"))
    elif start and len(start) >= candidates:
        found.append(
            FieldViolation("start", f"are {len(start)} points, which {candidates} candidates leave no room for")
        )
    for index, point in enumerate(start):
        if shared := sorted(set(point.recipe.seeds) & set(avoided)):
            found.append(FieldViolation(f"start[{index}]", f"holds seed {shared[0]}, which no candidate may have"))
    return found


def _count_violations(name: str, value: int, least: int, most: int) -> list[FieldViolation]:
    if isinstance(value, bool) or not isinstance(value, int):
        return [FieldViolation(name, f"{value!r} is not an int")]
    if not least <= value <= most:
        return [FieldViolation(name, f"is {value}, not in [{least}, {most}]")]
    return []
