"""Scenes of any size over the wire: framings, the delivered picture, and where it is too large for a message."""

from collections.abc import Callable

import grpc.aio
import numpy as np
import pytest

from benchmarks.wide_scenes import draw_wide_scene
from eacps.api.message_pictures import MOST_INLINE_BYTES
from eacps.assembly import serving
from eacps.imaging import Limits, decode_picture, encode_png
from eacps.settings import Settings
from eacps.triton.embedded import EmbeddedTriton
from eacps.v1 import search_service_pb2 as pb
from eacps.v1.search_service_pb2_grpc import SearchServiceStub
from eacps.wire import artifact_of
from tests.api.conftest import Serve
from tests.api.test_single_calls import render_of, searched, violations_of
from tests.evaluation.colored import COLORS, ColoredModels, scene_with

MakeRequest = Callable[..., pb.RunSearchRequest]
SMALL = (300.0, 200.0, 350.0, 250.0)
LARGE_FILES = Limits(max_bytes=64 * 2**20)


def pixels(data: bytes) -> np.ndarray:
    return decode_picture(data, LARGE_FILES)


async def downloaded(stub: SearchServiceStub, artifact: str) -> bytes:
    request = pb.DownloadArtifactRequest(artifact=artifact)
    return b"".join([part.chunk async for part in stub.DownloadArtifact(request, timeout=60)])


class TestOverToys:
    @pytest.mark.parametrize(
        ("framing", "extent"),
        [
            (pb.FRAMING_UNSPECIFIED, 96),
            (pb.FRAMING_AUTO, 96),
            (pb.FRAMING_FACE, 96),
            (pb.FRAMING_WHOLE, 300),
        ],
    )
    async def test_every_call_works_in_the_same_frame(
        self, serve: Serve, make_request: MakeRequest, framing: pb.Framing, extent: int
    ) -> None:
        scene = scene_with(400, 300, SMALL)
        search = make_request(scene=pb.Image(data=encode_png(scene)), framing=framing)
        async with serve(models=ColoredModels()) as channel:
            stub = SearchServiceStub(channel)
            events = await searched(stub, search)
            finished, prior = events[-1].finished, events[1].prior_ready
            assert prior.frame.right - prior.frame.left == prior.frame.bottom - prior.frame.top == extent
            assert finished.delivered.data == await downloaded(stub, artifact_of(finished.delivered))
            assert pixels(finished.delivered.data).shape == scene.shape
            assert pixels(finished.best.data).shape == (32, 32, 3)
            asked = pb.PreparePriorRequest(scene=search.scene, character=search.character, framing=framing)
            prepared = await stub.PreparePrior(asked, timeout=60)
            assert (prepared.frame, prepared.prior.data) == (prior.frame, prior.prior.data)
            assert pixels(prepared.delivered.data).shape == scene.shape
            render = render_of(search, finished.recipe)
            render.framing = framing
            rendered = await stub.RenderCandidate(render, timeout=60)
            assert rendered.delivered.data == finished.delivered.data
            score = pb.ScoreImagesRequest(
                scene=search.scene,
                character=search.character,
                prompt="smile",
                images=[finished.best, finished.delivered],
                framing=framing,
            )
            for image in score.images:
                image.ClearField("artifact")
            best, delivered = (await stub.ScoreImages(score, timeout=60)).evaluations
        assert best.potential == pytest.approx(finished.evaluation.potential)
        assert delivered.potential == pytest.approx(best.potential, abs=0.1), "its border is the scene's"

    async def test_a_scene_of_the_working_size_is_delivered_as_the_best(
        self, serve: Serve, make_request: MakeRequest, png: Callable[..., bytes]
    ) -> None:
        async with serve() as channel:
            events = await searched(SearchServiceStub(channel), make_request(scene=pb.Image(data=png(32, 32))))
        finished = events[-1].finished
        assert finished.delivered == finished.best
        assert events[1].prior_ready.frame == pb.Box(right=32, bottom=32)

    async def test_a_large_result_is_named_and_downloaded(self, serve: Serve, make_request: MakeRequest) -> None:
        scene = np.random.default_rng(1).integers(90, 170, (1200, 1200, 3), np.uint8)
        scene[600:700, 600:700] = COLORS[0]
        data = encode_png(scene)
        assert MOST_INLINE_BYTES < len(data) < 4 * 2**20
        search = make_request(scene=pb.Image(data=data))
        async with serve(models=ColoredModels()) as channel:
            stub = SearchServiceStub(channel)
            events = await searched(stub, search)
            (finished,) = (event.finished for event in events if event.HasField("finished"))
            assert (finished.delivered.data, bool(finished.best.data)) == (b"", True)
            assert pixels(await downloaded(stub, finished.delivered.artifact)).shape == scene.shape
            search_id = events[0].started.search_id
            kept = await stub.GetSearch(pb.GetSearchRequest(search_id=search_id), timeout=60)
            assert kept.search.result.delivered.artifact == finished.delivered.artifact
            prior = pb.PreparePriorRequest(scene=search.scene, character=search.character)
            prepared = await stub.PreparePrior(prior, timeout=60)
            assert prepared.delivered.data == b""
            assert pixels(await downloaded(stub, prepared.delivered.artifact)).shape == scene.shape
            rendered = await stub.RenderCandidate(render_of(search, finished.recipe), timeout=60)
            assert pixels(await downloaded(stub, rendered.delivered.artifact)).shape == scene.shape

    async def test_a_framing_that_nobody_knows_is_a_fault(self, serve: Serve, make_request: MakeRequest) -> None:
        search = make_request(framing=9)
        recipe = pb.Recipe(terms=[pb.RecipeTerm(seed=1, coefficient=1.0)])
        render = render_of(search, recipe)
        render.framing = 9
        async with serve() as channel:
            stub = SearchServiceStub(channel)
            prior = pb.PreparePriorRequest(scene=search.scene, character=search.character, framing=9)
            score = pb.ScoreImagesRequest(
                scene=search.scene, character=search.character, prompt="x", images=[search.scene], framing=9
            )
            assert await violations_of(stub.PreparePrior(prior, timeout=60)) == ["framing"]
            assert await violations_of(stub.RenderCandidate(render, timeout=60)) == ["framing"]
            assert await violations_of(stub.ScoreImages(score, timeout=60)) == ["framing"]
            created = stub.CreateSearch(pb.CreateSearchRequest(search=search), timeout=60)
            assert await violations_of(created) == ["search.framing"]


