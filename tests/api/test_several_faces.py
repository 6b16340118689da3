"""Two people in one scene, several pictures of a character, references: over the real models, end to end.

The people are drawn, and none of them was trained on. In the scene the first stands at the left, larger, the second at
the right.
"""

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest
from PIL import Image

from eacps.assembly import serving
from eacps.imaging import encode_png
from eacps.settings import Settings
from eacps.triton import TritonGateway
from eacps.triton.embedded import EmbeddedTriton
from eacps.v1 import search_service_pb2 as pb
from eacps.v1.search_service_pb2_grpc import SearchServiceStub
from studio_mini.world.tasks import Split, face
from tests.api.conftest import events_in

LEFT, RIGHT, CHARACTER = 1, 2, 3
LEFT_BOX = pb.Box(left=20, top=70, right=100, bottom=160)
RIGHT_BOX = pb.Box(left=150, top=70, right=240, bottom=160)


def shot(person: int, number: int = 0) -> np.ndarray:
    """One of any number of pictures of a person, ``uint8 [128, 128, 3]``."""
    return face(person, number, Split.HELD_OUT)[0].picture


def together(left: np.ndarray, right: np.ndarray, side: int = 96) -> np.ndarray:
    """Both in one picture, ``uint8 [224, 256, 3]``: 128 pixels at the left, ``side`` at the right."""
    picture = np.full((224, 256, 3), (90, 96, 110), np.uint8)
    picture[48:176, :128] = left
    small = Image.fromarray(right).resize((side, side), Image.Resampling.LANCZOS)
    picture[64 : 64 + side, 144 : 144 + side] = small
    return picture


def image(picture: np.ndarray) -> pb.Image:
    return pb.Image(data=encode_png(picture))


def pixels(picture: pb.Image) -> np.ndarray:
    with Image.open(io.BytesIO(picture.data)) as opened:
        return np.asarray(opened.convert("RGB")).astype(int)


def by(**fields: Any) -> pb.FaceSelector:
    return pb.FaceSelector(**fields)


SCENE = together(shot(LEFT), shot(RIGHT))
# All of the scene is worked on, so that both are seen in it.
SHOWN = {"scene": image(SCENE), "character": image(shot(CHARACTER)), "framing": pb.FRAMING_WHOLE}


@pytest.fixture
async def stub(triton: EmbeddedTriton) -> AsyncIterator[Any]:
    settings = Settings(address="127.0.0.1:0", triton=triton.grpc_url, grace_s=0.0, insecure=True)
    async with serving(settings) as server, grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield SearchServiceStub(channel)


@asynccontextmanager
async def gateway_to(triton: EmbeddedTriton) -> AsyncIterator[TritonGateway]:
    gateway = await TritonGateway.connect(triton.grpc_url, ready_timeout_s=30.0)
    try:
        yield gateway
    finally:
        await gateway.close()


async def prior_of(stub: Any, **fields: Any) -> pb.PreparePriorResponse:
    return await stub.PreparePrior(pb.PreparePriorRequest(**{**SHOWN, **fields}), timeout=60)


def changes(answer: pb.PreparePriorResponse) -> tuple[float, float]:
    """By how much the prior differs from the scene in its left and in its right half."""
    columns = np.abs(pixels(answer.prior) - pixels(answer.scene)).mean(axis=(0, 2))
    half = len(columns) // 2
    return float(columns[:half].mean()), float(columns[half:].mean())


async def refusal_of(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details()


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"scene_face": by(index=0)},
        {"scene_face": by(box=LEFT_BOX)},
        {"scene_face": by(likeness=image(shot(LEFT, 1)))},
    ],
    ids=["default", "index", "box", "likeness"],
)
async def test_the_left_one_is_replaced(stub: Any, fields: dict[str, Any]) -> None:
    answer = await prior_of(stub, **fields)
    left, right = changes(answer)
    assert left > 2
    assert right == 0
    assert len(answer.scene_faces) == 2
    assert answer.scene_face == answer.scene_faces[0]
    assert answer.prior == (await prior_of(stub)).prior


