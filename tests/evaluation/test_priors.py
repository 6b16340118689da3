"""Priors and what they are named by: old requests as ever, new ones by what they choose."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from eacps.errors import InvalidRequest, NoFaceFound
from eacps.evaluation import JournalRunner, Laboratory, SearchPlan, run_search
from eacps.evaluation.edit import fit_inputs
from eacps.evaluation.faces import ByBox, ByLikeness
from eacps.evaluation.priors import prior_inputs
from eacps.evaluation.toy import TOY_CHECKPOINT, ToyModels, ToyScorer
from eacps.evaluation.updates import SearchUpdate
from eacps.imaging import Frame, Framing, choose_frame
from eacps.scoring import EditContext, ShownFace
from eacps.triton import Generated, GenerateRequest, Prior
from eacps.triton.types import Faces

MakePlan = Callable[..., SearchPlan]
MakeLaboratory = Callable[..., Laboratory]


def whole(plan: SearchPlan) -> Frame:
    """All of a plan's scene that the toy's size has room for."""
    height, width = plan.scene.shape[:2]
    return choose_frame((width, height), TOY_CHECKPOINT.sizes, Framing.WHOLE)


def shade(value: int, height: int = 32, width: int = 32) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


class Crowd(ToyModels):
    """Every picture's first pixel says who is in it, by angles in a plane; the faces stand side by side."""

    def __init__(self, **angles: list[float]) -> None:
        super().__init__()
        self.angles = {int(name[1:]): found for name, found in angles.items()}
        self.looked_at: list[int] = []
        self.swaps: list[dict[str, Any]] = []
        self.requests: list[GenerateRequest] = []

    async def embed_faces(self, pictures: np.ndarray, *, timeout_s: float | None = None) -> Faces:
        faces = await super().embed_faces(pictures, timeout_s=timeout_s)
        self.looked_at.append(int(pictures[0, 0, 0, 0]))
        degrees = self.angles[self.looked_at[-1]]
        faces.counts[0] = len(degrees)
        for place, angle in enumerate(degrees):
            faces.boxes[0, place] = (10 * place, 0, 10 * place + 8, 8)
            faces.embeddings[0, place] = direction(angle)
        return faces

    async def prepare_prior(self, scene: np.ndarray, character: np.ndarray, **settings: Any) -> Prior:
        self.swaps.append(settings)
        return await super().prepare_prior(scene, character, **settings)

    async def generate(self, request: GenerateRequest, *, timeout_s: float | None = None) -> Generated:
        self.requests.append(request)
        return await super().generate(request, timeout_s=timeout_s)


class Listening(ToyScorer):
    """Remembers what it was told of the edit."""

    def __init__(self) -> None:
        super().__init__()
        self.contexts: list[EditContext] = []

    async def score(self, pictures: Any, context: EditContext) -> Any:
        self.contexts.append(context)
        return await super().score(pictures, context)


def direction(angle: float) -> np.ndarray:
    found = np.zeros(512, np.float32)
    found[:2] = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    return found


async def ran(plan: SearchPlan, laboratory: Laboratory) -> list[SearchUpdate]:
    return [update async for update in run_search(plan, laboratory)]


PLAIN = {"scene": shade(1), "character": shade(2)}


async def test_a_plain_edit_is_one_call_and_named_as_ever(make_plan: MakePlan, make_laboratory: MakeLaboratory) -> None:
    models, steps = Crowd(), JournalRunner()
    await ran(make_plan(**PLAIN, scene_face=1), make_laboratory(models=models, steps=steps))
    assert models.looked_at == []
    (swap,) = models.swaps
    assert (swap["scene_face"], swap["character_face"], swap["source"]) == (1, -1, None)
    prior = next(record for record in steps.journal if record.name == "prior")
    assert sorted(prior.inputs) == ["character", "character_face", "checkpoint", "scene", "scene_face"]
    assert sorted(prior.outputs) == ["character_box", "embedding", "prior", "scene_box"]
    scored = next(record for record in steps.journal if record.name == "score")
    told = {"again", "character", "character_face", "checkpoint", "embedding", "mask", "pictures", "prompt", "scene"}
    assert set(scored.inputs) == told | {"scorers"}


