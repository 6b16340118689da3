"""Searches that begin from a candidate of an earlier one, and scenes that a search has made."""

import io
from collections.abc import Callable
from typing import Any

import grpc.aio
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from PIL import Image

from eacps.api import Rules
from eacps.provenance import Marking
from eacps.search.defaults import MAX_START_POINTS
from eacps.v1 import search_service_pb2 as pb
from eacps.v1.search_service_pb2_grpc import SearchServiceStub
from tests.api.conftest import Serve

MakeRequest = Callable[..., pb.RunSearchRequest]
RULES = Rules(frozenset({"brightness", "other"}), {"brightness": 0.75, "other": 0.25})


async def searched(
    stub: SearchServiceStub, request: pb.RunSearchRequest
) -> tuple[str, list[pb.CandidateScored], pb.SearchFinished]:
    events = [response.event async for response in stub.RunSearch(request, timeout=60) if response.HasField("event")]
    scored = [event.candidate_scored for event in events if event.HasField("candidate_scored")]
    return events[0].started.search_id, scored, events[-1].finished


def adaptive(trajectories: int = 24, **fields: Any) -> pb.SearchSettings:
    settings = pb.EacpsAdaptiveSettings(trajectories=trajectories)
    return pb.SearchSettings(eacps_adaptive=settings, random_seed=5, **fields)


def like(search_id: str, candidate_id: str) -> list[pb.StartPoint]:
    return [pb.StartPoint(candidate=pb.CandidateReference(search_id=search_id, candidate_id=candidate_id))]


def moves(scored: list[pb.CandidateScored]) -> list[int]:
    return [one.move for one in sorted(scored, key=lambda one: one.candidate_id) if one.generation == 0]


async def test_more_like_a_candidate_of_the_same_edit_is_searched_from_the_first_round_on(
    serve: Serve, make_request: MakeRequest
) -> None:
    async with serve(rules=RULES) as channel:
        stub = SearchServiceStub(channel)
        search_id, scored, finished = await searched(stub, make_request(search=adaptive()))
        best = next(one for one in scored if one.candidate_id == finished.best_candidate_id)
        assert best.recipe.restarts, "restarts are the default"
        again = make_request(search=adaptive(start=like(search_id, best.candidate_id)))
        _, same, _ = await searched(stub, again)
        start = next(one for one in same if one.move == pb.MOVE_START)
        assert (start.recipe, start.picture) == (best.recipe, best.picture)
        assert pb.MOVE_SPHERICAL in moves(same), "its score counts"
        children = [one for one in same if list(one.parents) == [start.candidate_id]]
        assert pb.MOVE_RESTART in {one.move for one in children}
        again.prompt = "make the person frown"
        _, other, _ = await searched(stub, again)
        assert set(moves(other)) == {pb.MOVE_EXPLORE, pb.MOVE_START}, "of another prompt its score says nothing"
        plain = make_request(search=adaptive(start=[pb.StartPoint(recipe=best.recipe)]))
        _, bare, _ = await searched(stub, plain)
        assert set(moves(bare)) == {pb.MOVE_EXPLORE, pb.MOVE_START}


async def test_what_is_no_candidate_of_the_tenant_is_named(serve: Serve, make_request: MakeRequest) -> None:
    async with serve(rules=RULES) as channel:
        stub = SearchServiceStub(channel)
        search_id, _, _ = await searched(stub, make_request(search=adaptive(4)))
        start = [*like("0" * 32, "g0-000"), *like(search_id, "g9-000")]
        assert await violations_of(stub, make_request(search=adaptive(start=start))) == [
            "search.search.start[0].candidate",
            "search.search.start[1].candidate",
        ]
        best_of_n = pb.SearchSettings(best_of_n=pb.BestOfNSettings(trajectories=4), start=like(search_id, "g0-000"))
        assert await violations_of(stub, make_request(search=best_of_n)) == ["search.search.start"]


