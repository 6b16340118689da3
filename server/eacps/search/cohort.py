"""What a strategy and whoever evaluates its candidates say to each other.

A strategy asks for a cohort of candidates. Outcomes come back by the candidates' ids, never by position, since results
arrive shuffled.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from eacps.search.potential import Potential
from eacps.search.recipe import Recipe


class Move(StrEnum):
    """How a candidate's recipe came about."""

    EXPLORE = "explore"  # a fresh seed
    SEED_OFFSET = "seed_offset"  # the parent's seed plus a small integer
    SPHERICAL = "spherical"  # the parent's noise turned by an angle toward fresh noise
    START = "start"  # a point that the search was given to begin from
    RESTART = "restart"  # the parent's picture noised again, and denoised from there
    CROSSOVER = "crossover"  # two parents' noises combined, perhaps turned toward fresh noise


@dataclass(frozen=True, slots=True)
class Candidate:
    """One point of noise space that the search wants to see.

    Args:
        id: Unique in its search and the same whenever that search is replayed, such as ``g0-003``.
        recipe: Its noise.
        parents: Ids of the candidates its recipe was derived from; empty for a fresh seed.
        generation: 0 for the first round.
        move: How the recipe was derived.
    """

    id: str
    recipe: Recipe
    parents: tuple[str, ...]
    generation: int
    move: Move

    @property
    def replays(self) -> bool:
        """Whether its recipe was restarted before this search had it: nothing of the chain is known yet."""
        return bool(self.recipe.restarts) and not self.parents

    @property
    def start_step(self) -> int:
        """Step at which its own trajectory begins: 0, or that of the restart of its parent."""
        return 0 if self.replays else self.recipe.start_step

    def evaluations(self, steps: int) -> int:
        """Return the denoiser's evaluations that its picture takes under a full schedule of ``steps``."""
        if self.replays:
            return steps + sum(steps - restart.step for restart in self.recipe.restarts)
        return steps - self.start_step

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able form."""
        return {
            "id": self.id,
            "recipe": self.recipe.to_dict(),
            "parents": list(self.parents),
            "generation": self.generation,
            "move": self.move.value,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Candidate":
        """Restore a candidate from ``to_dict``'s form.

        Raises:
            KeyError, TypeError, ValueError: ``data`` has another form.
            InvalidSearchSpec: It holds what is not a recipe.
        """
        return cls(
            id=data["id"],
            recipe=Recipe.from_dict(data["recipe"]),
            parents=tuple(data["parents"]),
            generation=data["generation"],
            move=Move(data["move"]),
        )


class CohortKind(StrEnum):
    """What a cohort is for."""

    EXPLORE = "explore"  # fresh seeds alone
    LOCAL = "local"  # moves from parents, fresh seeds among them


@dataclass(frozen=True, slots=True)
class RoundNote:
    """Why a cohort is as it is, for people and plots.

    Args:
        kind: What it is for.
        fresh: Candidates of fresh seeds in it.
        crossovers: Candidates of two parents in it.
        angle: Mean angle to their parents of candidates of one parent, in radians; None where there are none.
        predicted_gain: By how much the model expects the cohort to raise the best; None where no model was asked.
        curvature: The model's kernel; None likewise.
    """

    kind: CohortKind
    fresh: int = 0
    crossovers: int = 0
    angle: float | None = None
    predicted_gain: float | None = None
    curvature: float | None = None


@dataclass(frozen=True, slots=True)
class Cohort:
    """Candidates that a strategy wants evaluated before it can go on, in no meaningful order of evaluation.

    Args:
        generation: Round of the search, 0 for the first.
        candidates: At least one; ids are unique.
        keep: How many of them the strategy will select for what comes next: where repeated scores may decide.
        note: Why they are these.
    """

    generation: int
    candidates: tuple[Candidate, ...]
    keep: int = 1
    note: RoundNote | None = None

    @property
    def ids(self) -> frozenset[str]:
        """Ids of all candidates; ``tell`` wants an outcome for exactly these."""
        return frozenset(candidate.id for candidate in self.candidates)


@dataclass(frozen=True, slots=True)
class Failed:
    """The outcome of a candidate that could not be evaluated at all: no picture, or no score. It is never a zero.

    Args:
        reason: For people and lineage.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """The outcome of a candidate that was not evaluated, since the budget ended. It is no failure, and not ranked."""


Outcome = Potential | Failed | Skipped


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A candidate with its outcome."""

    candidate: Candidate
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Ranked:
    """A candidate that got a potential.

    Args:
        rank: 0 for the best.
        candidate: The candidate.
        potential: Its potential.
    """

    rank: int
    candidate: Candidate
    potential: Potential
