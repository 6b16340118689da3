"""What a tenant's earlier searches contribute to a new one: its start points, and the seeds that made its scene."""

import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from eacps.api.candidate_reader import CandidateReader
from eacps.api.normal_form import normal_form
from eacps.api.recipes import recipe_message
from eacps.durable import ObjectStore, SearchStore, StoredSearch
from eacps.errors import (
    ArtifactNotFound,
    CandidateNotFound,
    FieldViolation,
    InvalidRequest,
    InvalidSearchSpec,
    SearchNotFound,
)
from eacps.evaluation.candidates import StoredCandidate, candidate_of, candidates_in
from eacps.evaluation.codec import checkpoint_in
from eacps.evaluation.state import Progress
from eacps.provenance import may_hold_record, scanned_records
from eacps.search.defaults import MAX_START_POINTS
from eacps.search.known import MAX_OTHERS
from eacps.search.recipe import Recipe
from eacps.search.spec import MAX_AVOIDED_SEEDS
from eacps.v1 import search_service_pb2 as pb
from eacps.wire import images_in

_HEAD_BYTES, _TAIL_BYTES = 4 * 2**20, 2**20
_OF_THE_SEARCH = (
    "search",
    "budget",
    "scorers",
    "scalarization",
    "missing_scores",
    "request_id",
    "labels",
    "priority",
)
"""Fields that change neither pictures nor scores."""


class EarlierSearches:
    """Looks candidates of stored searches up.

    Args:
        store: Holds the searches.
        reader: Reads their candidates.
        objects: Knows which searches refer to a picture.
    """

    def __init__(self, store: SearchStore, reader: CandidateReader, objects: ObjectStore) -> None:
        self._store, self._reader, self._objects = store, reader, objects

    async def resolved(self, request: pb.RunSearchRequest, tenant: str) -> pb.SearchSettings:
        """Return the search settings of a request with what is known of its start points, and the seeds to avoid.

        Raises:
            InvalidRequest: Names every start point that is no candidate of the tenant, or there are too many points.
            TooManyCalls: Too many calls read candidates.
        """
        if (count := len(request.search.start)) > MAX_START_POINTS:
            error = f"are {count} points, more than {MAX_START_POINTS}"
            raise InvalidRequest([FieldViolation("search.start", error)])
        search, violations = pb.SearchSettings(), []
        search.CopyFrom(request.search)
        for index, point in enumerate(search.start):
            point.ClearField("known")
            if point.HasField("candidate"):
                try:
                    point.known.CopyFrom(await self._known(point.candidate, request, tenant))
                except (CandidateNotFound, SearchNotFound) as exc:
                    violations.append(FieldViolation(f"search.start[{index}].candidate", str(exc)))
        if violations:
            raise InvalidRequest(violations)
        made_by = await self._seeds_of(request.scene, tenant) - set(search.avoided_seeds)
        search.avoided_seeds.extend(sorted(made_by)[: max(0, MAX_AVOIDED_SEEDS - len(search.avoided_seeds))])
        return search

    async def _known(self, name: pb.CandidateReference, request: pb.RunSearchRequest, tenant: str) -> pb.KnownPoint:
        search = await self._store.get(tenant, name.search_id)
        asked = pb.RunSearchRequest.FromString(search.request)
        return await self._reader.read(search, lambda progress: _known_in(progress, name.candidate_id, asked, request))

    async def _seeds_of(self, scene: pb.Image, tenant: str) -> set[int]:
        """Return the seeds of the recipes that made a picture, as far as the tenant's searches or its file know."""
        digest = _digest(scene)
        for search_id in await self._objects.makers_of(tenant, digest):
            search = await self._store.get(tenant, search_id)
            maker = await self._reader.read(search, partial(_maker, search, digest=digest))
            if maker is not None:
                return set(maker.recipe.seeds)
        ends = await self._ends_of(scene, tenant)
        if not may_hold_record(ends):
            return set()
        records = await self._reader.run(tenant, lambda: scanned_records(ends))
        return {seed for record in records for seed in _seeds_in(record)}

    async def _ends_of(self, scene: pb.Image, tenant: str) -> bytes:
        """Return the beginning and the end of a picture's file, where programs put its XMP."""
        if not scene.artifact:
            return scene.data
        try:
            size = await self._objects.size_for_tenant(tenant, scene.artifact)
            head = await self._objects.get_range(scene.artifact, 0, min(size, _HEAD_BYTES))
            left = min(size - len(head), _TAIL_BYTES)
            return head + (await self._objects.get_range(scene.artifact, size - left, left) if left > 0 else b"")
        except ArtifactNotFound:  # which is found, and named, with the other pictures
            return b""


