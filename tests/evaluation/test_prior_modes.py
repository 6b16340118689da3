"""Priors that are swapped in, left out, or given by the caller: what the backbone sees, and what they need."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from eacps.errors import InvalidRequest, NoFaceFound
from eacps.evaluation import MemoryRecorder, PriorReady, SearchPlan, SearchRunner, Services, prepare_prior
from eacps.evaluation.plan import PriorMode
from eacps.evaluation.timing import Deadline
from eacps.imaging import decode_picture
from eacps.scene.choice import ByBox, ByIndex
from eacps.scene.frame import Frame, Framing, cut_picture
from eacps.triton import ServedCheckpoint
from tests.evaluation.colored import ColoredModels, scene_with

MakePlan = Callable[..., SearchPlan]
MakeServices = Callable[..., Services]
FACE = (8.0, 8.0, 24.0, 24.0)


class Served(ColoredModels):
    """A checkpoint with other abilities.

    Args:
        abilities: Fields of `ServedCheckpoint`.
    """

    def __init__(self, **abilities: Any) -> None:
        super().__init__()
        self.abilities = abilities

    async def describe(self) -> ServedCheckpoint:
        return replace(await super().describe(), **self.abilities)


async def prior_of(plan: SearchPlan, services: Services) -> PriorReady:
    recorder = MemoryRecorder()
    await SearchRunner(plan.settings, services, recorder).run(plan.pictures)
    (ready,) = (update for update in recorder.updates if isinstance(update, PriorReady))
    return ready


async def test_a_swap_is_the_default_and_asks_the_swapper(make_plan: MakePlan, make_services: MakeServices) -> None:
    models = ColoredModels()
    ready = await prior_of(make_plan(scene=scene_with(32, 32, FACE)), make_services(models=models))
    assert (ready.mode, models.replaced) == (PriorMode.SWAP, [FACE])


@pytest.mark.parametrize("swapper", [True, False])
async def test_without_a_prior_the_model_sees_scene_and_character(
    make_plan: MakePlan, make_services: MakeServices, swapper: bool
) -> None:
    models, scene = Served(face_swap=swapper), scene_with(32, 32, FACE)
    services = make_services(models=models)
    plan = make_plan(scene=scene, prior=PriorMode.NONE)
    ready = await prior_of(plan, services)
    assert (ready.mode, models.replaced, ready.scene_box) == (PriorMode.NONE, [], FACE)
    assert ready.prior == ready.scene
    shown = models.asked[0].pictures
    np.testing.assert_array_equal(shown[0], scene)
    assert len(shown) == 2
    assert not np.array_equal(shown[1], scene)


async def test_a_given_prior_is_what_the_model_sees_first(make_plan: MakePlan, make_services: MakeServices) -> None:
    models, scene = Served(face_swap=False), scene_with(32, 32, FACE)
    given = scene // 2
    plan = make_plan(scene=scene, prior=PriorMode.GIVEN, given_prior=given)
    ready = await prior_of(plan, make_services(models=models))
    assert (ready.mode, models.replaced) == (PriorMode.GIVEN, [])
    np.testing.assert_array_equal(models.asked[0].pictures[0], given)
    assert ready.prior != ready.scene


async def test_a_given_prior_of_the_scenes_size_is_cut_as_the_scene_is(
    make_plan: MakePlan, make_services: MakeServices
) -> None:
    scene = scene_with(400, 300, (300.0, 200.0, 350.0, 250.0))
    cut = Frame((277, 177, 373, 273), (32, 32))
    for given in (scene // 2, cut_picture(scene // 2, cut)):
        models = ColoredModels()
        plan = make_plan(scene=scene, prior=PriorMode.GIVEN, given_prior=given)
        await prior_of(plan, make_services(models=models))
        np.testing.assert_array_equal(models.asked[0].pictures[0], cut_picture(scene // 2, cut))


async def test_a_given_prior_of_another_size_is_refused_by_name(
    make_plan: MakePlan, make_services: MakeServices
) -> None:
    given = np.zeros((60, 80, 3), np.uint8)
    plan = make_plan(scene=scene_with(400, 300, (300.0, 200.0, 350.0, 250.0)), prior=PriorMode.GIVEN, given_prior=given)
    with pytest.raises(InvalidRequest, match="is 80x60: neither of the scene's size, 400x300, nor") as caught:
        await prior_of(plan, make_services(models=ColoredModels()))
    assert [one.field for one in caught.value.violations] == ["prior.given.data"]


@pytest.mark.parametrize(
    ("mode", "abilities", "field"),
    [
        (PriorMode.SWAP, {"face_swap": False}, "prior.swap"),
        (PriorMode.NONE, {"max_pictures": 1}, "prior.none"),
    ],
)
async def test_what_the_served_models_cannot_do_is_refused_by_name(
    make_plan: MakePlan, make_services: MakeServices, mode: PriorMode, abilities: dict[str, Any], field: str
) -> None:
    plan = make_plan(scene=scene_with(32, 32, FACE), prior=mode)
    with pytest.raises(InvalidRequest) as caught:
        await prior_of(plan, make_services(models=Served(**abilities)))
    assert [one.field for one in caught.value.violations] == [field]


@pytest.mark.parametrize("size", [(32, 32), (400, 300)])
@pytest.mark.parametrize("mode", [PriorMode.NONE, PriorMode.GIVEN])
async def test_a_scene_without_a_face_needs_no_face_where_none_is_swapped(
    make_plan: MakePlan, make_services: MakeServices, mode: PriorMode, size: tuple[int, int]
) -> None:
    scene = scene_with(*size)
    given = scene // 2 if mode is PriorMode.GIVEN else None
    services = make_services(models=ColoredModels())
    ready = await prior_of(make_plan(scene=scene, prior=mode, given_prior=given), services)
    assert ready.scene_box == (0, 0, 0, 0)
    with pytest.raises(NoFaceFound, match="scene"):
        await prior_of(make_plan(scene=scene), make_services(models=ColoredModels()))


@pytest.mark.parametrize(
    "meant", [{"scene_face": ByIndex(1)}, {"scene_face": ByBox((1.0, 1.0, 4.0, 4.0))}, {"framing": Framing.FACE}]
)
async def test_a_face_that_is_asked_for_has_to_be_there(
    make_plan: MakePlan, make_services: MakeServices, meant: dict[str, Any]
) -> None:
    with pytest.raises(NoFaceFound, match="scene"):
        await prior_of(
            make_plan(scene=scene_with(32, 32), prior=PriorMode.NONE, **meant), make_services(models=ColoredModels())
        )


async def test_a_character_has_a_face_in_any_mode(make_plan: MakePlan, make_services: MakeServices) -> None:
    plan = make_plan(scene=scene_with(32, 32, FACE), character=scene_with(64, 64), prior=PriorMode.NONE)
    with pytest.raises(NoFaceFound, match="no face found in character"):
        await prior_of(plan, make_services(models=ColoredModels()))


async def test_a_prior_alone_says_how_it_was_made(make_plan: MakePlan, make_services: MakeServices) -> None:
    scene = scene_with(32, 32, FACE)
    for mode, given in ((PriorMode.SWAP, None), (PriorMode.NONE, None), (PriorMode.GIVEN, scene // 3)):
        plan = make_plan(scene=scene, prior=mode, given_prior=given)
        prepared = await prepare_prior(plan, make_services(models=ColoredModels()), deadline=Deadline())
        assert prepared.mode is mode
        expected = {PriorMode.SWAP: scene // 2, PriorMode.NONE: scene, PriorMode.GIVEN: given}[mode]
        np.testing.assert_array_equal(decode_picture(prepared.picture), expected)