async def test_faces_are_chosen_by_box_and_by_likeness(make_plan: MakePlan, make_laboratory: MakeLaboratory) -> None:
    models = Crowd(s1=[0, 90], s2=[10, 100], s3=[95])
    plan = make_plan(**PLAIN, scene_face_by=ByBox((11, 1, 15, 5)), character_face_by=ByLikeness(shade(3)))
    scorer = Listening()
    await ran(plan, make_laboratory(models=models, scorers={"brightness": scorer}))
    (swap,) = models.swaps
    assert (swap["scene_face"], swap["character_face"], swap["source"]) == (1, 1, None)
    assert models.looked_at == [1, 2, 3]
    assert scorer.contexts[0].character_face == 1


async def test_several_pictures_are_averaged_by_likeness_to_the_first(
    make_plan: MakePlan, make_laboratory: MakeLaboratory
) -> None:
    models, scorer = Crowd(s2=[90, 0], s3=[120, 40], s4=[-40]), Listening()
    plan = make_plan(**PLAIN, character_face=1, more_characters=(shade(3), shade(4, 16, 8)))
    laboratory = make_laboratory(models=models, scorers={"brightness": scorer})
    await ran(plan, laboratory)
    (swap,) = models.swaps
    assert swap["character_face"] == 1
    np.testing.assert_allclose(swap["source"], direction(0), atol=1e-6)
    context = scorer.contexts[0]
    np.testing.assert_array_equal(context.reference_embedding, swap["source"])
    assert [one.face for one in context.more_characters] == [1, 0]
    assert [one.picture.shape for one in context.more_characters] == [(32, 32, 3), (16, 8, 3)]
    assert all(isinstance(one, ShownFace) for one in context.more_characters)
    scored = next(record for record in laboratory.steps.journal if record.name == "score")
    assert [face for _, face in scored.inputs["more_characters"]] == [1, 0]


async def test_a_replay_needs_no_models_for_its_faces(make_plan: MakePlan, make_laboratory: MakeLaboratory) -> None:
    fields = {"scene_face_by": ByBox((11, 1, 15, 5)), "more_characters": (shade(3),)}
    first = make_laboratory(models=Crowd(s1=[0, 90], s2=[0], s3=[30]))
    updates = await ran(make_plan(**PLAIN, **fields), first)
    again = make_laboratory(
        models=Crowd(), artifacts=first.artifacts, steps=JournalRunner(first.steps.journal), scorers=first.scorers
    )
    assert (await ran(make_plan(**PLAIN, **fields), again))[1] == updates[1]
    assert again.models.swaps == again.models.looked_at == []


@pytest.mark.parametrize(
    ("fields", "angles", "picture", "found"),
    [
        ({"scene_face_by": ByBox((100, 100, 101, 101))}, {"s1": [0.0]}, "scene", 1),
        ({"scene_face_by": ByLikeness(shade(3))}, {"s1": [0.0], "s3": [80.0]}, "scene", 1),
        ({"scene_face_by": ByLikeness(shade(3))}, {"s1": [0.0], "s3": []}, "scene_face_by.likeness", 0),
        ({"character_face_by": ByLikeness(shade(3))}, {"s2": [], "s3": [0.0]}, "character", 0),
        ({"character_face": 1, "more_characters": (shade(3),)}, {"s2": [0.0], "s3": [0.0]}, "character", 1),
        ({"more_characters": (shade(3), shade(4))}, {"s2": [0], "s3": [5], "s4": [88]}, "more_characters[1]", 1),
        ({"more_characters": (shade(3),)}, {"s2": [0.0], "s3": []}, "more_characters[0]", 0),
    ],
)
async def test_who_is_not_there_is_named(
    make_plan: MakePlan,
    make_laboratory: MakeLaboratory,
    fields: dict[str, Any],
    angles: dict[str, list[float]],
    picture: str,
    found: int,
) -> None:
    with pytest.raises(NoFaceFound) as caught:
        await ran(make_plan(**PLAIN, **fields), make_laboratory(models=Crowd(**angles)))
    assert (caught.value.picture, caught.value.found) == (picture, found)


