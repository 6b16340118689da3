"""How priors are made, over the API: asked for, by default, without a face swapper, kept and rendered again."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import grpc
import numpy as np
import pytest

from eacps.api.priors import settings_of
from eacps.api.validation import plan_of
from eacps.errors import InvalidRequest
from eacps.evaluation.plan import PriorMode
from eacps.imaging import decode_picture
from eacps.scene.faces import Faces
from eacps.testing import ToyModels
from eacps.triton import Generated, GenerateRequest, ServedCheckpoint
from eacps.v1 import search_service_pb2 as pb
from eacps.v1.search_service_pb2_grpc import SearchServiceStub
from eacps.wire import copy_fields, images_in
from tests.api.conftest import RULES, Serve
from tests.api.test_stored_searches import create, refused, violations_of, watched

MakeRequest = Callable[..., pb.RunSearchRequest]
Png = Callable[..., bytes]
SWAP, NONE = pb.PriorSettings(swap=pb.FaceSwap()), pb.PriorSettings(none=pb.NoPrior())
SWAPPERLESS = replace(RULES, face_swap=False)


class Watching(ToyModels):
    """Remembers what the sampler was shown, and may serve no swapper."""

    def __init__(self, *, face_swap: bool = True) -> None:
        super().__init__()
        self.face_swap = face_swap
        self.shown: list[np.ndarray] = []

    async def describe(self) -> ServedCheckpoint:
        return replace(await super().describe(), face_swap=self.face_swap)

    async def swap_face(self, *inputs: Any, **settings: Any) -> np.ndarray:
        assert self.face_swap
        return await super().swap_face(*inputs, **settings)

    async def generate(self, request: GenerateRequest, *, timeout_s: float | None = None) -> Generated:
        self.shown.append(request.pictures)
        return await super().generate(request, timeout_s=timeout_s)


def asked(request: pb.RunSearchRequest, **fields: Any) -> dict[str, str]:
    with pytest.raises(InvalidRequest) as caught:
        plan_of(request, replace(RULES, **fields), search_id="x", drawn_seed=1)
    return {one.field: one.description for one in caught.value.violations}


@pytest.mark.parametrize(
    ("prior", "swapper", "mode"),
    [
        (None, True, PriorMode.SWAP),
        (None, False, PriorMode.NONE),
        (SWAP, True, PriorMode.SWAP),
        (NONE, True, PriorMode.NONE),
        (NONE, False, PriorMode.NONE),
    ],
)
def test_the_default_is_what_is_served(
    make_request: MakeRequest, prior: pb.PriorSettings | None, swapper: bool, mode: PriorMode
) -> None:
    rules = replace(RULES, face_swap=swapper)
    plan = plan_of(make_request(prior=prior), rules, search_id="x", drawn_seed=1)
    assert (plan.settings.prior, plan.pictures.given_prior) == (mode, None)


def test_faults_are_named_by_field(make_request: MakeRequest, png: Png) -> None:
    assert "neither swap nor none nor given" in asked(make_request(prior=pb.PriorSettings()))["prior"]
    assert "needs a face swapper" in asked(make_request(prior=SWAP), face_swap=False)["prior.swap"]
    junk = pb.PriorSettings(given=pb.Image(data=b"GIF89a"))
    assert "is not a PNG" in asked(make_request(prior=junk, prompt=""))["prior.given.data"]
    alone = pb.SamplerSettings(character_as_reference=False)
    for prior, swapper in ((NONE, True), (None, False)):
        violations = asked(make_request(prior=prior, sampler=alone), face_swap=swapper)
        assert "sees the person nowhere else" in violations["sampler.character_as_reference"]
    given = pb.PriorSettings(given=pb.Image(data=png()))
    plan = plan_of(make_request(prior=given, sampler=alone), SWAPPERLESS, search_id="x", drawn_seed=1)
    assert plan.pictures.given_prior is not None


@pytest.mark.parametrize("swapper", [True, False])
@pytest.mark.parametrize("kind", ["default", "none", "given"])
async def test_a_search_says_how_its_prior_was_made_keeps_it_and_renders_the_same(
    serve: Serve, make_request: MakeRequest, png: Png, kind: str, swapper: bool
) -> None:
    given = pb.PriorSettings(given=pb.Image(data=png(seed=9)))
    request = make_request(prior={"default": None, "none": NONE, "given": given}[kind])
    models = Watching(face_swap=swapper)
    async with serve(rules=replace(RULES, face_swap=swapper), models=models) as channel:
        stub = SearchServiceStub(channel)
        search = await create(stub, request)
        events = await watched(stub, search.search_id)
        ready = next(event.prior_ready for event in events if event.HasField("prior_ready"))
        expected = {"none": pb.PRIOR_MODE_NONE, "given": pb.PRIOR_MODE_GIVEN}.get(
            kind, pb.PRIOR_MODE_SWAP if swapper else pb.PRIOR_MODE_NONE
        )
        assert ready.mode == expected
        assert (ready.prior.artifact == ready.scene.artifact) == (expected == pb.PRIOR_MODE_NONE)
        kept = (await stub.GetSearch(pb.GetSearchRequest(search_id=search.search_id))).search.request
        assert kept.prior.WhichOneof("by") == {1: "swap", 2: "none", 3: "given"}[expected]
        assert ("prior.given" in dict(images_in(kept))) == (kind == "given")
        scored = next(event.candidate_scored for event in events if event.HasField("candidate_scored"))
        render = pb.RenderCandidateRequest(recipe=scored.recipe)
        copy_fields(request, render, ("scene", "character", "prompt", "prior"))
        assert (await stub.RenderCandidate(render, timeout=60)).picture_sha256 == scored.picture_sha256
    assert all(np.array_equal(one, models.shown[0]) for one in models.shown)


async def test_single_calls_take_it(serve: Serve, make_request: MakeRequest, png: Png) -> None:
    given = png(32, 32, seed=9)
    async with serve(rules=SWAPPERLESS, models=Watching(face_swap=False)) as channel:
        stub = SearchServiceStub(channel)
        request = make_request()
        asked_for = {"none": None, "given": pb.PriorSettings(given=pb.Image(data=given))}
        for kind, prior in asked_for.items():
            single = pb.PreparePriorRequest(prior=prior)
            copy_fields(request, single, ("scene", "character"))
            answer = await stub.PreparePrior(single, timeout=60)
            assert answer.mode == getattr(pb, f"PRIOR_MODE_{kind.upper()}")
            expected = answer.scene.data if kind == "none" else given
            assert np.array_equal(decode_picture(answer.prior.data), decode_picture(expected))
        score = pb.ScoreImagesRequest(prompt="smile", images=[request.scene])
        copy_fields(request, score, ("scene", "character"))
        assert len((await stub.ScoreImages(score, timeout=60)).evaluations) == 1
        single.prior.CopyFrom(SWAP)
        error = await refused(stub.PreparePrior(single, timeout=60))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert list(violations_of(error)) == ["prior.swap"]


async def test_a_scene_without_a_face_has_no_face_in_the_answer(serve: Serve, make_request: MakeRequest) -> None:
    class OnlyTheCharacter(ToyModels):
        async def embed_faces(self, pictures: np.ndarray, **settings: Any) -> Any:
            faces = await super().embed_faces(pictures, **settings)
            return faces if pictures.shape[1:3] == (35, 33) else [Faces.none()]

    async with serve(models=OnlyTheCharacter()) as channel:
        stub, request = SearchServiceStub(channel), make_request(prior=NONE)
        search = await create(stub, request)
        events = await watched(stub, search.search_id)
    assert events[-1].HasField("finished")
    ready = next(event.prior_ready for event in events if event.HasField("prior_ready"))
    assert not ready.HasField("scene_face")
    assert ready.HasField("character_face")


def test_a_picture_cannot_be_a_default() -> None:
    assert (settings_of(PriorMode.SWAP), settings_of(PriorMode.NONE)) == (SWAP, NONE)
    with pytest.raises(ValueError, match="is a picture"):
        settings_of(PriorMode.GIVEN)