@pytest.mark.parametrize(
    "fields",
    [
        {"scene_face": by(index=1)},
        {"scene_face": by(box=RIGHT_BOX)},
        {"scene_face": by(likeness=image(shot(RIGHT, 1)))},
        {"scene_face": by(likeness=image(together(shot(RIGHT, 1), shot(LEFT, 1), 64)))},
    ],
    ids=["index", "box", "likeness", "likeness to the larger of two"],
)
async def test_the_right_one_is_replaced(stub: Any, fields: dict[str, Any]) -> None:
    answer = await prior_of(stub, **fields)
    left, right = changes(answer)
    assert left == 0
    assert right > 2
    assert answer.scene_face == answer.scene_faces[1]


async def test_every_box_is_in_pixels_of_the_picture_as_it_was_sent(stub: Any) -> None:
    large = Image.fromarray(SCENE).resize((1024, 896), Image.Resampling.LANCZOS)
    scene = np.full((1000, 1600, 3), (90, 96, 110), np.uint8)
    scene[60:956, 500:1524] = large
    turned, data = Image.fromarray(np.rot90(scene)), io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    turned.save(data, "PNG", exif=exif)
    sent = pb.Image(data=data.getvalue())
    detected = await stub.DetectFaces(pb.DetectFacesRequest(picture=sent), timeout=60)
    assert (detected.width, detected.height) == (1600, 1000)
    assert [0 <= one.detection_score <= 1 for one in detected.faces] == [True, True]
    small = (await stub.DetectFaces(pb.DetectFacesRequest(picture=image(SCENE)), timeout=60)).faces
    for one, unscaled in zip(detected.faces, small, strict=True):
        drawn = [500 + 4 * unscaled.box.left, 60 + 4 * unscaled.box.top]
        drawn += [500 + 4 * unscaled.box.right, 60 + 4 * unscaled.box.bottom]
        found = [one.box.left, one.box.top, one.box.right, one.box.bottom]
        assert np.abs(np.subtract(found, drawn)).max() <= 25, "a twentieth of a face of 500 pixels"
    prior = await prior_of(stub, scene=sent, framing=pb.FRAMING_FACE, scene_face=by(box=detected.faces[1].box))
    for one, counted in zip(detected.faces, prior.scene_faces, strict=True):
        for edge in ("left", "top", "right", "bottom"):  # the one to be replaced is found again in the frame
            assert getattr(one.box, edge) == pytest.approx(getattr(counted, edge), abs=40), "as a selector counts them"
    assert prior.scene_face == prior.scene_faces[1]
    assert prior.frame.left <= prior.scene_face.left < prior.scene_face.right <= prior.frame.right


async def test_who_is_not_in_the_scene_is_not_replaced(stub: Any) -> None:
    code, text = await refusal_of(prior_of(stub, scene_face=by(likeness=SHOWN["character"])))
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert "2 faces found in scene, none of them alike enough" in text
    code, text = await refusal_of(prior_of(stub, scene_face=by(box=pb.Box(right=9, bottom=9))))
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert "none of them in the box: the nearest, 0, is at" in text


async def test_the_characters_face_is_found_among_others(stub: Any) -> None:
    crowd = together(shot(LEFT, 2), shot(CHARACTER))
    faces = (await prior_of(stub, character=image(crowd))).character_faces
    (index,) = (index for index, box in enumerate(faces) if box.left > 128)
    wanted = {"box": RIGHT_BOX, "likeness": image(shot(CHARACTER, 1)), "index": index}
    answers = [
        await prior_of(stub, character=image(crowd), character_face=by(**{name: value}))
        for name, value in wanted.items()
    ]
    largest = await prior_of(stub, character=image(crowd))
    assert all(answer.prior == answers[0].prior for answer in answers)
    assert all(answer.character_face.left > 128 for answer in answers)
    assert (pixels(largest.prior) != pixels(answers[0].prior)).any()


