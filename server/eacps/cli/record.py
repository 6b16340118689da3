"""What a client has seen of one search: the stream's events gathered into plain values, and their JSON form."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from eacps.v1 import search_service_pb2 as pb


@dataclass(frozen=True)
class ScoredPicture:
    """Scores of one picture, by scorer; a missing score is absent from ``scores`` and explained in ``missing``."""

    scores: Mapping[str, float]
    missing: Mapping[str, str]
    potential: float | None
    complete: bool

    @classmethod
    def from_message(cls, message: pb.Evaluation) -> "ScoredPicture":
        """Read the wire's form."""
        return cls(
            scores={score.scorer: score.value for score in message.scores if score.HasField("value")},
            missing={score.scorer: score.failure for score in message.scores if not score.HasField("value")},
            potential=message.potential if message.HasField("potential") else None,
            complete=message.complete,
        )

    def to_json(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "scores": dict(self.scores),
            "missing": dict(self.missing),
            "potential": self.potential,
            "complete": self.complete,
        }


@dataclass(frozen=True)
class CandidateRecord:
    """One candidate as reported.

    ``evaluation`` is None, and ``failure`` says why, where it has no potential. ``spent`` is what the whole search had
    cost, previews included, once this candidate was done: denoising steps over those of one trajectory.
    """

    id: str
    generation: int
    move: str
    parents: tuple[str, ...]
    recipe: tuple[tuple[int, float], ...]
    evaluation: ScoredPicture | None
    failure: str
    thumbnail: bytes
    picture_sha256: str
    spent: float
    artifact: str = ""

    @classmethod
    def from_message(cls, message: pb.CandidateScored, *, spent: float) -> "CandidateRecord":
        """Read the wire's form."""
        return cls(
            id=message.candidate_id,
            generation=message.generation,
            move=message.move,
            parents=tuple(message.parents),
            recipe=tuple((term.seed, term.coefficient) for term in message.recipe.terms),
            evaluation=ScoredPicture.from_message(message.evaluation) if message.HasField("evaluation") else None,
            failure=message.failure,
            thumbnail=message.thumbnail.data,
            picture_sha256=message.picture_sha256,
            spent=spent,
            artifact=message.picture.artifact,
        )

    @property
    def potential(self) -> float | None:
        """U(x), None where the candidate failed."""
        return self.evaluation.potential if self.evaluation else None

    def to_json(self) -> dict[str, Any]:
        """JSON form; the recipe regenerates the picture."""
        return {
            "id": self.id,
            "generation": self.generation,
            "move": self.move,
            "parents": list(self.parents),
            "recipe": [{"seed": seed, "coefficient": coefficient} for seed, coefficient in self.recipe],
            "evaluation": self.evaluation.to_json() if self.evaluation else None,
            "failure": self.failure or None,
            "picture_sha256": self.picture_sha256 or None,
            "artifact": self.artifact or None,
        }


@dataclass(frozen=True)
class CompleteSearch:
    """A search that has finished: all of its events."""

    started: pb.SearchStarted
    prior: pb.PriorReady
    candidates: tuple[CandidateRecord, ...]
    finished: pb.SearchFinished

    @property
    def pasted_back(self) -> bool:
        """Whether the result is another picture than the best one as it was made; servers of old never say so."""
        return bool(self.finished.delivered.data) and self.finished.delivered.data != self.finished.best.data

    @property
    def result(self) -> bytes:
        """The picture to hand out, PNG, of the scene's size."""
        return self.finished.delivered.data if self.pasted_back else self.finished.best.data

    @property
    def ranking(self) -> list[CandidateRecord]:
        """Candidates from best to worst, equal ones in order of their ids; those without a potential last."""
        return sorted(self.candidates, key=lambda one: (one.potential is None, -(one.potential or 0.0), one.id))

    @property
    def ranks(self) -> dict[str, int]:
        """Place in the ranking by candidate id, from 1."""
        return {candidate.id: rank for rank, candidate in enumerate(self.ranking, start=1)}

    @property
    def first_candidate(self) -> CandidateRecord:
        """Candidate 0: what a single plain run would have given."""
        return min(self.candidates, key=lambda candidate: candidate.id)

    def candidate(self, candidate_id: str) -> CandidateRecord:
        """The candidate of that id.

        Raises:
            KeyError: There is none.
        """
        return {candidate.id: candidate for candidate in self.candidates}[candidate_id]


@dataclass
class SearchRecord:
    """Fills up as events arrive."""

    started: pb.SearchStarted | None = None
    prior: pb.PriorReady | None = None
    candidates: list[CandidateRecord] = field(default_factory=list)
    previews: int = 0
    finished: pb.SearchFinished | None = None
    _stops: dict[str, int] = field(default_factory=dict)  # furthest step of every candidate seen

    def add(self, event: pb.SearchEvent) -> None:
        """Take in the next event."""
        match event.WhichOneof("event"):
            case "started":
                self.started = event.started
            case "prior_ready":
                self.prior = event.prior_ready
            case "candidate_scored":
                self._add_candidate(event.candidate_scored)
            case "finished":
                self.finished = event.finished

    def _add_candidate(self, message: pb.CandidateScored) -> None:
        steps = self.started.steps if self.started else message.stop_step
        self._stops[message.candidate_id] = message.stop_step
        if message.stop_step < steps:
            self.previews += 1
            return
        spent = sum(self._stops.values()) / steps
        self.candidates.append(CandidateRecord.from_message(message, spent=spent))

    @property
    def best_potential(self) -> float | None:
        """Highest potential so far."""
        potentials = [c.potential for c in self.candidates if c.potential is not None]
        return max(potentials, default=None)

    def complete(self) -> CompleteSearch:
        """The finished search.

        Raises:
            ValueError: Its last event has not arrived.
        """
        if self.started is None or self.prior is None or self.finished is None or not self.candidates:
            raise ValueError("the search has not finished")
        return CompleteSearch(self.started, self.prior, tuple(self.candidates), self.finished)
