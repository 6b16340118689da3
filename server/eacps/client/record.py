"""What a client has seen of one search: its events, collected into plain values with a JSON form."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from eacps.enums import MOVE, PRIOR_MODE
from eacps.v1 import search_service_pb2 as pb

_PNG_HEADER = 29
"""Bytes that say width, height, depth and colors of a PNG."""


@dataclass(frozen=True)
class ScoredPicture:
    """Scores of one picture, by scorer; a missing score is absent from ``scores`` and explained in ``missing``.

    ``saturated`` names scorers, in order, whose score is at the upper end of its scale.
    """

    scores: Mapping[str, float]
    missing: Mapping[str, str]
    potential: float | None
    complete: bool
    shortfall: float = 0.0
    saturated: tuple[str, ...] = ()
    raw: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def from_message(cls, message: pb.Evaluation) -> "ScoredPicture":
        """Convert from the message."""
        return cls(
            scores={score.scorer: score.value for score in message.scores if score.HasField("value")},
            missing={score.scorer: score.failure for score in message.scores if not score.HasField("value")},
            potential=message.potential if message.HasField("potential") else None,
            complete=message.complete,
            shortfall=message.shortfall,
            saturated=tuple(score.scorer for score in message.scores if score.saturated),
            raw={score.scorer: score.raw for score in message.scores if score.HasField("raw")},
        )

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "scores": dict(self.scores),
            "missing": dict(self.missing),
            "potential": self.potential,
            "complete": self.complete,
            "shortfall": self.shortfall,
            "saturated": list(self.saturated),
        }


@dataclass(frozen=True)
class CandidateRecord:
    """One candidate as reported.

    ``evaluation`` is None if it has no potential; ``failure`` then says why. ``spent`` is what the whole search had
    cost when this candidate was done: denoising steps divided by those of one trajectory.
    """

    id: str
    generation: int
    move: str
    parents: tuple[str, ...]
    recipe: tuple[tuple[int, float], ...]
    restarts: tuple[tuple[int, int], ...]
    evaluation: ScoredPicture | None
    failure: str
    thumbnail: bytes
    picture_sha256: str
    spent: float
    artifact: str = ""

    @classmethod
    def from_message(cls, message: pb.CandidateScored, *, spent: float) -> "CandidateRecord":
        """Convert from the message."""
        return cls(
            id=message.candidate_id,
            generation=message.generation,
            move=MOVE.word_of(message.move) or "",
            parents=tuple(message.parents),
            recipe=tuple((term.seed, term.coefficient) for term in message.recipe.terms),
            restarts=tuple((one.step, one.seed) for one in message.recipe.restarts),
            evaluation=ScoredPicture.from_message(message.evaluation) if message.HasField("evaluation") else None,
            failure=message.failure,
            thumbnail=message.thumbnail.data,
            picture_sha256=message.picture_sha256,
            spent=spent,
            artifact=message.picture.artifact,
        )

    @property
    def potential(self) -> float | None:
        """U(x); None if the candidate failed."""
        return self.evaluation.potential if self.evaluation else None

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form. The recipe and its restarts regenerate the picture."""
        return {
            "id": self.id,
            "generation": self.generation,
            "move": self.move,
            "parents": list(self.parents),
            "recipe": [{"seed": seed, "coefficient": coefficient} for seed, coefficient in self.recipe],
            "restarts": [{"step": step, "seed": seed} for step, seed in self.restarts],
            "evaluation": self.evaluation.to_json() if self.evaluation else None,
            "failure": self.failure or None,
            "artifact": self.artifact or None,
        }


def ranked(candidates: Iterable[CandidateRecord]) -> list[CandidateRecord]:
    """Return candidates from best to worst: those that meet every floor, by potential, then those that miss one by the
    least, last those without a potential; ties in order of proposal."""

    def order(one: CandidateRecord) -> tuple[bool, float]:
        shortfall = one.evaluation.shortfall if one.evaluation else 0.0
        return one.potential is None, shortfall or -(one.potential or 0.0)

    return sorted(proposed(candidates), key=order)


def proposed(candidates: Iterable[CandidateRecord]) -> list[CandidateRecord]:
    """Return candidates in the order in which their search proposed them; results arrive shuffled."""
    return sorted(candidates, key=lambda one: (one.generation, len(one.id), one.id))


@dataclass(frozen=True)
class CompleteSearch:
    """A search that has finished: all of its events, and the layers of its result by name if they were asked for."""

    started: pb.SearchStarted
    prior: pb.PriorReady
    candidates: tuple[CandidateRecord, ...]
    finished: pb.SearchFinished
    layers: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def pasted_back(self) -> bool:
        """Whether the result is another picture than the best one as it was made: of another size, depth or format."""
        delivered, best, frame = self.finished.delivered.data, self.finished.best.data, self.prior.frame
        return bool(delivered) and (delivered[:_PNG_HEADER] != best[:_PNG_HEADER] or (frame.left, frame.top) != (0, 0))

    @property
    def prior_mode(self) -> str:
        """How the prior was made: swap, none or given."""
        return PRIOR_MODE.word_of(self.prior.mode) or ""

    @property
    def result(self) -> bytes:
        """The delivered file, of the scene's size and format."""
        return self.finished.delivered.data or self.finished.best.data

    @property
    def ranking(self) -> list[CandidateRecord]:
        """Candidates from best to worst; see `ranked`."""
        return ranked(self.candidates)

    @property
    def ranks(self) -> dict[str, int]:
        """Rank by candidate id, from 1."""
        return {candidate.id: rank for rank, candidate in enumerate(self.ranking, start=1)}

    @property
    def first_candidate(self) -> CandidateRecord:
        """Candidate 0: the result of a single plain run."""
        return proposed(self.candidates)[0]

    def candidate(self, candidate_id: str) -> CandidateRecord:
        """Return the candidate with that id.

        Raises:
            KeyError: There is none.
        """
        return {candidate.id: candidate for candidate in self.candidates}[candidate_id]


@dataclass
class SearchRecord:
    """Collects events as they arrive."""

    started: pb.SearchStarted | None = None
    prior: pb.PriorReady | None = None
    candidates: list[CandidateRecord] = field(default_factory=list)
    finished: pb.SearchFinished | None = None
    _steps: int = 0

    def add(self, event: pb.SearchEvent) -> None:
        """Add the next event."""
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
        self._steps += message.steps
        self.candidates.append(CandidateRecord.from_message(message, spent=self.spent))

    @property
    def spent(self) -> float:
        """Cost so far in whole trajectories."""
        return self._steps / self.started.steps if self.started else 0.0

    @property
    def best_potential(self) -> float | None:
        """Highest potential so far."""
        potentials = [c.potential for c in self.candidates if c.potential is not None]
        return max(potentials, default=None)

    def complete(self) -> CompleteSearch:
        """Return the finished search.

        Raises:
            ValueError: Its last event has not arrived yet.
        """
        if self.started is None or self.prior is None or self.finished is None or not self.candidates:
            raise ValueError("the search has not finished")
        return CompleteSearch(self.started, self.prior, tuple(self.candidates), self.finished)