async def violations_of(stub: SearchServiceStub, request: pb.RunSearchRequest) -> list[str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.CreateSearch(pb.CreateSearchRequest(search=request), timeout=10)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    bad = error_details_pb2.BadRequest()
    for detail in rpc_status.from_call(caught.value).details:
        if detail.Unpack(bad):
            break
    return [violation.field for violation in bad.field_violations]


@pytest.mark.parametrize("which", ["as made", "as delivered"])
async def test_the_noise_that_made_the_scene_is_not_used_again(
    serve: Serve, make_request: MakeRequest, png: Callable[..., bytes], which: str
) -> None:
    async with serve(rules=RULES) as channel:
        stub = SearchServiceStub(channel)
        scene = pb.Image(data=png(96, 64))
        search_id, scored, finished = await searched(stub, make_request(scene=scene, search=adaptive(8)))
        best = next(one for one in scored if one.candidate_id == finished.best_candidate_id)
        made = {term.seed for term in best.recipe.terms}
        artifact = (
            finished.delivered.artifact or finished.best.artifact if which == "as delivered" else best.picture.artifact
        )
        if which == "as delivered" and not finished.delivered.artifact:
            listed = (await stub.GetSearch(pb.GetSearchRequest(search_id=search_id), timeout=10)).search
            artifact = listed.result.delivered.artifact
        first = next(iter(made))
        request = make_request(scene=pb.Image(artifact=artifact), search=adaptive(8, first_seed=first))
        later_id, later, _ = await searched(stub, request)
        assert not made & {term.seed for one in later for term in one.recipe.terms}
        kept = (await stub.GetSearch(pb.GetSearchRequest(search_id=later_id), timeout=10)).search.request
        assert made <= set(kept.search.avoided_seeds)
        repeated = make_request(
            scene=pb.Image(artifact=artifact), search=adaptive(8, start=like(search_id, best.candidate_id))
        )
        assert await violations_of(stub, repeated) == ["search.search.start[0]"]


@pytest.mark.parametrize("sent", ["inline", "uploaded", "saved by another program"])
async def test_the_noise_that_a_scenes_record_names_is_not_used_either(
    serve: Serve, make_request: MakeRequest, png: Callable[..., bytes], sent: str
) -> None:
    """Of a candidate that was picked, or of another server: no search here delivered that very file."""
    async with serve(rules=RULES, marking=Marking(None)) as channel:
        stub = SearchServiceStub(channel)
        search_id, scored, finished = await searched(stub, make_request(scene=pb.Image(data=png(96, 64))))
        other = next(one for one in scored if one.candidate_id != finished.best_candidate_id)
        picking = pb.PickCandidateRequest(search_id=search_id, candidate_id=other.candidate_id)
        file = (await stub.PickCandidate(picking, timeout=60)).delivered.data
        made = {term.seed for term in other.recipe.terms}
        scene = pb.Image(data=file)
        if sent == "uploaded":
            uploads = iter([pb.UploadImageRequest(chunk=file)])
            scene = pb.Image(artifact=(await stub.UploadImage(uploads, timeout=60)).image.artifact)
        elif sent == "saved by another program":
            with Image.open(io.BytesIO(file)) as picture:
                saved = io.BytesIO()
                picture.save(saved, "WEBP", xmp=picture.info["xmp"])
            scene = pb.Image(data=saved.getvalue())
        later_id, later, _ = await searched(stub, make_request(scene=scene, search=adaptive(8, first_seed=min(made))))
        assert not made & {term.seed for one in later for term in one.recipe.terms}
        kept = (await stub.GetSearch(pb.GetSearchRequest(search_id=later_id), timeout=10)).search.request
        assert set(kept.search.avoided_seeds) == made


@pytest.mark.parametrize(
    "recipe",
    ["[[7, 0.6], [9, 0.9]]", "[[7, 1" + "0" * 400 + "]]", "[[-1, 1.0]]", "{}", "7", "[" * 100_000, "[[7.5, 1.0]]"],
)
async def test_what_is_no_recipe_in_a_record_changes_nothing(
    serve: Serve, make_request: MakeRequest, png: Callable[..., bytes], recipe: str
) -> None:
    record = f"<x eacps:Record='{{\"recipe\": {recipe}}}'/>"
    async with serve(rules=RULES) as channel:
        stub = SearchServiceStub(channel)
        scene = pb.Image(data=png(96, 64) + record.encode())
        search_id, _, _ = await searched(stub, make_request(scene=scene, search=adaptive(4)))
        kept = (await stub.GetSearch(pb.GetSearchRequest(search_id=search_id), timeout=10)).search.request
        assert not kept.search.avoided_seeds


async def test_no_more_points_are_looked_up_than_a_search_may_begin_from(
    serve: Serve, make_request: MakeRequest
) -> None:
    async with serve(rules=RULES) as channel:
        stub = SearchServiceStub(channel)
        many = make_request(search=adaptive(start=like("0" * 32, "g0-000") * (MAX_START_POINTS + 1)))
        assert await violations_of(stub, many) == ["search.search.start"]
        many.search.start.pop()
        absent = [f"search.search.start[{place}].candidate" for place in range(MAX_START_POINTS)]
        assert await violations_of(stub, many) == absent
