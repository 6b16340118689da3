"""Settings of the rivals, with the seeds and the cost that all strategies share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, NamedTuple

from eacps.errors import FieldViolation, InvalidSearchSpec
from eacps.search.diversity import LowDiversityPolicy


@dataclass(frozen=True)
class RivalSpec:
    """What all rivals have.

    Args:
        seed: Seed of the search; its low 32 bits are the first candidate's noise.
        candidates: What the search may cost, in whole trajectories, at least 1.
        rounds: Rounds over which the candidates are spread evenly, the first one included, at least 1; fewer where
            a round would have fewer than four candidates.

    Raises:
        InvalidSearchSpec: A count is below 1.
    """

    strategy: ClassVar[str] = ""

    seed: int
    candidates: int
    rounds: int = 4

    def __post_init__(self) -> None:
        found = [
            FieldViolation(name, f"is {getattr(self, name)}, below 1")
            for name in ("candidates", "rounds")
            if getattr(self, name) < 1
        ]
        if found:
            raise InvalidSearchSpec(found)

    @property
    def first_seed(self) -> int | None:
        """None: taken from ``seed``."""
        return None

    @property
    def avoided_seeds(self) -> tuple[int, ...]:
        """None: nothing of the pool was made from the scene."""
        return ()

    @property
    def low_diversity(self) -> LowDiversityPolicy:
        """Reported alone."""
        return LowDiversityPolicy.REPORT

    @property
    def total_candidates(self) -> int:
        """What the search costs, in whole trajectories."""
        return self.candidates

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able form."""
        return {"strategy": self.strategy, **asdict(self)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RivalSpec:
        """Restore from ``to_dict``'s form; raises TypeError on another."""
        return cls(**{name: value for name, value in data.items() if name != "strategy"})


@dataclass(frozen=True)
class TrustRegionSpec(RivalSpec):
    """See `studies.rivals.trust_region`. Defaults are the authors'.

    Args:
        regions_share: Trust regions of a round as a share of its candidates, in ``(0, 1]``.
        length: Of a region's side at first, where 1 is the standard deviation of a coordinate.
        factor: Of a region's length, above 1.
        tolerance: Successes or failures in a row after which the length changes, at least 1.
        least_length, most_length: Bounds of the length.
        least_share, most_share: Bounds of the share of coordinates that are displaced, in ``(0, 1]``.
    """

    strategy: ClassVar[str] = "rival_trust_region"

    rounds: int = 5
    regions_share: float = 0.75
    length: float = 0.8
    factor: float = 1.5
    tolerance: int = 3
    least_length: float = 0.05
    most_length: float = 2.4
    least_share: float = 0.1
    most_share: float = 0.9


@dataclass(frozen=True)
class ZenoSpec(RivalSpec):
    """See `studies.rivals.zeno`.

    Args:
        angle: Between the noise that is optimized and those tried around it, in radians.
        temperature: Of the weights, in standard deviations of a round's scores, above 0.
    """

    strategy: ClassVar[str] = "rival_zeno"

    rounds: int = 6
    angle: float = 0.7
    temperature: float = 0.5


@dataclass(frozen=True)
class CrossEntropySpec(RivalSpec):
    """See `studies.rivals.cross_entropy`. Defaults are those of the public code.

    Args:
        elite_share: Noises that the next distribution is fitted to, as a share of a round's number, in ``(0, 1]``; two
            at least.
    """

    strategy: ClassVar[str] = "rival_cross_entropy"

    rounds: int = 3
    elite_share: float = 0.5


@dataclass(frozen=True)
class EvolutionSpec(RivalSpec):
    """See `studies.rivals.evolution`, which has its own rounds. Defaults are the authors'.

    Args:
        angle: By which the initial noise is mutated, in radians; a mutation rate is its sine.
        tournament_share: Share of all candidates so far of which the best is a child's parent, in ``(0, 1]``.
    """

    strategy: ClassVar[str] = "rival_evolution"

    angle: float = 0.2
    tournament_share: float = 0.9


class DraftFit(NamedTuple):
    """What drafts of so many steps say of their full trajectories, within a task.

    Attributes:
        correlation: Of the potentials, in ``(0, 1]``.
        slope: By how much the full one's rises with the draft's.
    """

    correlation: float
    slope: float


@dataclass(frozen=True)
class DraftedSpec(RivalSpec):
    """See `studies.rivals.drafts`.

    Args:
        steps_share: Steps of a draft as a share of the full schedule's, in ``(0, 1)``.
        kept_share: Share of the drafted candidates that is run in full, in ``(0, 1)``.
        correlation, slope: See `DraftFit`.
    """

    steps_share: float = 0.375
    kept_share: float = 0.25
    correlation: float = 0.9
    slope: float = 0.9


@dataclass(frozen=True)
class DraftedBestOfNSpec(DraftedSpec):
    """Best-of-N, drafted; its one round takes all."""

    strategy: ClassVar[str] = "rival_best_of_n_drafted"


@dataclass(frozen=True)
class DraftedAdaptiveSpec(DraftedSpec):
    """The adaptive search, drafted.

    Args:
        first_share: Share of the candidates that pays for the first round, in ``(0, 1]``.
        restarts: Whether later rounds restart finished pictures, as late as the default does; then the first round
            alone is drafted.
    """

    strategy: ClassVar[str] = "rival_adaptive_drafted"

    rounds: int = 7
    first_share: float = 0.25
    restarts: bool = False
