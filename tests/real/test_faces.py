"""Real face networks and photographs through export, Triton and the API, against insightface's own classes."""

import io
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest
from insightface.app import FaceAnalysis
from insightface.app.common import Face
from insightface.model_zoo.inswapper import INSwapper
from PIL import Image

from eacps.arrays import Picture
from eacps.assembly import serving
from eacps.imaging import encode_png, fit_picture
from eacps.scene.faces import Faces
from eacps.scene.geometry import overlaps
from eacps.settings import Settings
from eacps.triton import TritonGateway
from eacps.triton.embedded import EmbeddedTriton
from eacps.v1 import search_service_pb2 as pb
from eacps.v1.search_service_pb2_grpc import SearchServiceStub
from tests.api.conftest import events_in
from tests.api.test_stored_searches import chunked

pytestmark = pytest.mark.timeout(240)
PIXELS = 1e-3
WORKING = 128  # studio-mini's size


def bgr(picture: Picture) -> Picture:
    return np.ascontiguousarray(picture[..., ::-1])


def image(picture: Picture) -> pb.Image:
    return pb.Image(data=encode_png(picture))


def pixels(picture: pb.Image) -> Picture:
    with Image.open(io.BytesIO(picture.data)) as opened:
        return np.asarray(opened.convert("RGB"))


def edges(box: pb.Box) -> np.ndarray:
    return np.array([box.left, box.top, box.right, box.bottom])


@asynccontextmanager
async def stub_over(triton: EmbeddedTriton) -> AsyncIterator[Any]:
    settings = Settings(address="127.0.0.1:0", triton=triton.grpc_url, grace_s=0.0, insecure=True)
    async with serving(settings) as server, grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield SearchServiceStub(channel)


@asynccontextmanager
async def gateway_to(triton: EmbeddedTriton) -> AsyncIterator[TritonGateway]:
    gateway = await TritonGateway.connect(triton.grpc_url, ready_timeout_s=60.0)
    try:
        yield gateway
    finally:
        await gateway.close()


def assert_equal(found: Sequence[Faces], expected: list[Face], *, within: float = PIXELS) -> None:
    """The same faces in the same order: boxes and landmarks within pixels, and the same people."""
    (faces,) = found
    assert len(faces) == len(expected)
    for index, face in enumerate(expected):
        assert np.abs(faces.boxes[index] - face.bbox).max() <= within
        assert np.abs(faces.landmarks[index] - face.kps).max() <= within
        assert abs(faces.scores[index] - face.det_score) <= 1e-4
        assert float(faces.embeddings[index] @ face.normed_embedding) > 0.9999


def close_ups(picture: Picture, faces: list[Face]) -> list[Picture]:
    """Each face with margins of 5 and 25 hundredths of its box."""
    found = []
    for face in faces:
        left, top, right, bottom = face.bbox
        for margin in (0.05, 0.25):
            across, down = margin * (right - left), margin * (bottom - top)
            rows = slice(max(0, int(top - down)), int(bottom + down))
            found.append(picture[rows, max(0, int(left - across)) : int(right + across)])
    return found


async def test_faces_are_those_of_face_analysis_in_its_order(
    swapping: EmbeddedTriton, analysis: FaceAnalysis, six: Picture, astronaut: Picture
) -> None:
    crowd = np.tile(six, (2, 2, 1))
    async with gateway_to(swapping) as gateway:
        for picture, count in ((six, 6), (astronaut, 1), (crowd, 24)):
            expected = analysis.get(bgr(picture))
            assert len(expected) == count
            assert_equal(await gateway.embed_faces(picture[None]), expected)


async def test_faces_that_fill_their_picture_are_those_of_face_analysis(
    swapping: EmbeddedTriton, analysis: FaceAnalysis, six: Picture, astronaut: Picture
) -> None:
    async with gateway_to(swapping) as gateway:
        for picture in (six, astronaut):
            for shown in close_ups(picture, analysis.get(bgr(picture))):
                expected = analysis.get(bgr(shown))
                assert expected
                assert_equal(await gateway.embed_faces(np.ascontiguousarray(shown)[None]), expected)


