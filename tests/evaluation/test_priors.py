"""Priors: whose faces are chosen, and what scorers and the backbone are shown of them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from eacps.errors import InvalidRequest, NoFaceFound
from eacps.evaluation import MemoryRecorder, SearchPlan, SearchRunner, Services
from eacps.evaluation.plan import Inputs
from eacps.evaluation.prepare import fit_inputs
from eacps.evaluation.updates import SearchUpdate
from eacps.scene.choice import ByBox, ByIndex, ByLikeness
from eacps.scene.faces import Faces, ShownFace
from eacps.scene.frame import Frame, Framing, choose_frame
from eacps.scene.person import Person
from eacps.scoring import EditContext
from eacps.testing import TOY_CHECKPOINT, ToyModels, ToyScorer
from eacps.triton import Generated, GenerateRequest, ServedCheckpoint

MakePlan = Callable[..., SearchPlan]
MakeServices = Callable[..., Services]


def whole(plan: SearchPlan) -> Frame:
    """All of a plan's scene that the toy's size has room for."""
    height, width = plan.pictures.scene.shape[:2]
    return choose_frame((width, height), TOY_CHECKPOINT.sizes, Framing.WHOLE)


def fitted(plan: SearchPlan, checkpoint: ServedCheckpoint) -> Inputs:
    return fit_inputs(plan.settings, plan.pictures, checkpoint, whole(plan), SOMEONE)


def shade(value: int, height: int = 32, width: int = 32) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


class Crowd(ToyModels):
    """Every picture's first pixel says who is in it, by angles in a plane; the faces stand side by side."""

    def __init__(self, **angles: list[float]) -> None:
        super().__init__()
        self.angles = {int(name[1:]): found for name, found in angles.items()}
        self.looked_at: list[int] = []
        self.swaps: list[tuple[int, np.ndarray]] = []
        self.requests: list[GenerateRequest] = []

    async def embed_faces(self, pictures: np.ndarray, *, timeout_s: float | None = None) -> list[Faces]:
        self.looked_at.append(int(pictures[0, 0, 0, 0]))
        degrees = self.angles.get(self.looked_at[-1], [0.0])
        lefts = [10.0 * index for index in range(len(degrees))]
        faces = Faces(
            np.array([(left, 0, left + 8, 8) for left in lefts], np.float32).reshape(-1, 4),
            np.array([np.full((5, 2), left) for left in lefts], np.float32).reshape(-1, 5, 2),
            np.full(len(lefts), 0.9, np.float32),
            np.array([direction(angle) for angle in degrees], np.float32).reshape(-1, 512),
        )
        return [faces]

    async def swap_face(
        self, scene: np.ndarray, landmarks: np.ndarray, source: np.ndarray, *, timeout_s: float | None = None
    ) -> np.ndarray:
        self.swaps.append((int(landmarks[0, 0]) // 10, source))
        return await super().swap_face(scene, landmarks, source, timeout_s=timeout_s)

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


async def ran(plan: SearchPlan, services: Services) -> list[SearchUpdate]:
    recorder = MemoryRecorder()
    await SearchRunner(plan.settings, services, recorder).run(plan.pictures)
    return recorder.updates


PLAIN = {"scene": shade(1), "character": shade(2)}
SOMEONE = Person(ShownFace(shade(2), 0), (), direction(0), (0.0, 0.0, 8.0, 8.0), ((0.0, 0.0, 8.0, 8.0),))


async def test_a_plain_edit_takes_one_look_at_each_picture(make_plan: MakePlan, make_services: MakeServices) -> None:
    models = Crowd(s1=[0, 90], s2=[20])
    await ran(make_plan(**PLAIN, scene_face=ByIndex(1)), make_services(models=models))
    assert models.looked_at == [1, 2]
    ((replaced, source),) = models.swaps
    assert replaced == 1
    np.testing.assert_array_equal(source, direction(20))


async def test_faces_are_chosen_by_box_and_by_likeness(make_plan: MakePlan, make_services: MakeServices) -> None:
    models = Crowd(s1=[0, 90], s2=[10, 100], s3=[95])
    plan = make_plan(**PLAIN, scene_face=ByBox((11, 1, 15, 5)), character_face=ByLikeness(shade(3)))
    scorer = Listening()
    await ran(plan, make_services(models=models, scorers={"brightness": scorer}))
    ((replaced, source),) = models.swaps
    assert replaced == 1
    np.testing.assert_array_equal(source, direction(100))
    assert models.looked_at == [1, 1, 3, 2], "the box is looked at closely, too"
    assert scorer.contexts[0].character_face == 1


async def test_several_pictures_are_averaged_by_likeness_to_the_first(
    make_plan: MakePlan, make_services: MakeServices
) -> None:
    models, scorer = Crowd(s2=[90, 0], s3=[120, 40], s4=[-40]), Listening()
    plan = make_plan(**PLAIN, character_face=ByIndex(1), more_characters=(shade(3), shade(4, 16, 8)))
    services = make_services(models=models, scorers={"brightness": scorer})
    await ran(plan, services)
    ((_, source),) = models.swaps
    np.testing.assert_allclose(source, direction(0), atol=1e-6)
    context = scorer.contexts[0]
    np.testing.assert_array_equal(context.reference_embedding, source)
    assert [one.face for one in context.more_characters] == [1, 0]
    assert [one.picture.shape for one in context.more_characters] == [(32, 32, 3), (16, 8, 3)]
    assert all(isinstance(one, ShownFace) for one in context.more_characters)


@pytest.mark.parametrize(
    ("fields", "angles", "picture", "found"),
    [
        ({"scene_face": ByBox((100, 100, 101, 101))}, {"s1": [0.0]}, "scene", 1),
        ({"scene_face": ByLikeness(shade(3))}, {"s1": [0.0], "s3": [80.0]}, "scene", 1),
        ({"scene_face": ByLikeness(shade(3))}, {"s1": [0.0], "s3": []}, "scene_face.likeness", 0),
        ({"character_face": ByLikeness(shade(3))}, {"s2": [], "s3": [0.0]}, "character", 0),
        ({"character_face": ByIndex(1), "more_characters": (shade(3),)}, {"s2": [0.0], "s3": [0.0]}, "character", 1),
        ({"more_characters": (shade(3), shade(4))}, {"s2": [0], "s3": [5], "s4": [88]}, "more_characters[1]", 1),
        ({"more_characters": (shade(3),)}, {"s2": [0.0], "s3": []}, "more_characters[0]", 0),
    ],
)
async def test_who_is_not_there_is_named(
    make_plan: MakePlan,
    make_services: MakeServices,
    fields: dict[str, Any],
    angles: dict[str, list[float]],
    picture: str,
    found: int,
) -> None:
    with pytest.raises(NoFaceFound) as caught:
        await ran(make_plan(**PLAIN, **fields), make_services(models=Crowd(**angles)))
    assert (caught.value.picture, caught.value.found) == (picture, found)


async def test_the_backbone_sees_prior_character_references(make_plan: MakePlan, make_services: MakeServices) -> None:
    models = Crowd()
    plan = make_plan(scene=shade(1), character=shade(2), references=(shade(3, 64, 40),))
    services = make_services(models=models)
    await ran(plan, services)
    shown = models.requests[0].pictures
    assert shown.shape == (3, 32, 32, 3)
    assert [int(one[0, 0, 0]) for one in shown[1:]] == [2, 3]
    models = Crowd()
    await ran(
        make_plan(**PLAIN, references=(shade(4), shade(3)), character_as_reference=False),
        make_services(models=models),
    )
    assert [int(one[0, 0, 0]) for one in models.requests[0].pictures[1:]] == [4, 3]


def test_a_checkpoint_of_one_picture_sees_the_prior_alone_unless_asked_for_more(make_plan: MakePlan) -> None:
    first_edit = replace(TOY_CHECKPOINT, max_pictures=1)
    plan = make_plan(**PLAIN)
    assert list(fitted(plan, TOY_CHECKPOINT).references) == ["reference"]
    assert fitted(plan, first_edit).references == {}
    for asked, field in (
        ({"character_as_reference": True}, "sampler.character_as_reference"),
        ({"references": (shade(4),)}, "references"),
    ):
        plan = make_plan(**PLAIN, **asked)
        with pytest.raises(InvalidRequest, match="at most 1") as caught:
            fitted(plan, first_edit)
        assert [violation.field for violation in caught.value.violations] == [field]
