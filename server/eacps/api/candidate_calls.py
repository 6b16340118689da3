"""PickCandidate and RankCandidates: deliver a candidate of a stored search, or rank all by other weights."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from eacps.api.candidate_reader import CandidateReader
from eacps.api.converters import ranking_of
from eacps.api.objectives import objective_of
from eacps.api.paging import first_page, page_size_of, position_of, token_of
from eacps.api.request_pictures import RequestPictures
from eacps.api.violations import Violations
from eacps.artifacts import Artifact, MemoryArtifacts
from eacps.durable import ObjectStore, SearchStore
from eacps.errors import ArtifactNotFound, InvalidRequest
from eacps.evaluation import Progress, Services
from eacps.evaluation.candidates import (
    RequestProvenance,
    candidate_of,
    candidates_in,
    deliver_candidate,
    layers_of_candidate,
    rank_candidates,
)
from eacps.search.objective import Objective
from eacps.v1 import search_service_pb2 as pb

_POSITION_BYTES = 4
_FRAME_BYTES = 8
"""What an item of a repeated field takes beside its own bytes, at most."""


class CandidateCalls:
    """Answers calls about candidates of stored searches.

    Args:
        store: Holds the searches.
        reader: Reads their candidates.
        objects: Holds their pictures.
        pictures: Bounds the memory of the scenes that results are delivered in.
        open_services: Creates the services of one call.
    """

    def __init__(
        self,
        store: SearchStore,
        reader: CandidateReader,
        objects: ObjectStore,
        pictures: RequestPictures,
        open_services: Callable[[], Services],
    ) -> None:
        self._store, self._reader, self._objects, self._pictures = store, reader, objects, pictures
        self._open_services = open_services

    async def pick(self, request: pb.PickCandidateRequest, tenant: str) -> pb.PickCandidateResponse:
        """Deliver one candidate.

        Raises:
            SearchNotFound: The tenant has no such search.
            CandidateNotFound: The search has no picture of it.
            TooManyCalls: Too many calls read candidates, or there is no memory for the scene.
        """
        search = await self._store.get(tenant, request.search_id)
        progress, candidate = await self._reader.read(
            search, lambda progress: (progress, candidate_of(candidates_in(progress), request.candidate_id))
        )
        asked = pb.RunSearchRequest.FromString(search.request)
        services = replace(self._open_services(), artifacts=_ReadOnlyArtifacts(self._objects))
        stated = _provenance_of(search.id, asked)
        async with self._pictures.memory_of(asked.scene.artifact, tenant):
            delivered = await deliver_candidate(progress, candidate, services, stated)
            picture = pb.Image(artifact=candidate.picture)
            response = pb.PickCandidateResponse(delivered=pb.Image(data=delivered), picture=picture)
            if request.layers:
                layers = await layers_of_candidate(progress, candidate, services, stated)
                for name in ("plate", "patch", "matte"):
                    getattr(response.layers, name).data = getattr(layers, name)
            return response

    async def rank(self, request: pb.RankCandidatesRequest, tenant: str) -> pb.RankCandidatesResponse:
        """Rank all candidates.

        Raises:
            SearchNotFound: The tenant has no such search.
            InvalidRequest: Names every invalid field.
            TooManyCalls: Too many calls read candidates.
        """
        search = await self._store.get(tenant, request.search_id)
        violations, bound = Violations(), _bound_of(request)
        size = page_size_of(violations, request.page_size)
        position = position_of(violations, request.page_token, bound, size=_POSITION_BYTES)
        objective = _objective_of(violations, request, pb.RunSearchRequest.FromString(search.request))
        begin = 0 if position is None else int.from_bytes(position)

        def page_in(progress: Progress | None) -> pb.RankCandidatesResponse:
            ranking = ranking_of(rank_candidates(candidates_in(progress), objective), objective)
            left = ranking.candidates[begin:]
            page = first_page(left, size, lambda candidate: candidate.ByteSize() + _FRAME_BYTES)
            del ranking.candidates[:]
            ranking.candidates.extend(page)
            if len(page) < len(left):
                ranking.next_page_token = token_of((begin + len(page)).to_bytes(_POSITION_BYTES), bound)
            return ranking

        return await self._reader.read(search, page_in)


def _provenance_of(search_id: str, request: pb.RunSearchRequest) -> RequestProvenance:
    negative = request.negative_prompt if request.HasField("negative_prompt") else None
    return RequestProvenance(search_id, request.prompt, negative)


class _ReadOnlyArtifacts:
    """An `ArtifactStore` that reads stored artifacts, and holds new ones in memory for the length of a call."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects, self._own = objects, MemoryArtifacts()

    async def put(self, artifacts: Sequence[Artifact]) -> None:
        await self._own.put(artifacts)

    async def get(self, digest: str) -> bytes:
        try:
            return await self._own.get(digest)
        except KeyError:
            pass
        try:
            return await self._objects.get(digest)
        except ArtifactNotFound as exc:
            raise KeyError(digest) from exc


def _bound_of(request: pb.RankCandidatesRequest) -> bytes:
    """Return what a page token is bound to."""
    bound = pb.RankCandidatesRequest()
    bound.CopyFrom(request)
    bound.ClearField("page_size")
    bound.ClearField("page_token")
    return bound.SerializeToString(deterministic=True)


def _objective_of(violations: Violations, request: pb.RankCandidatesRequest, search: pb.RunSearchRequest) -> Objective:
    """Return the objective: that of the request, where it has none that of the search.

    Raises:
        InvalidRequest: Names every invalid field.
    """
    asked = pb.RunSearchRequest(
        scorers=request.scorers or search.scorers,
        scalarization=request.scalarization or search.scalarization,
        missing_scores=request.missing_scores or search.missing_scores,
    )
    weights = {scorer.name: scorer.weight for scorer in search.scorers if not scorer.held_out}
    objective = objective_of(violations, asked, frozenset(one.name for one in search.scorers), weights, frozenset())
    if objective is None or violations.found:
        raise InvalidRequest(violations.found)
    return objective