async def test_pictures_of_one_person_are_averaged(stub: Any, triton: EmbeddedTriton) -> None:
    more = [image(shot(CHARACTER, 1)), image(together(shot(LEFT, 1), shot(CHARACTER, 2)))]
    alone, averaged = await prior_of(stub), await prior_of(stub, more_characters=more)
    assert averaged.scene_face == alone.scene_face
    assert averaged.character_face == alone.character_face
    assert (pixels(averaged.prior) != pixels(alone.prior)).any()
    reordered = await prior_of(stub, more_characters=more[::-1])
    assert np.abs(pixels(reordered.prior) - pixels(averaged.prior)).max() <= 1
    async with gateway_to(triton) as gateway:
        first, second = [
            (await gateway.embed_faces(shot(CHARACTER, number)[None]))[0].embeddings[0] for number in (0, 1)
        ]
        crowd = (await gateway.embed_faces(together(shot(LEFT, 1), shot(CHARACTER, 2))[None]))[0].embeddings
        likest = crowd[(crowd @ first).argmax()]
        mean = first + second + likest
        source = (mean / np.linalg.norm(mean)).astype(np.float32)
        scene = pixels(averaged.scene).astype(np.uint8)
        (faces,) = await gateway.embed_faces(scene[None])
        replaced = int((faces.boxes[:, 2] - faces.boxes[:, 0]).argmax())
        expected = await gateway.swap_face(scene, faces.landmarks[replaced], source)
    assert np.abs(pixels(averaged.prior) - expected).max() <= 1


async def test_a_stranger_among_the_pictures_is_named(stub: Any) -> None:
    more = [image(shot(CHARACTER, 1)), image(shot(LEFT, 1))]
    code, text = await refusal_of(prior_of(stub, more_characters=more))
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert "1 face found in more_characters[1], none of them alike enough" in text


def search_request(**fields: Any) -> pb.RunSearchRequest:
    settings = {
        "prompt": "make the person look happy",
        "sampler": pb.SamplerSettings(steps=2),
        "search": pb.SearchSettings(best_of_n={"trajectories": 2}, random_seed=3),
    }
    return pb.RunSearchRequest(**{**SHOWN, **settings, **fields})


async def found(stub: Any, request: pb.RunSearchRequest) -> list[pb.SearchEvent]:
    return await events_in(stub.RunSearch(request, timeout=120))


async def test_a_search_over_all_of_it_scores_against_the_mean_and_renders_again(stub: Any) -> None:
    request = search_request(
        scene_face=by(likeness=image(shot(RIGHT, 1))),
        more_characters=[image(shot(CHARACTER, 1))],
        references=[image(shot(CHARACTER, 2))],
    )
    events = await found(stub, request)
    prior, finished = events[1].prior_ready, events[-1].finished
    assert prior.scene_face.left > 64
    render = pb.RenderCandidateRequest(
        recipe=finished.recipe,
        **{name: getattr(request, name) for name in ("prompt", "sampler", "scene_face")},
        **SHOWN,
    )
    render.more_characters.extend(request.more_characters)
    assert not close(await stub.RenderCandidate(render, timeout=60), finished), "the reference must count"
    render.references.extend(request.references)
    assert close(await stub.RenderCandidate(render, timeout=60), finished)
    scored = {}
    for name, more in (("mean", request.more_characters), ("one", [])):
        answer = await stub.ScoreImages(
            pb.ScoreImagesRequest(
                **SHOWN,
                prompt=request.prompt,
                images=[prior.prior],
                scene_face=request.scene_face,
                more_characters=more,
            ),
            timeout=60,
        )
        scored[name] = {one.scorer: one.raw for one in answer.evaluations[0].scores}
    told = {one.scorer: one.raw for one in prior.evaluation.scores}
    for scorer in ("identity", "identity_heldout"):
        assert told[scorer] > 0
        assert scored["mean"][scorer] == pytest.approx(told[scorer], abs=0.01)
        assert scored["one"][scorer] != pytest.approx(told[scorer], abs=1e-4)


def close(rendered: pb.RenderCandidateResponse, finished: pb.SearchFinished) -> bool:
    return bool(np.abs(pixels(rendered.picture) - pixels(finished.best)).max() <= 1)


async def test_references_change_what_the_model_makes(stub: Any) -> None:
    plain = (await found(stub, search_request()))[-1].finished
    shown = (await found(stub, search_request(references=[image(shot(CHARACTER, 1))])))[-1].finished
    assert np.abs(pixels(plain.best) - pixels(shown.best)).mean() > 0.5


async def test_more_pictures_than_the_model_takes_are_refused(stub: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match="the model sees at most 3 pictures") as caught:
        await found(stub, search_request(references=[image(shot(CHARACTER, number)) for number in (1, 2)]))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