def _known_in(
    progress: Progress | None, candidate_id: str, asked: pb.RunSearchRequest, request: pb.RunSearchRequest
) -> pb.KnownPoint:
    """Return what is known of a candidate, and of others of its search if their scores count again.

    Args:
        progress: Of its search.
        candidate_id: Its id.
        asked: Request of its search.
        request: Request of the new search.

    Raises:
        CandidateNotFound: There is none such.
    """
    candidates = candidates_in(progress)
    candidate = candidate_of(candidates, candidate_id)
    if progress is None or _edit_of(asked, request) != _edit_of(request, asked):
        return pb.KnownPoint(recipe=recipe_message(candidate.recipe))
    build, counting = checkpoint_in(progress).build, _counting(asked, request)
    known = _scored(candidate, counting, build)
    fresh = [one for one in candidates if one.fresh and one.id != candidate.id]
    known.others.extend(_scored(one, counting, build) for one in fresh[:MAX_OTHERS])
    return known


def _maker(search: StoredSearch, progress: Progress | None, digest: str) -> StoredCandidate | None:
    """Return the candidate of a search whose picture this is, as it was made or as it was delivered."""
    best = ""
    if search.result is not None:
        finished = pb.SearchEvent.FromString(search.result).finished
        best = finished.best_candidate_id if finished.delivered.artifact == digest else ""
    return next((one for one in candidates_in(progress) if digest == one.picture or best == one.id), None)


def _seeds_in(record: Mapping[str, Any]) -> Sequence[int]:
    """Return the seeds of a record's recipe; none of what is no recipe, since anyone may have written it."""
    try:
        return Recipe.from_dict({"terms": record.get("recipe", []), "restarts": record.get("restarts", [])}).seeds
    except (InvalidSearchSpec, OverflowError):
        return ()


def _edit_of(request: pb.RunSearchRequest, other: pb.RunSearchRequest) -> bytes:
    """Return what determines the picture of a recipe, for comparison with that of another request."""
    edit = pb.RunSearchRequest()
    edit.CopyFrom(request)
    for name in _OF_THE_SEARCH:
        edit.ClearField(name)
    if not (request.HasField("prior") and other.HasField("prior")):
        edit.ClearField("prior")  # the same server chose it
    for _, image in images_in(edit):
        image.artifact = _digest(image)
    return normal_form(edit).SerializeToString(deterministic=True)


def _counting(asked: pb.RunSearchRequest, request: pb.RunSearchRequest) -> frozenset[str]:
    """Return the scorers whose scores count again: those that are put the same question."""
    before = {scorer.name: scorer.question for scorer in asked.scorers}
    now = {scorer.name: scorer.question for scorer in request.scorers if scorer.HasField("question")}
    return frozenset(name for name, question in before.items() if now.get(name, question) == question)


def _scored(candidate: StoredCandidate, counting: frozenset[str], build: str) -> pb.KnownPoint:
    scores = {name: value for name, value in candidate.card.values.items() if name in counting}
    return pb.KnownPoint(recipe=recipe_message(candidate.recipe), scores=scores, build=build)


def _digest(image: pb.Image) -> str:
    return image.artifact or hashlib.sha256(image.data).hexdigest()