async def test_a_detector_of_one_size_finds_what_face_analysis_finds_at_any(
    swapperless: EmbeddedTriton, analysis: FaceAnalysis, six: Picture, astronaut: Picture
) -> None:
    async with gateway_to(swapperless) as gateway:
        assert_equal(await gateway.embed_faces(six[None]), analysis.get(bgr(six)))
        for picture in (six, astronaut):
            for shown in close_ups(picture, analysis.get(bgr(picture))):
                expected = analysis.get(bgr(shown))
                (found,) = await gateway.embed_faces(np.ascontiguousarray(shown)[None])
                assert len(found) == len(expected)
                for face in expected:
                    assert overlaps(found.boxes, face.bbox).max() > 0.7


async def test_the_prior_is_inswappers(
    swapping: EmbeddedTriton, analysis: FaceAnalysis, six: Picture, astronaut: Picture, checkpoint_dir: Path
) -> None:
    expected = analysis.get(bgr(six))
    chosen = int(np.argmin([face.bbox[0] for face in expected]))
    async with stub_over(swapping) as stub:
        request = pb.PreparePriorRequest(
            scene=image(six), character=image(astronaut), scene_face=pb.FaceSelector(index=chosen)
        )
        answer = await stub.PreparePrior(request, timeout=120)
    assert answer.mode == pb.PRIOR_MODE_SWAP
    frame = edges(answer.frame)
    scale = (frame[2] - frame[0]) / WORKING
    corner = np.tile(frame[:2], 2)
    for index, (box, face) in enumerate(zip(answer.scene_faces, expected, strict=True)):
        if index != chosen:  # that one as it was found in the frame
            assert np.abs(edges(box) - face.bbox).max() <= 1e-2
    (person,) = analysis.get(bgr(astronaut))
    assert np.abs(edges(answer.character_face) - person.bbox).max() <= PIXELS
    working = pixels(answer.scene)
    in_frame = (edges(answer.scene_face) - corner) / scale
    replaced = max(analysis.get(bgr(working)), key=lambda face: overlaps([face.bbox], in_frame)[0])
    assert np.abs(in_frame - replaced.bbox).max() <= PIXELS
    swapper = INSwapper(str(checkpoint_dir / "faces" / "swapper.onnx"))
    theirs = swapper.get(bgr(working), replaced, person, paste_back=True)
    assert np.abs(pixels(answer.prior).astype(int) - bgr(theirs)).max() <= 1


async def test_boxes_and_likenesses_choose_whom_they_mean(
    swapping: EmbeddedTriton, analysis: FaceAnalysis, six: Picture, astronaut: Picture
) -> None:
    crowd = np.tile(six, (2, 2, 1))
    expected = analysis.get(bgr(crowd))
    last = expected[-1]
    left, top, right, bottom = (float(edge) for edge in last.bbox)
    rows, columns = slice(int(top) - 60, int(bottom) + 60), slice(int(left) - 60, int(right) + 60)
    async with stub_over(swapping) as stub:

        async def chosen(**by: Any) -> np.ndarray:
            request = pb.PreparePriorRequest(
                scene=image(crowd), character=image(astronaut), scene_face=pb.FaceSelector(**by)
            )
            answer = await stub.PreparePrior(request, timeout=120)
            return edges(answer.scene_face)

        for by in (
            {"index": len(expected) - 1},
            {"box": pb.Box(left=left, top=top, right=right, bottom=bottom)},
            {"box": pb.Box(left=left - 40, top=top - 50, right=right + 40, bottom=bottom + 60)},
        ):
            assert overlaps([await chosen(**by)], last.bbox)[0] > 0.6
        with pytest.raises(grpc.aio.AioRpcError, match="none of them in the box: the nearest") as caught:
            await chosen(box=pb.Box(left=right - 4, top=top, right=right + 90, bottom=bottom))
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        # Every person is in the picture four times.
        by_likeness = await chosen(likeness=image(crowd[rows, columns]))
        alike = [face for face in expected if float(face.normed_embedding @ last.normed_embedding) > 0.9]
        assert len(alike) == 4
        assert max(overlaps([face.bbox], by_likeness)[0] for face in alike) > 0.6


