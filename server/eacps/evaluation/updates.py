"""What a search reports while it runs, in this order: started, prior ready, then candidates and rounds, finished."""

from collections.abc import Mapping
from dataclasses import dataclass

from eacps.search.cohort import Candidate
from eacps.search.potential import Potential, ScoreCard
from eacps.search.recipe import Recipe
from eacps.search.statistics import PoolStatistics
from eacps.triton.types import ServedCheckpoint

Box = tuple[float, float, float, float]


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
    """The search is planned; its first step is about to run."""

    search_id: str
    planned_candidates: int
    random_seed: int
    checkpoint: ServedCheckpoint
    steps: int
    weights: Mapping[str, float]


@dataclass(frozen=True)
class PriorReady:
    """The identity prior exists.

    Args:
        prior: PNG, of the size in which the search works.
        scene: PNG, the scene at that size.
        evaluation: Of the prior itself.
        scene_box: Face replaced, xyxy in pixels of ``scene``.
        character_box: Face taken, xyxy in pixels of the character picture as it came.
    """

    prior: bytes
    scene: bytes
    evaluation: Evaluation
    scene_box: Box
    character_box: Box


@dataclass(frozen=True)
class CandidateScored:
    """A candidate is done.

    Args:
        candidate: Which.
        evaluation: None where it could not be made.
        failure: Why it has no potential; None where it has one.
        thumbnail: JPEG; empty where there is no picture.
        picture_sha256: Hash of the pixels (`eacps.imaging.content_hash`); empty where there is no picture.
        done: Candidates done so far, this one and failed ones included.
        best_potential: Highest so far; None where there is none yet.
    """

    candidate: Candidate
    evaluation: Evaluation | None
    failure: str | None
    thumbnail: bytes
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
    """

    generation: int
    best_candidate_id: str
    best_potential: float
    mean_potential: float | None


@dataclass(frozen=True)
class SearchFinished:
    """The search is over.

    Args:
        best: The winner.
        picture: PNG, of the size in which the search works.
        evaluation: Of the winner.
        lineage: Ids from the winner back to its first ancestor.
        statistics: Of all candidates.
        missing_scores: Scoring calls that failed for good.
        prior_potential: None where the prior could not be scored, or not completely.
        denoiser_evaluations: Spent on candidates that were made.
        timings_s: Wall-clock seconds by stage.
        versions: Of everything that made the result.
        noise_shape: Channels, height and width of one candidate's noise.
    """

    best: Candidate
    picture: bytes
    evaluation: Evaluation
    lineage: tuple[str, ...]
    statistics: PoolStatistics
    missing_scores: int
    prior_potential: float | None
    denoiser_evaluations: int
    timings_s: Mapping[str, float]
    versions: Mapping[str, str]
    noise_shape: tuple[int, int, int]

    @property
    def recipe(self) -> Recipe:
        """The winner's noise."""
        return self.best.recipe

    @property
    def gain_over_prior(self) -> float | None:
        """Best potential less the prior's; None where either is not measured completely."""
        return self.statistics.gain_over(self.prior_potential)


SearchUpdate = SearchStarted | PriorReady | CandidateScored | RoundFinished | SearchFinished