def test_every_choice_names_another_prior(make_plan: MakePlan) -> None:
    plans = [
        {},
        {"scene_face": 1},
        {"scene_face_by": ByBox((1, 1, 5, 5))},
        {"scene_face_by": ByBox((1, 1, 5, 6))},
        {"scene_face_by": ByLikeness(shade(3))},
        {"scene_face_by": ByLikeness(shade(4))},
        {"character_face_by": ByLikeness(shade(4))},
        {"more_characters": (shade(3), shade(4))},
        {"more_characters": (shade(4), shade(3))},
    ]
    named = []
    for fields in plans:
        plan = make_plan(**PLAIN, **fields)
        inputs = fit_inputs(plan, TOY_CHECKPOINT, whole(plan))
        digests = {name: str(picture[0, 0]) for name, picture in inputs.named.items()}
        named.append(prior_inputs("f", plan.without_pictures(), inputs, digests))
    assert all(one not in named[:place] for place, one in enumerate(named))


async def test_the_backbone_sees_prior_character_references(
    make_plan: MakePlan, make_laboratory: MakeLaboratory
) -> None:
    models = Crowd()
    plan = make_plan(scene=shade(1), character=shade(2), references=(shade(3, 64, 40),))
    laboratory = make_laboratory(models=models)
    await ran(plan, laboratory)
    shown = models.requests[0].pictures
    assert shown.shape == (3, 32, 32, 3)
    assert [int(one[0, 0, 0]) for one in shown[1:]] == [2, 3]
    made = next(record for record in laboratory.steps.journal if record.name == "generate")
    assert len(set(made.inputs["pictures"])) == 3
    models = Crowd()
    await ran(
        make_plan(**PLAIN, references=(shade(4), shade(3)), character_as_reference=False),
        make_laboratory(models=models),
    )
    assert [int(one[0, 0, 0]) for one in models.requests[0].pictures[1:]] == [4, 3]


def test_boxes_follow_their_pictures_to_the_size_that_is_worked_in(make_plan: MakePlan) -> None:
    plan = make_plan(
        scene=shade(1, 64, 128),
        character=shade(2, 2048, 1024),
        scene_face_by=ByBox((32, 0, 96, 64)),
        character_face_by=ByBox((100, 200, 300, 400)),
        more_characters=(shade(3, 2048, 2048),),
    )
    inputs = fit_inputs(plan, TOY_CHECKPOINT, whole(plan))
    assert inputs.scene_face_by == ByBox((0, 0, 32, 32))
    assert inputs.character_face_by == ByBox((50, 100, 150, 200))
    assert inputs.more_characters["more_characters[0]"].shape == (1024, 1024, 3)
    bare = plan.without_pictures()
    assert (bare.scene_face_by, bare.character_face_by, bare.more_characters, bare.references) == (None, None, (), ())


def test_a_checkpoint_of_one_picture_sees_the_prior_alone_unless_asked_for_more(make_plan: MakePlan) -> None:
    first_edit = replace(TOY_CHECKPOINT, max_pictures=1)
    plan = make_plan(**PLAIN)
    assert list(fit_inputs(plan, TOY_CHECKPOINT, whole(plan)).references) == ["reference"]
    assert fit_inputs(plan, first_edit, whole(plan)).references == {}
    for asked, field in (
        ({"character_as_reference": True}, "sampler.character_as_reference"),
        ({"references": (shade(4),)}, "references"),
    ):
        plan = make_plan(**PLAIN, **asked)
        with pytest.raises(InvalidRequest, match="at most 1") as caught:
            fit_inputs(plan, first_edit, whole(plan))
        assert [violation.field for violation in caught.value.violations] == [field]