async def test_pictures_are_scored_by_the_cosine_of_their_likest_face(
    swapping: EmbeddedTriton, analysis: FaceAnalysis, six: Picture, astronaut: Picture
) -> None:
    (person,) = analysis.get(bgr(astronaut))
    pictures = close_ups(astronaut, [person]) + close_ups(six, analysis.get(bgr(six)))[:2]
    async with stub_over(swapping) as stub:
        request = pb.ScoreImagesRequest(
            scene=image(astronaut),
            character=image(astronaut),
            prompt="smile",
            images=[image(picture) for picture in pictures],
            scorers=[pb.ScorerSettings(name="identity", weight=1.0)],
        )
        answer = await stub.ScoreImages(request, timeout=120)
    for evaluation, picture in zip(answer.evaluations, pictures, strict=True):
        faces = analysis.get(bgr(fit_picture(picture, width=WORKING, height=WORKING)))
        assert faces
        expected = max(float(face.normed_embedding @ person.normed_embedding) for face in faces)
        assert evaluation.scores[0].raw == pytest.approx(max(expected, 0.0), abs=1e-3)
    assert answer.evaluations[0].scores[0].raw > 0.5, "a face that fills the picture is the person"


async def test_a_wall_is_refused_in_seconds(swapping: EmbeddedTriton, astronaut: Picture) -> None:
    rng = np.random.default_rng(0)
    wall = np.repeat(rng.integers(110, 140, (3000, 4000, 1), np.uint8), 3, axis=2)
    async with stub_over(swapping) as stub:
        uploaded = await stub.UploadImage(chunked(encode_png(wall)), timeout=120)
        request = pb.PreparePriorRequest(scene=uploaded.image, character=image(astronaut))
        with pytest.raises(grpc.aio.AioRpcError, match="no face found in scene") as caught:
            await stub.PreparePrior(request, timeout=60)
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION


@pytest.mark.parametrize("kind", ["default", "none", "given"])
async def test_a_search_without_a_swapper_runs_to_its_end(
    swapperless: EmbeddedTriton, analysis: FaceAnalysis, astronaut: Picture, six: Picture, kind: str
) -> None:
    given = astronaut[:, ::-1]
    prior = {
        "default": None,
        "none": pb.PriorSettings(none=pb.NoPrior()),
        "given": pb.PriorSettings(given=image(given)),
    }[kind]
    request = pb.RunSearchRequest(
        scene=image(astronaut),
        character=image(six),
        prompt="make the person smile",
        prior=prior,
        framing=pb.FRAMING_WHOLE,
        sampler=pb.SamplerSettings(steps=2),
        search=pb.SearchSettings(best_of_n={"trajectories": 2}, random_seed=1),
    )
    async with stub_over(swapperless) as stub:
        events = await events_in(stub.RunSearch(request, timeout=200))
    ready, finished = events[1].prior_ready, events[-1].finished
    assert ready.mode == (pb.PRIOR_MODE_GIVEN if kind == "given" else pb.PRIOR_MODE_NONE)
    shown = given if kind == "given" else astronaut
    np.testing.assert_array_equal(pixels(ready.prior), fit_picture(shown, width=WORKING, height=WORKING))
    assert finished.statistics.candidates == 2
    largest = max(analysis.get(bgr(six)), key=lambda face: np.prod(face.bbox[2:] - face.bbox[:2]))
    assert np.abs(edges(ready.character_face) - largest.bbox).max() <= 2
    refused = pb.PreparePriorRequest(scene=request.scene, character=request.character)
    refused.prior.swap.SetInParent()
    async with stub_over(swapperless) as stub:
        with pytest.raises(grpc.aio.AioRpcError, match="face swapper") as caught:
            await stub.PreparePrior(refused, timeout=60)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
