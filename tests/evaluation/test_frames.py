"""Searches over scenes of any size: where they work, which face they replace, what they deliver."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from eacps.arrays import Picture
from eacps.errors import InvalidRequest, NoFaceFound
from eacps.evaluation import (
    Deadline,
    MemoryRecorder,
    PriorReady,
    SearchFinished,
    SearchPlan,
    SearchRunner,
    Services,
    prepare_prior,
    render_candidate,
    score_pictures,
)
from eacps.imaging import decode_picture
from eacps.scene.choice import ByBox, ByIndex, ByLikeness
from eacps.scene.frame import Frame, Framing, cut_picture
from eacps.scene.geometry import Box
from eacps.search.recipe import Recipe
from tests.evaluation.colored import ColoredModels, scene_with

MakePlan = Callable[..., SearchPlan]
MakeServices = Callable[..., Services]
NO_DEADLINE = Deadline()
LARGE, SMALL = (20.0, 60.0, 100.0, 140.0), (300.0, 200.0, 350.0, 250.0)


async def searched(plan: SearchPlan, services: Services) -> tuple[PriorReady, SearchFinished]:
    recorder = MemoryRecorder()
    await SearchRunner(plan.settings, services, recorder).run(plan.pictures)
    (prior,) = (update for update in recorder.updates if isinstance(update, PriorReady))
    finished = recorder.updates[-1]
    assert isinstance(finished, SearchFinished)
    return prior, finished


async def picture_of(services: Services, digest: str) -> Picture:
    return decode_picture(await services.artifacts.get(digest))


def assert_near(replaced: list[Box], face: Box) -> None:
    """One face was replaced, and it is this one, to within a pixel and a half of the working picture."""
    (box,) = replaced
    assert np.abs(np.subtract(box, face)).max() <= 1.5


async def test_a_scene_of_another_size_is_delivered_whole(make_plan: MakePlan, make_services: MakeServices) -> None:
    scene = scene_with(400, 300, SMALL)
    services = make_services(models=ColoredModels())
    prior, finished = await searched(make_plan(scene=scene), services)
    delivered, best = await picture_of(services, finished.delivered), await picture_of(services, finished.picture)
    assert best.shape == (32, 32, 3)
    assert delivered.shape == scene.shape
    left, top, right, bottom = (int(edge) for edge in prior.frame)
    assert (left, top, right, bottom) == (277, 177, 373, 273)
    untouched = np.ones(scene.shape[:2], bool)
    untouched[top:bottom, left:right] = False
    assert np.array_equal(delivered[untouched], scene[untouched])
    middle = delivered[215:235, 315:335].astype(int)
    assert np.abs(middle - best[16, 16]).max() <= 1
    assert finished.timings_s["deliver"] > 0


@pytest.mark.parametrize("framing", [Framing.AUTO, Framing.WHOLE])
async def test_a_scene_of_the_working_size_is_searched_as_ever(
    make_plan: MakePlan, make_services: MakeServices, framing: Framing
) -> None:
    models = ColoredModels()
    services = make_services(models=models)
    plan = make_plan(scene=scene_with(32, 32, (4.0, 4.0, 8.0, 8.0)), framing=framing)
    prior, finished = await searched(plan, services)
    assert finished.delivered == finished.picture
    assert prior.frame == (0, 0, 32, 32)
    assert models.looked_at == [(32, 32), (50, 50)]
    assert models.replaced == [(4, 4, 8, 8)]


async def test_a_square_scene_is_looked_at_as_it_came(make_plan: MakePlan, make_services: MakeServices) -> None:
    models = ColoredModels()
    scene = scene_with(96, 96, (20.0, 20.0, 70.0, 70.0))
    await searched(make_plan(scene=scene, framing=Framing.WHOLE), make_services(models=models))
    assert models.looked_at == [(96, 96), (96, 96), (50, 50), (32, 32)]


async def test_a_face_too_small_for_the_working_scene_is_where_it_was_seen_before(
    make_plan: MakePlan, make_services: MakeServices
) -> None:
    models, tiny = ColoredModels(), (600.0, 400.0, 640.0, 440.0)
    scene = scene_with(1000, 1000, tiny)  # a twenty-fifth of its width: the whole does not show it
    await searched(make_plan(scene=scene, framing=Framing.WHOLE), make_services(models=models))
    assert_near(models.replaced, Frame((0, 0, 1000, 1000), (32, 32)).to_working(tiny))


async def test_the_nearest_of_several_sizes_is_worked_in(make_plan: MakePlan, make_services: MakeServices) -> None:
    models = ColoredModels(sizes=((32, 32), (48, 32), (32, 48)))
    scene, mask = scene_with(300, 200, (100.0, 50.0, 200.0, 150.0)), np.zeros((200, 300), np.uint8)
    mask[40:160, 90:210] = 255
    services = make_services(models=models)
    _, finished = await searched(make_plan(scene=scene, mask=mask), services)
    assert finished.noise_shape == (1, 2, 3)
    asked = models.asked[0]
    assert asked.pictures.shape == (2, 32, 48, 3)
    assert asked.scene is not None
    assert asked.edit_mask is not None
    assert (asked.scene.shape, asked.edit_mask.shape) == ((32, 48, 3), (32, 48))
    delivered = await picture_of(services, finished.delivered)
    assert np.array_equal(delivered[mask == 0], scene[mask == 0])
    assert not np.array_equal(delivered[mask > 0], scene[mask > 0])


async def test_faces_are_counted_in_the_scene_and_found_again_in_the_frame(
    make_plan: MakePlan, make_services: MakeServices
) -> None:
    models = ColoredModels()
    services = make_services(models=models)
    plan = make_plan(scene=scene_with(400, 300, LARGE, SMALL), scene_face=ByIndex(1))
    prior, _ = await searched(plan, services)
    assert prior.frame == (277, 177, 373, 273)
    assert_near(models.replaced, Frame((277, 177, 373, 273), (32, 32)).to_working(SMALL))
    prepared = await prepare_prior(plan, make_services(models=models), deadline=NO_DEADLINE)
    assert prepared.frame == prior.frame
    assert len(prepared.scene_faces) == 2
    assert prepared.scene_faces[1] == prepared.scene_box
    for found, drawn in ((prepared.scene_faces[0], LARGE), (prepared.scene_faces[1], SMALL), (prior.scene_box, SMALL)):
        assert np.abs(np.subtract(found, drawn)).max() <= 4.5, "in pixels of the scene as it came"
    assert decode_picture(prepared.delivered).shape == (300, 400, 3)


@pytest.mark.parametrize("by", ["box", "likeness"])
async def test_a_face_is_chosen_in_the_scene_as_it_came(
    make_plan: MakePlan, make_services: MakeServices, by: str
) -> None:
    models = ColoredModels()
    scene = scene_with(400, 300, LARGE, SMALL)
    alone = scene_with(100, 100, (0.0, 0.0, 1.0, 1.0), (20.0, 20.0, 80.0, 80.0))
    choice = ByBox((290.0, 190.0, 345.0, 255.0)) if by == "box" else ByLikeness(alone)
    services = make_services(models=models)
    prior, _ = await searched(make_plan(scene=scene, scene_face=choice), services)
    assert prior.frame == (277, 177, 373, 273)
    assert_near(models.replaced, Frame((277, 177, 373, 273), (32, 32)).to_working(SMALL))


async def test_a_choice_in_a_scene_of_the_working_size_is_left_to_the_prior(
    make_plan: MakePlan, make_services: MakeServices
) -> None:
    models = ColoredModels()
    scene = scene_with(32, 32, (2.0, 2.0, 14.0, 14.0), (18.0, 18.0, 28.0, 28.0))
    services = make_services(models=models)
    await searched(make_plan(scene=scene, scene_face=ByBox((20.0, 20.0, 30.0, 30.0))), services)
    assert models.replaced == [(18, 18, 28, 28)]


async def test_a_larger_face_in_the_frame_is_not_taken_for_the_chosen_one(
    make_plan: MakePlan, make_services: MakeServices
) -> None:
    models = ColoredModels()
    scene = scene_with(400, 300, (200.0, 100.0, 280.0, 180.0), (290.0, 120.0, 340.0, 170.0))
    plan = make_plan(scene=scene, scene_face=ByIndex(1), framing=Framing.WHOLE)
    prior, _ = await searched(plan, make_services(models=models))
    frame = Frame(tuple(int(edge) for edge in prior.frame), (32, 32))
    assert_near(models.replaced, frame.to_working((290.0, 120.0, 340.0, 170.0)))


@pytest.mark.parametrize(
    ("faces", "settings"),
    [
        ((SMALL,), {"scene_face": ByIndex(3)}),
        ((), {"framing": Framing.FACE}),
        ((), {}),
    ],
)
async def test_a_face_that_is_not_there_is_said(
    make_plan: MakePlan, make_services: MakeServices, faces: tuple[Any, ...], settings: dict[str, Any]
) -> None:
    plan = make_plan(scene=scene_with(400, 300, *faces), **settings)
    with pytest.raises(NoFaceFound):
        await searched(plan, make_services(models=ColoredModels()))


async def test_a_face_too_small_for_a_first_look_is_found_at_a_second(
    make_plan: MakePlan, make_services: MakeServices
) -> None:
    models = ColoredModels()
    scene = scene_with(1200, 900, (1000.0, 700.0, 1040.0, 740.0))  # a thirtieth of its width
    prior, _ = await searched(make_plan(scene=scene), make_services(models=models))
    left, top, right, bottom = prior.frame
    assert left < 1000 < 1040 < right
    assert top < 700 < 740 < bottom
    assert models.looked_at[0] == (1200, 900)
    assert models.looked_at[1] == (686, 515)


async def test_a_very_long_scene_is_looked_at(make_plan: MakePlan, make_services: MakeServices) -> None:
    models = ColoredModels()
    scene = scene_with(2000, 40, (1000.0, 0.0, 1040.0, 40.0))
    prior, finished = await searched(make_plan(scene=scene), make_services(models=models))
    assert prior.frame == (1000, 0, 1040, 40)
    assert models.looked_at[0] == (2000, 40)
    assert finished.delivered


async def test_a_mask_of_which_nothing_is_left_is_a_fault(make_plan: MakePlan, make_services: MakeServices) -> None:
    mask = np.zeros((300, 300), np.uint8)
    mask[11, 11] = 255
    plan = make_plan(scene=scene_with(300, 300, (50.0, 50.0, 250.0, 250.0)), mask=mask)
    with pytest.raises(InvalidRequest, match=r"mask\.data: is black everywhere within the frame"):
        await searched(plan, make_services(models=ColoredModels()))


async def test_a_candidate_is_rendered_into_its_scene(make_plan: MakePlan, make_services: MakeServices) -> None:
    scene = scene_with(400, 300, SMALL)
    services = make_services(models=ColoredModels())
    _, finished = await searched(make_plan(scene=scene), services)
    assert finished.recipe is not None
    rendered = await render_candidate(
        make_plan(scene=scene), make_services(models=ColoredModels()), finished.recipe, deadline=NO_DEADLINE
    )
    assert rendered.delivered == await services.artifacts.get(finished.delivered)
    alone = scene_with(32, 32, (8.0, 8.0, 24.0, 24.0))
    at_size = await render_candidate(
        make_plan(scene=alone), make_services(models=ColoredModels()), Recipe.from_seed(3), deadline=NO_DEADLINE
    )
    assert at_size.delivered == at_size.picture


async def test_pictures_of_the_scene_s_size_are_scored_as_their_cut(
    make_plan: MakePlan, make_services: MakeServices
) -> None:
    scene = scene_with(400, 300, SMALL)
    plan = make_plan(scene=scene)
    light = scene // 2 + 100
    cut = cut_picture(light, Frame((277, 177, 373, 273), (32, 32)))
    scored = await score_pictures(
        plan, make_services(models=ColoredModels()), [light, cut, light[:100, :100]], deadline=NO_DEADLINE
    )
    whole, working, other = (one.potential.value for one in scored.evaluations if one.potential is not None)
    assert whole == working
    assert other != whole
