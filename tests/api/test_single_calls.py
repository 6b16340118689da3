"""PreparePrior, RenderCandidate and ScoreImages: over the toy landscape, and the same pictures over real models."""

import io
from collections.abc import Callable
from dataclasses import replace

import grpc.aio
import numpy as np
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from PIL import Image

from eacps.assembly import serving
from eacps.errors import TritonUnavailable
from eacps.settings import Settings
from eacps.testing import ToyModels, ToyScorer
from eacps.triton.embedded import EmbeddedTriton
from eacps.v1 import search_service_pb2 as pb
from eacps.v1.search_service_pb2_grpc import SearchServiceStub
from tests.api.conftest import UNRATED, Serve, events_in

MakeRequest = Callable[..., pb.RunSearchRequest]


def pixels(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture)


def render_of(search: pb.RunSearchRequest, recipe: pb.Recipe) -> pb.RenderCandidateRequest:
    """A request for one of a search's candidates."""
    return pb.RenderCandidateRequest(
        scene=search.scene, character=search.character, prompt=search.prompt, sampler=search.sampler, recipe=recipe
    )


async def violations_of(call: grpc.aio.UnaryUnaryCall) -> list[str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    bad_request = error_details_pb2.BadRequest()
    for detail in rpc_status.from_call(caught.value).details:
        if detail.Unpack(bad_request):
            break
    return [violation.field for violation in bad_request.field_violations]


async def searched(stub: SearchServiceStub, request: pb.RunSearchRequest) -> list[pb.SearchEvent]:
    return await events_in(stub.RunSearch(request, timeout=60))


class TestOverToys:
    async def test_a_prior_comes_with_its_faces(self, serve: Serve, make_request: MakeRequest) -> None:
        search = make_request()
        async with serve() as channel:
            stub = SearchServiceStub(channel)
            answer = await stub.PreparePrior(
                pb.PreparePriorRequest(scene=search.scene, character=search.character), timeout=60
            )
            prior = next(e.prior_ready for e in await searched(stub, search) if e.HasField("prior_ready"))
        assert (answer.prior.data, answer.scene.data) == (prior.prior.data, prior.scene.data)
        assert (answer.scene_face, answer.character_face) == (prior.scene_face, prior.character_face)
        assert list(answer.scene_faces) == [answer.scene_face]
        assert list(answer.character_faces) == [answer.character_face]
        assert answer.versions["checkpoint"].startswith("toy@")

    async def test_faces_are_found_and_nothing_is_made(
        self, serve: Serve, make_request: MakeRequest, png: Callable[..., bytes]
    ) -> None:
        async with serve() as channel:
            stub = SearchServiceStub(channel)
            answer = await stub.DetectFaces(pb.DetectFacesRequest(picture=pb.Image(data=png(40, 32))), timeout=60)
            for name in ("picture", "picture.data"):
                request = pb.DetectFacesRequest(picture=pb.Image(data=b"junk") if "." in name else None)
                assert await violations_of(stub.DetectFaces(request, timeout=60)) == [name]
        assert (answer.width, answer.height, len(answer.faces)) == (40, 32, 1)
        async with serve(models=ToyModels(sees_faces=False)) as channel:
            request = pb.DetectFacesRequest(picture=pb.Image(data=png(40, 32)))
            assert not (await SearchServiceStub(channel).DetectFaces(request, timeout=60)).faces

    async def test_a_candidate_is_made_again_from_its_recipe(self, serve: Serve, make_request: MakeRequest) -> None:
        search = make_request()
        async with serve() as channel:
            stub = SearchServiceStub(channel)
            events = await searched(stub, search)
            for scored in [event.candidate_scored for event in events if event.HasField("candidate_scored")]:
                answer = await stub.RenderCandidate(render_of(search, scored.recipe), timeout=60)
                assert answer.picture_sha256 == scored.picture_sha256
            assert answer.steps == 4
            search.sampler.steps = 9
            answer = await stub.RenderCandidate(render_of(search, scored.recipe), timeout=60)
        assert answer.steps == 9
        assert pixels(answer.picture.data).shape == (32, 32, 3)

    async def test_pictures_are_scored_in_their_order_at_the_models_size(
        self, serve: Serve, make_request: MakeRequest, png: Callable[..., bytes]
    ) -> None:
        search = make_request()
        dark, light = io.BytesIO(), io.BytesIO()
        Image.new("RGB", (48, 64), (51, 51, 51)).save(dark, "PNG")
        Image.new("RGB", (200, 50), (204, 204, 204)).save(light, "JPEG", quality=95)
        request = pb.ScoreImagesRequest(
            scene=search.scene,
            character=search.character,
            prompt="smile",
            images=[pb.Image(data=light.getvalue()), pb.Image(data=dark.getvalue())],
            scorers=[pb.ScorerSettings(name="brightness", weight=3.0), pb.ScorerSettings(name="other", weight=1.0)],
        )
        async with serve() as channel:
            answer = await SearchServiceStub(channel).ScoreImages(request, timeout=60)
        assert [one.potential for one in answer.evaluations] == [pytest.approx(0.8, abs=0.01), pytest.approx(0.2)]
        assert [score.scorer for score in answer.evaluations[0].scores] == ["brightness", "other"]
        assert set(answer.versions) >= {"eacps", "checkpoint", "scorer.brightness", "scorer.other"}

    async def test_a_scorer_that_fails_leaves_its_score_missing(self, serve: Serve, make_request: MakeRequest) -> None:
        class Broken(ToyScorer):
            async def score(self, *_: object) -> dict[str, float]:
                raise RuntimeError("broken")

        search = make_request()
        request = pb.ScoreImagesRequest(
            scene=search.scene,
            character=search.character,
            prompt="smile",
            images=[search.scene],
            scorers=[pb.ScorerSettings(name="brightness", weight=1.0), pb.ScorerSettings(name="other", weight=1.0)],
        )
        async with serve(scorers={"brightness": ToyScorer(), "other": Broken("other")}) as channel:
            (evaluation,) = (await SearchServiceStub(channel).ScoreImages(request, timeout=60)).evaluations
        assert not evaluation.complete
        assert [bool(score.failure) for score in evaluation.scores] == [False, True]

    async def test_an_outage_while_scoring_is_an_outage_of_the_call(
        self, serve: Serve, make_request: MakeRequest
    ) -> None:
        class Away(ToyScorer):
            async def score(self, *_: object) -> dict[str, float]:
                raise TritonUnavailable("away")

        search = make_request()
        request = pb.ScoreImagesRequest(
            scene=search.scene,
            character=search.character,
            prompt="smile",
            images=[search.scene],
            scorers=[pb.ScorerSettings(name="other", weight=1.0)],
        )
        async with serve(scorers={"other": Away("other")}) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await SearchServiceStub(channel).ScoreImages(request, timeout=60)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE

    async def test_every_fault_is_named_at_once(self, serve: Serve, make_request: MakeRequest) -> None:
        search, junk = make_request(), pb.Image(data=b"junk")
        async with serve() as channel:
            stub = SearchServiceStub(channel)
            prior = stub.PreparePrior(
                pb.PreparePriorRequest(scene=junk, scene_face=pb.FaceSelector(index=1000)), timeout=60
            )
            assert sorted(await violations_of(prior)) == ["character", "scene.data", "scene_face.index"]
            render = render_of(search, pb.Recipe(terms=[pb.RecipeTerm(seed=1, coefficient=0.5)]))
            render.ClearField("prompt")
            render.sampler.steps = 0
            assert sorted(await violations_of(stub.RenderCandidate(render, timeout=60))) == [
                "prompt",
                "recipe.terms",
                "sampler.steps",
            ]
            score = pb.ScoreImagesRequest(
                scene=search.scene,
                character=search.character,
                images=[search.scene, junk],
                scorers=[pb.ScorerSettings(name="beauty", weight=1.0)],
            )
            assert sorted(await violations_of(stub.ScoreImages(score, timeout=60))) == [
                "images[1].data",
                "prompt",
                "scorers[0].name",
            ]
            score.ClearField("images")
            assert "images" in await violations_of(stub.ScoreImages(score, timeout=60))
            score.images.extend([search.scene] * 17)
            assert "images" in await violations_of(stub.ScoreImages(score, timeout=60))

    async def test_beyond_the_limit_they_are_asked_to_come_again(self, serve: Serve, make_request: MakeRequest) -> None:
        search = make_request()
        request = pb.PreparePriorRequest(scene=search.scene, character=search.character)
        async with serve(admitted=replace(UNRATED, pictures=0)) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await SearchServiceStub(channel).PreparePrior(request, timeout=60)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_over_real_models_a_recipe_gives_its_picture_and_scores_again(
    triton: EmbeddedTriton, sample_request: MakeRequest
) -> None:
    settings = Settings(address="127.0.0.1:0", triton=triton.grpc_url, grace_s=0.0, insecure=True)
    search = sample_request()
    async with serving(settings) as server, grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub = SearchServiceStub(channel)
        finished = (await searched(stub, search))[-1].finished
        rendered = await stub.RenderCandidate(render_of(search, finished.recipe), timeout=60)
        request = pb.ScoreImagesRequest(
            scene=search.scene, character=search.character, prompt=search.prompt, images=[rendered.picture]
        )
        (scored,) = (await stub.ScoreImages(request, timeout=60)).evaluations
        prior = await stub.PreparePrior(
            pb.PreparePriorRequest(scene=search.scene, character=search.character), timeout=60
        )
    assert len(prior.scene_faces) == len(prior.character_faces) == 1
    assert list(prior.scene_faces) == [prior.scene_face]
    assert list(prior.character_faces) == [prior.character_face]
    differences = np.abs(pixels(rendered.picture.data).astype(int) - pixels(finished.best.data))
    assert differences.max() <= 1, "batches of another size may round otherwise"
    assert scored.potential == pytest.approx(finished.evaluation.potential, abs=0.01)