async def test_over_real_models_a_face_in_a_wide_scene_is_replaced_in_place(
    triton: EmbeddedTriton, sample_request: MakeRequest
) -> None:
    wide = draw_wide_scene()
    search = sample_request(
        scene=pb.Image(data=encode_png(wide.scene)), character=pb.Image(data=encode_png(wide.character))
    )
    settings = Settings(address="127.0.0.1:0", triton=triton.grpc_url, grace_s=0.0, insecure=True)
    async with serving(settings) as server, grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub = SearchServiceStub(channel)
        events = await searched(stub, search)
        finished = events[-1].finished
        rendered = await stub.RenderCandidate(render_of(search, finished.recipe), timeout=60)
    frame = events[1].prior_ready.frame
    left, top, right, bottom = (int(edge) for edge in (frame.left, frame.top, frame.right, frame.bottom))
    assert left < wide.face[0] < wide.face[2] < right
    assert top < wide.face[1] < wide.face[3] < bottom
    assert right - left < 400, "the face's region, not the whole"
    result = pixels(finished.delivered.data)
    assert result.shape == (600, 800, 3)
    untouched = np.ones(result.shape[:2], bool)
    untouched[top:bottom, left:right] = False
    assert np.array_equal(result[untouched], wide.scene[untouched])
    assert np.abs(result[top:bottom, left:right].astype(int) - wide.scene[top:bottom, left:right]).mean() > 2
    assert np.abs(result.astype(int) - pixels(rendered.delivered.data)).max() <= 8, "batches may round otherwise"


async def test_over_real_models_scenes_of_extreme_sizes_are_looked_at(
    triton: EmbeddedTriton, sample_request: MakeRequest
) -> None:
    character = sample_request().character
    settings = Settings(address="127.0.0.1:0", triton=triton.grpc_url, grace_s=0.0, insecure=True)
    async with serving(settings) as server, grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub = SearchServiceStub(channel)
        for width, height in ((4096, 40), (40, 4096), (32, 32)):
            scene = pb.Image(data=encode_png(np.full((height, width, 3), 128, np.uint8)))
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.PreparePrior(pb.PreparePriorRequest(scene=scene, character=character), timeout=60)
            assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION, "there is nobody in it"
        small = draw_wide_scene(96, 80, side=80, left=10)
        asked = pb.PreparePriorRequest(scene=pb.Image(data=encode_png(small.scene)), character=character)
        prior = await stub.PreparePrior(asked, timeout=60)
    assert pixels(prior.prior.data).shape == (128, 128, 3)
    assert pixels(prior.delivered.data).shape == (80, 96, 3)


async def test_over_real_models_the_mask_counts_at_full_resolution(
    triton: EmbeddedTriton, sample_request: MakeRequest
) -> None:
    wide = draw_wide_scene(seed=1)
    mask = np.zeros(wide.scene.shape[:2], np.uint8)
    left, top, right, bottom = (int(edge) for edge in wide.face)
    mask[top - 30 : bottom + 10, left - 20 : right + 20] = 255
    search = sample_request(
        scene=pb.Image(data=encode_png(wide.scene)),
        character=pb.Image(data=encode_png(wide.character)),
        mask=pb.Image(data=encode_png(mask)),
    )
    settings = Settings(address="127.0.0.1:0", triton=triton.grpc_url, grace_s=0.0, insecure=True)
    async with serving(settings) as server, grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        finished = (await searched(SearchServiceStub(channel), search))[-1].finished
    result = pixels(finished.delivered.data)
    assert np.array_equal(result[mask == 0], wide.scene[mask == 0])
    assert np.abs(result[mask > 0].astype(int) - wide.scene[mask > 0]).mean() > 2
