"""What tools say of searches, as plain values with a schema."""

from typing import Any

from pydantic import BaseModel, Field

from eacps.client.record import ScoredPicture
from eacps.enums import SEARCH_STATE
from eacps.v1 import search_service_pb2 as pb


class SearchSummary(BaseModel):
    """A search."""

    search_id: str
    state: str = Field(description="One of " + ", ".join(SEARCH_STATE.words))
    prompt: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    create_time: str = ""
    best_candidate_id: str | None = None
    best_potential: float | None = Field(default=None, description="0 to 1, higher is better")
    queue_position: int | None = None
    error: str | None = None
    waiting_reason: str | None = None

    @classmethod
    def of(cls, search: pb.Search) -> "SearchSummary":
        """Convert from the message."""
        return cls(
            search_id=search.search_id,
            state=SEARCH_STATE.word_of(search.state) or "",
            prompt=search.prompt or search.request.prompt,
            labels=dict(search.labels),
            create_time=search.create_time.ToJsonString(),
            best_candidate_id=search.result.best_candidate_id or None,
            best_potential=search.best_potential if search.HasField("best_potential") else None,
            queue_position=search.queue_position if search.HasField("queue_position") else None,
            error=f"{search.failure.reason}: {search.failure.message}" if search.HasField("failure") else None,
            waiting_reason=search.waiting_reason or None,
        )


class SearchList(BaseModel):
    """Searches, newest first."""

    searches: list[SearchSummary]


def candidate_facts(ranked: pb.RankedCandidate, rank: int) -> dict[str, Any]:
    """Return what a result says of one of its pictures."""
    scored = ScoredPicture.from_message(ranked.evaluation)
    return {
        "rank": rank,
        "candidate_id": ranked.candidate_id,
        "potential": scored.potential,
        "scores": dict(scored.scores),
        "missing": dict(scored.missing),
        "below_a_floor": scored.shortfall > 0,
    }
