"""What a strategy and whoever evaluates its candidates say to each other.

A strategy asks for a cohort: candidates, each with the denoising step at which its trajectory is to stop. Outcomes come
back by ``TrialKey``, never by position, since results arrive shuffled.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

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
        generation: 0 for the first cohort.
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


class TrialKey(NamedTuple):
    """Names one trial; see `Trial`."""

    candidate_id: str
    stop_step: int
    draft: bool = False


@dataclass(frozen=True, slots=True)
class Trial:
    """A candidate to be run from noise, or from its own latents of an earlier trial, up to ``stop_step``.

    Args:
        candidate: Whose trajectory.
        stop_step: Denoising steps done when it stops, in ``[1, steps]``; ``steps`` gives the final picture.
        draft: Whether it is a coarse trajectory from the same noise: a schedule of its own of ``stop_step`` steps, run
            to its end. Its first evaluation, of the noise itself, is that of the full trajectory as well.
    """

    candidate: Candidate
    stop_step: int
    draft: bool = False

    @property
    def key(self) -> TrialKey:
        """The name under which the outcome comes back."""
        return TrialKey(self.candidate.id, self.stop_step, self.draft)


def evaluations_of(trials: Iterable[Trial]) -> int:
    """Count the denoiser's evaluations of trials: each candidate's furthest stop, and its drafts.

    A candidate's trajectories start with the same evaluation, which counts once.
    """
    furthest: dict[str, int] = {}
    drafted: dict[str, int] = {}
    for trial in trials:
        name = trial.candidate.id
        if trial.draft:
            drafted[name] = drafted.get(name, 1) + trial.stop_step - 1
        else:
            furthest[name] = max(trial.candidate.evaluations(trial.stop_step), furthest.get(name, 0))
    return sum(furthest.values()) + sum(steps - (name in furthest) for name, steps in drafted.items())


class CohortKind(StrEnum):
    """What a cohort is for."""

    EXPLORE = "explore"  # fresh seeds alone
    LOCAL = "local"  # moves from parents, fresh seeds among them
    FINISH = "finish"  # candidates that were previewed go on


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
    """Trials that a strategy wants evaluated before it can go on, in no meaningful order of evaluation.

    Args:
        generation: Round of the search, 0 for the first.
        trials: At least one; keys are unique.
        keep: How many of them the strategy will select for what comes next: where repeated scores may decide.
        note: Why they are these.
    """

    generation: int
    trials: tuple[Trial, ...]
    keep: int = 1
    note: RoundNote | None = None

    @property
    def keys(self) -> frozenset[TrialKey]:
        """Keys of all trials; ``tell`` wants an outcome for exactly these."""
        return frozenset(trial.key for trial in self.trials)


@dataclass(frozen=True, slots=True)
class Failed:
    """The outcome of a trial that could not be evaluated at all: no picture, or no score. It is never a zero.

    Args:
        reason: For people and lineage.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """The outcome of a trial that was not evaluated, since the budget ended. It is no failure, and not ranked."""


Outcome = Potential | Failed | Skipped


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A trial with its outcome."""

    trial: Trial
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Ranked:
    """A candidate whose trajectory was run to its end and got a potential.

    Args:
        rank: 0 for the best.
        candidate: The candidate.
        potential: Its potential.
    """

    rank: int
    candidate: Candidate
    potential: Potential
