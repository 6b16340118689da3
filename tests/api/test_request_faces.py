"""Choices of faces and further pictures over the API: kept with their search, by hash or with it, and replayed."""

from collections.abc import Callable
from pathlib import Path

import grpc
import grpc.aio
import numpy as np
import pytest

from eacps.durable import Database, ObjectStore, Retention, Sweeper, open_store, sqlite_url
from eacps.testing import ToyModels
from eacps.triton import Generated, GenerateRequest
from eacps.v1 import search_service_pb2 as pb
from eacps.v1.search_service_pb2_grpc import SearchServiceStub
from eacps.wire import copy_fields, images_in
from tests.api.conftest import Serve
from tests.api.test_stored_searches import chunked, create, downloaded, refused, violations_of, watched

MakeRequest = Callable[..., pb.RunSearchRequest]
Png = Callable[..., bytes]
PEOPLE = ("scene_face", "character_face", "more_characters")
PATHS = [
    "scene",
    "character",
    "scene_face.likeness",
    "character_face.likeness",
    "more_characters[0]",
    "more_characters[1]",
    "references[0]",
]


class Watching(ToyModels):
    """Remembers what the sampler was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[np.ndarray] = []

    async def generate(self, request: GenerateRequest, *, timeout_s: float | None = None) -> Generated:
        self.shown.append(request.pictures)
        return await super().generate(request, timeout_s=timeout_s)


@pytest.fixture
def crowded(make_request: MakeRequest, png: Png) -> pb.RunSearchRequest:
    """A request with a picture, each another one, wherever there may be one."""
    by = [pb.FaceSelector(likeness=pb.Image(data=png(40, 40, seed=seed))) for seed in (10, 11)]
    return make_request(
        scene_face=by[0],
        character_face=by[1],
        more_characters=[pb.Image(data=png(36, 48, seed=seed)) for seed in (12, 13)],
        references=[pb.Image(data=png(50, 50, seed=14))],
    )


async def named(stub: SearchServiceStub, request: pb.RunSearchRequest) -> pb.RunSearchRequest:
    """The same request with every picture uploaded before."""
    bare = pb.RunSearchRequest()
    bare.CopyFrom(request)
    for _, image in images_in(bare):
        image.CopyFrom((await stub.UploadImage(chunked(image.data), timeout=60)).image)
    return bare


async def test_a_kept_search_keeps_all_its_pictures(serve: Serve, crowded: pb.RunSearchRequest, tmp_path: Path) -> None:
    async with serve() as channel:
        stub = SearchServiceStub(channel)
        search = await create(stub, crowded)
        assert (await watched(stub, search.search_id))[-1].HasField("finished")
        kept = (await stub.GetSearch(pb.GetSearchRequest(search_id=search.search_id))).search.request
        assert [path for path, _ in images_in(kept)] == PATHS
        assert not any(image.data for _, image in images_in(kept))
        wanted = {
            image.artifact: given.data for (_, image), (_, given) in zip(*map(images_in, (kept, crowded)), strict=True)
        }
        assert len(wanted) == len(PATHS)
        for digest, data in wanted.items():
            assert await downloaded(stub, digest) == data
    database = Database(sqlite_url(tmp_path / "searches.sqlite"))
    objects = ObjectStore(open_store(str(tmp_path / "artifacts")), database)
    await Sweeper(database, objects, Retention(upload_s=-1)).sweep()
    for digest, data in wanted.items():
        assert await objects.get(digest) == data
    database.close()


async def test_pictures_by_hash_are_the_same_search(serve: Serve, crowded: pb.RunSearchRequest) -> None:
    async with serve() as channel:
        stub = SearchServiceStub(channel)
        crowded.request_id = "take-1"
        first = await create(stub, crowded)
        again = await create(stub, await named(stub, crowded))
        assert again.search_id == first.search_id
        other = await named(stub, crowded)
        other.references.add(artifact=other.scene.artifact)
        other.sampler.character_as_reference = False
        assert (await refused(create(stub, other))).code() is grpc.StatusCode.ALREADY_EXISTS


async def test_a_picture_that_is_not_there_is_named_by_its_path(serve: Serve, crowded: pb.RunSearchRequest) -> None:
    async with serve() as channel:
        stub = SearchServiceStub(channel)
        for _, image in images_in(crowded):
            image.artifact = "0" * 64
            image.ClearField("data")
        found = violations_of(await refused(create(stub, crowded)))
    assert list(found) == [f"search.{path}.artifact" for path in PATHS]


async def test_the_model_is_shown_prior_character_and_references_in_search_and_render(
    serve: Serve, crowded: pb.RunSearchRequest
) -> None:
    models = Watching()
    async with serve(models=models) as channel:
        stub = SearchServiceStub(channel)
        search = await create(stub, crowded)
        events = await watched(stub, search.search_id)
        scored = next(event.candidate_scored for event in events if event.HasField("candidate_scored"))
        request = pb.RenderCandidateRequest(recipe=scored.recipe)
        copy_fields(crowded, request, ("scene", "character", "prompt", "references", *PEOPLE))
        answer = await stub.RenderCandidate(request, timeout=60)
    assert answer.picture_sha256 == scored.picture_sha256
    assert {one.shape for one in models.shown} == {(3, 32, 32, 3)}
    assert all((one == models.shown[0]).all() for one in models.shown)
    assert len({one.tobytes() for one in models.shown[0]}) == 3


async def test_single_calls_take_them_and_name_their_faults(serve: Serve, crowded: pb.RunSearchRequest) -> None:
    bad = pb.FaceSelector(box=pb.Box())
    async with serve() as channel:
        stub = SearchServiceStub(channel)
        prior, score = pb.PreparePriorRequest(), pb.ScoreImagesRequest(prompt="smile", images=[crowded.scene])
        render = pb.RenderCandidateRequest(recipe=pb.Recipe(terms=[pb.RecipeTerm(seed=1, coefficient=1.0)]))
        for request in (prior, score, render):
            copy_fields(crowded, request, ("scene", "character", *PEOPLE))
        copy_fields(crowded, render, ("prompt", "references"))
        assert (await stub.PreparePrior(prior, timeout=60)).prior.data
        assert (await stub.RenderCandidate(render, timeout=60)).picture.data
        assert len((await stub.ScoreImages(score, timeout=60)).evaluations) == 1
        for call, request in ((stub.PreparePrior, prior), (stub.ScoreImages, score), (stub.RenderCandidate, render)):
            request.scene_face.CopyFrom(bad)
            request.more_characters.extend([crowded.scene] * 6)
            found = violations_of(await refused(call(request, timeout=60)))
            assert list(found) == ["scene_face.box", "more_characters"]
