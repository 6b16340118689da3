"""Candidates of a stored search, read from its progress: rank them again, and deliver them in the scene's file.

This calls no model and works for running, finished, failed and cancelled searches. Reading and ranking thousands of
candidates takes tenths of a second.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from eacps.errors import CandidateNotFound
from eacps.evaluation.codec import candidates_of, edit_in, has_prior, scored_pictures_in, strategy_in
from eacps.evaluation.finish import Delivery, provenance_record
from eacps.evaluation.plan import Edit
from eacps.evaluation.services import ProvenanceRecord, Services
from eacps.evaluation.state import Progress, evaluation_of
from eacps.evaluation.timing import Stopwatch
from eacps.evaluation.updates import Evaluation
from eacps.imaging import Layers
from eacps.search.cohort import Move
from eacps.search.objective import Objective, pareto_front
from eacps.search.potential import ScoreCard
from eacps.search.recipe import Recipe


@dataclass(frozen=True)
class StoredCandidate:
    """A candidate that has a picture and scores.

    Args:
        id: Of the candidate.
        recipe: Its noise.
        picture: Artifact of its picture, PNG.
        card: Its scores.
        fresh: Whether its noise is a fresh seed's.
    """

    id: str
    recipe: Recipe
    picture: str
    card: ScoreCard
    fresh: bool


@dataclass(frozen=True)
class RequestProvenance:
    """What a delivered file states about the request of its search."""

    search_id: str
    prompt: str
    negative_prompt: str | None


@dataclass(frozen=True)
class Ranking:
    """Candidates by an objective.

    Args:
        candidates: Those with a potential, best first, each with what its scores amount to.
        pareto_front: Ids of those that no other one beats in every weighted score, best first.
    """

    candidates: tuple[tuple[StoredCandidate, Evaluation], ...]
    pareto_front: tuple[str, ...]


def candidates_in(progress: Progress | None) -> list[StoredCandidate]:
    """Return the candidates of a search that have a picture and scores, in order of proposal."""
    if progress is None or not has_prior(progress):
        return []
    pictures = scored_pictures_in(progress)
    return [
        StoredCandidate(one.id, one.recipe, *pictures[one.id], fresh=one.move is Move.EXPLORE)
        for one in candidates_of(strategy_in(progress))
        if one.id in pictures
    ]


def rank_candidates(candidates: Sequence[StoredCandidate], objective: Objective) -> Ranking:
    """Rank candidates as a search with this objective ranks them.

    Args:
        candidates: Of one search, in order of proposal; every weighted scorer was asked about each of them.
        objective: What counts.
    """
    evaluated = [(one, evaluation_of(one.card, objective)) for one in candidates]
    known = [
        (one, evaluation, evaluation.potential)
        for one, evaluation in evaluated
        if evaluation.potential is not None and objective.takes(evaluation.potential)
    ]
    ranked = [known[index] for index in objective.order([potential for _, _, potential in known])]
    front = pareto_front([potential for _, _, potential in ranked])
    return Ranking(tuple((one, evaluation) for one, evaluation, _ in ranked), tuple(ranked[one][0].id for one in front))


def candidate_of(candidates: Iterable[StoredCandidate], candidate_id: str) -> StoredCandidate:
    """Return a candidate by its id.

    Raises:
        CandidateNotFound: There is none such, or no picture of it.
    """
    for one in candidates:
        if one.id == candidate_id:
            return one
    raise CandidateNotFound(f"the search has no picture of a candidate {candidate_id[:64]!r}")


async def deliver_candidate(
    progress: Progress | None, candidate: StoredCandidate, services: Services, request: RequestProvenance
) -> bytes:
    """Paste the picture of a candidate into the scene's file, at full resolution.

    Args:
        progress: Of its search.
        candidate: Of the same.
        services: Whose artifacts hold those of the search, and take in the result.
        request: Of the same.

    Returns:
        The same file that the search delivers where this is its best candidate.

    Raises:
        CandidateNotFound: The search has no prior yet.
    """
    delivery, edit = await _delivery(progress, services)
    record = _record_of(edit, candidate, request)
    return await services.artifacts.get(await delivery.deliver(edit, candidate.picture, record))


async def layers_of_candidate(
    progress: Progress | None, candidate: StoredCandidate, services: Services, request: RequestProvenance
) -> Layers:
    """Return plate, patch and matte of what `deliver_candidate` delivers; raises as that."""
    delivery, edit = await _delivery(progress, services)
    return await delivery.layers(edit, candidate.picture, _record_of(edit, candidate, request))


def _record_of(edit: Edit, candidate: StoredCandidate, request: RequestProvenance) -> ProvenanceRecord:
    return provenance_record(
        edit,
        search_id=request.search_id,
        candidate_id=candidate.id,
        recipe=candidate.recipe,
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        card=candidate.card,
    )


async def _delivery(progress: Progress | None, services: Services) -> tuple[Delivery, Edit]:
    if progress is None or not has_prior(progress):
        raise CandidateNotFound("the search has made nothing yet")
    edit = await edit_in(progress, services.artifacts)
    return Delivery(services, Stopwatch(observer=services.observer)), edit
