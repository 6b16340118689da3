"""What a search reports while it runs, in this order: started, prior ready, then candidates and rounds, finished.

Pictures are named by their digests in the search's artifact store.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from eacps.evaluation.plan import PriorMode
from eacps.scene.geometry import Box
from eacps.search.budget import Spent, StopReason
from eacps.search.cohort import Candidate, RoundNote
from eacps.search.diversity import Diversity
from eacps.search.potential import Potential, ScoreCard
from eacps.search.recipe import Recipe
from eacps.search.statistics import PoolStatistics
from eacps.triton.types import ServedCheckpoint


@dataclass(frozen=True)
class Evaluation:
    """Scores of one picture and what they amount to.

    Args:
        card: Every scorer's answer.
        potential: None where not one weighted scorer answered.
    """

    card: ScoreCard
    potential: Potential | None


@dataclass(frozen=True)
class SearchStarted:
    """The search is planned and starts.

    ``weights`` are normalized, 0 for scorers that are only reported; ``floors`` and ``held_out`` as in the objective;
    ``questions`` are the caller's own, by scorer; ``notes`` say what was not taken as the files have it.
    """

    search_id: str
    planned_candidates: int
    random_seed: int
    checkpoint: ServedCheckpoint
    steps: int
    weights: Mapping[str, float]
    floors: Mapping[str, float] = field(default_factory=dict)
    held_out: frozenset[str] = frozenset()
    questions: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class PriorReady:
    """The identity prior exists.

    Args:
        prior: Artifact of the prior, PNG, of the size in which the search works.
        scene: Artifact of the part of the scene that is worked on, PNG, at that size.
        evaluation: Of the prior itself.
        scene_box: Face replaced, xyxy in pixels of the scene as it came; empty where it shows none.
        character_box: Face taken, xyxy in pixels of the character picture as it came.
        frame: The part of the scene that is worked on, xyxy in pixels of the scene as it came.
        mode: How it was made.
    """

    prior: str
    scene: str
    evaluation: Evaluation
    scene_box: Box
    character_box: Box
    frame: Box
    mode: PriorMode


@dataclass(frozen=True)
class CandidateScored:
    """A candidate was evaluated.

    Args:
        candidate: Which.
        steps: Denoising steps that it takes.
        evaluation: None where it could not be made.
        failure: Why it has no potential; None where it has one.
        thumbnail: JPEG; empty where there is no picture.
        picture: Artifact of the full picture, PNG; None where there is none.
        picture_sha256: Hash of the pixels (`eacps.imaging.content_hash`); empty where there is no picture.
        done: Candidates done so far, this one and failed ones included.
        best_potential: Highest so far; None where there is none yet.
    """

    candidate: Candidate
    steps: int
    evaluation: Evaluation | None
    failure: str | None
    thumbnail: bytes
    picture: str | None
    picture_sha256: str
    done: int
    best_potential: float | None


@dataclass(frozen=True)
class RoundFinished:
    """All candidates of a generation are done.

    Args:
        generation: Of this round.
        best_candidate_id: Of the search so far.
        best_potential: Its potential.
        mean_potential: Over this round's complete potentials; None where there is none.
        note: Why the round's candidates were these.
    """

    generation: int
    best_candidate_id: str
    best_potential: float
    mean_potential: float | None
    note: RoundNote | None


@dataclass(frozen=True)
class Gain:
    """What the search gained by one scorer, in its raw scores.

    Args:
        held_out: Whether the scorer is reported without a weight.
        over_first: Of the best over candidate 0; None where either is unknown.
        over_prior: Of the best over the prior; None if either is unknown.
    """

    held_out: bool
    over_first: float | None
    over_prior: float | None


@dataclass(frozen=True)
class SearchFinished:
    """The search is over.

    Args:
        best: The winner; None where time was up before any candidate was done: then all is the prior's.
        picture: Artifact of the best picture, PNG, of the size in which the search works.
        evaluation: Of the winner.
        lineage: Ids from the winner back to its first ancestor.
        statistics: Of all candidates.
        missing_scores: Pairs of a candidate and a scorer without a score.
        prior_potential: None where the prior could not be scored, or not completely.
        stop_reason: Why it is over.
        spent: What it took.
        pareto_front: Ids of the candidates that no other one beats in every weighted score, best first.
        gains: By scorer.
        diversity: Spread of the first round compared with the calibration; None if the round was too small.
        timings_s: Wall-clock seconds by stage.
        versions: Of everything that made the result.
        noise_shape: Channels, height and width of one candidate's noise.
        delivered: Artifact of the scene as it came with the best picture in it, PNG, of the scene's size.
    """

    best: Candidate | None
    picture: str
    evaluation: Evaluation
    lineage: tuple[str, ...]
    statistics: PoolStatistics
    missing_scores: int
    prior_potential: float | None
    stop_reason: StopReason
    spent: Spent
    pareto_front: tuple[str, ...]
    gains: Mapping[str, Gain]
    diversity: Diversity | None
    timings_s: Mapping[str, float]
    versions: Mapping[str, str]
    noise_shape: tuple[int, int, int]
    delivered: str

    @property
    def recipe(self) -> Recipe | None:
        """The winner's noise; None for the prior, which has none."""
        return None if self.best is None else self.best.recipe

    @property
    def gain_over_prior(self) -> float | None:
        """Best potential less the prior's; None where either is not measured completely."""
        return self.statistics.gain_over(self.prior_potential)


SearchUpdate = SearchStarted | PriorReady | CandidateScored | RoundFinished | SearchFinished
