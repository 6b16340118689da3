"""Searches over scenes of any size: where they work, which face they replace, what they deliver and record."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from eacps.errors import InvalidRequest, NoFaceFound
from eacps.evaluation import (
    Deadline,
    JournalRunner,
    Laboratory,
    PriorReady,
    SearchFinished,
    SearchPlan,
    SearchUpdate,
    StepRecord,
    prepare_prior,
    render_candidate,
    run_search,
    score_pictures,
)
from eacps.evaluation.faces import ByBox, ByLikeness
from eacps.imaging import Framing, Picture, cut_picture, decode_picture
from eacps.imaging.framing import Frame
from eacps.search.recipe import Recipe
from tests.evaluation.coloured import ColouredModels, scene_with
from tests.evaluation.test_run import Absent

MakePlan = Callable[..., SearchPlan]
MakeLaboratory = Callable[..., Laboratory]
NO_DEADLINE = Deadline()
LARGE, SMALL = (20.0, 60.0, 100.0, 140.0), (300.0, 200.0, 350.0, 250.0)


async def searched(plan: SearchPlan, laboratory: Laboratory) -> tuple[PriorReady, SearchFinished]:
    updates: list[SearchUpdate] = [update async for update in run_search(plan, laboratory)]
    (prior,) = (update for update in updates if isinstance(update, PriorReady))
    assert isinstance(updates[-1], SearchFinished)
    return prior, updates[-1]


async def picture_of(laboratory: Laboratory, digest: str) -> Picture:
    return decode_picture(await laboratory.artifacts.get(digest))


def journal_of(laboratory: Laboratory) -> tuple[StepRecord, ...]:
    assert isinstance(laboratory.steps, JournalRunner)
    return laboratory.steps.journal


async def test_a_scene_of_another_size_is_delivered_whole(make_plan: MakePlan, make_laboratory: MakeLaboratory) -> None:
    scene = scene_with(400, 300, SMALL)
    laboratory = make_laboratory(models=ColouredModels())
    prior, finished = await searched(make_plan(scene=scene), laboratory)
    delivered, best = await picture_of(laboratory, finished.delivered), await picture_of(laboratory, finished.picture)
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
    make_plan: MakePlan, make_laboratory: MakeLaboratory, framing: Framing
) -> None:
    models = ColouredModels()
    laboratory = make_laboratory(models=models)
    plan = make_plan(scene=scene_with(32, 32, (4.0, 4.0, 8.0, 8.0)), framing=framing)
    prior, finished = await searched(plan, laboratory)
    assert finished.delivered == finished.picture
    assert prior.frame == (0, 0, 32, 32)
    assert models.looked_at == []
    assert models.replaced == [-1]
    assert {record.name for record in journal_of(laboratory)} == {"describe", "prior", "score", "generate", "clock"}
    assert "deliver" not in finished.timings_s


async def test_a_square_scene_as_a_whole_costs_no_look(make_plan: MakePlan, make_laboratory: MakeLaboratory) -> None:
    models = ColouredModels()
    scene = scene_with(96, 96, (20.0, 20.0, 70.0, 70.0))
    await searched(make_plan(scene=scene, framing=Framing.WHOLE), make_laboratory(models=models))
    assert models.looked_at == []


async def test_the_nearest_of_several_sizes_is_worked_in(make_plan: MakePlan, make_laboratory: MakeLaboratory) -> None:
    models = ColouredModels(sizes=((32, 32), (48, 32), (32, 48)))
    scene, mask = scene_with(300, 200, (100.0, 50.0, 200.0, 150.0)), np.zeros((200, 300), np.uint8)
    mask[40:160, 90:210] = 255
    laboratory = make_laboratory(models=models)
    _, finished = await searched(make_plan(scene=scene, mask=mask), laboratory)
    assert finished.noise_shape == (1, 2, 3)
    asked = models.asked[0]
    assert asked.pictures.shape == (2, 32, 48, 3)
    assert asked.scene is not None
    assert asked.edit_mask is not None
    assert (asked.scene.shape, asked.edit_mask.shape) == ((32, 48, 3), (32, 48))
    delivered = await picture_of(laboratory, finished.delivered)
    assert np.array_equal(delivered[mask == 0], scene[mask == 0])
    assert not np.array_equal(delivered[mask > 0], scene[mask > 0])


async def test_faces_are_counted_in_the_scene_and_found_again_in_the_frame(
    make_plan: MakePlan, make_laboratory: MakeLaboratory
) -> None:
    models = ColouredModels()
    laboratory = make_laboratory(models=models)
    plan = make_plan(scene=scene_with(400, 300, LARGE, SMALL), scene_face=1)
    prior, _ = await searched(plan, laboratory)
    assert prior.frame == (277, 177, 373, 273)
    assert models.replaced == [0], "in the frame it is the only one"
    prepared = await prepare_prior(plan, make_laboratory(models=models), deadline=NO_DEADLINE)
    assert prepared.frame == prior.frame
    assert len(prepared.scene_faces) == 2
    assert prepared.scene_faces[1] == prepared.scene_box
    assert prepared.scene_faces[0][2] < 0, "the other one lies to the left of the frame"
    assert decode_picture(prepared.delivered).shape == (300, 400, 3)


@pytest.mark.parametrize("by", ["box", "likeness"])
async def test_a_face_is_chosen_in_the_scene_as_it_came(
    make_plan: MakePlan, make_laboratory: MakeLaboratory, by: str
) -> None:
    models = ColouredModels()
    scene = scene_with(400, 300, LARGE, SMALL)
    alone = scene_with(100, 100, (0.0, 0.0, 1.0, 1.0), (20.0, 20.0, 80.0, 80.0))
    choice = ByBox((290.0, 190.0, 345.0, 255.0)) if by == "box" else ByLikeness(alone)
    laboratory = make_laboratory(models=models)
    prior, finished = await searched(make_plan(scene=scene, scene_face_by=choice), laboratory)
    assert prior.frame == (277, 177, 373, 273)
    assert models.replaced == [0]
    again = make_laboratory(
        models=Absent(), artifacts=laboratory.artifacts, steps=JournalRunner(journal_of(laboratory))
    )
    replayed = await searched(make_plan(scene=scene, scene_face_by=choice), again)
    assert (replayed[0], replayed[1].delivered) == (prior, finished.delivered)


async def test_a_choice_in_a_scene_of_the_working_size_is_left_to_the_prior(
    make_plan: MakePlan, make_laboratory: MakeLaboratory
) -> None:
    models = ColouredModels()
    scene = scene_with(32, 32, (2.0, 2.0, 14.0, 14.0), (18.0, 18.0, 28.0, 28.0))
    laboratory = make_laboratory(models=models)
    await searched(make_plan(scene=scene, scene_face_by=ByBox((20.0, 20.0, 30.0, 30.0))), laboratory)
    assert models.replaced == [1]
    (prior,) = (record for record in journal_of(laboratory) if record.name == "prior")
    assert prior.inputs["scene_face_by"] == {"box": [20.0, 20.0, 30.0, 30.0]}


async def test_a_larger_face_in_the_frame_is_not_taken_for_the_chosen_one(
    make_plan: MakePlan, make_laboratory: MakeLaboratory
) -> None:
    models = ColouredModels()
    scene = scene_with(400, 300, (200.0, 100.0, 280.0, 180.0), (290.0, 120.0, 340.0, 170.0))
    plan = make_plan(scene=scene, scene_face=1, framing=Framing.WHOLE)
    await searched(plan, make_laboratory(models=models))
    assert models.replaced == [1]


@pytest.mark.parametrize(
    ("faces", "settings"),
    [
        ((SMALL,), {"scene_face": 3}),
        ((), {"framing": Framing.FACE}),
        ((), {}),
    ],
)
async def test_a_face_that_is_not_there_is_said(
    make_plan: MakePlan, make_laboratory: MakeLaboratory, faces: tuple[Any, ...], settings: dict[str, Any]
) -> None:
    plan = make_plan(scene=scene_with(400, 300, *faces), **settings)
    with pytest.raises(NoFaceFound):
        await searched(plan, make_laboratory(models=ColouredModels()))


async def test_a_face_too_small_for_a_first_look_is_found_at_a_second(
    make_plan: MakePlan, make_laboratory: MakeLaboratory
) -> None:
    models = ColouredModels()
    scene = scene_with(1200, 900, (1000.0, 700.0, 1040.0, 740.0))  # a thirtieth of its width
    prior, _ = await searched(make_plan(scene=scene), make_laboratory(models=models))
    left, top, right, bottom = prior.frame
    assert left < 1000 < 1040 < right
    assert top < 700 < 740 < bottom
    assert max(max(size) for size in models.looked_at) == 1024


async def test_a_very_long_scene_is_looked_at_with_room_beside_it(
    make_plan: MakePlan, make_laboratory: MakeLaboratory
) -> None:
    models = ColouredModels()
    scene = scene_with(2000, 40, (1000.0, 0.0, 1040.0, 40.0))
    prior, finished = await searched(make_plan(scene=scene), make_laboratory(models=models))
    assert prior.frame == (1000, 0, 1040, 40)
    assert models.looked_at[0] == (1024, 128)
    assert finished.delivered


async def test_a_mask_of_which_nothing_is_left_is_a_fault(make_plan: MakePlan, make_laboratory: MakeLaboratory) -> None:
    mask = np.zeros((300, 300), np.uint8)
    mask[11, 11] = 255
    plan = make_plan(scene=scene_with(300, 300, (50.0, 50.0, 250.0, 250.0)), mask=mask)
    with pytest.raises(InvalidRequest, match=r"mask\.data: is black everywhere in the part"):
        await searched(plan, make_laboratory(models=ColouredModels()))


async def test_a_recorded_search_is_the_same_without_models(
    make_plan: MakePlan, make_laboratory: MakeLaboratory
) -> None:
    plan = make_plan(scene=scene_with(400, 300, LARGE, SMALL), scene_face=1)
    first = make_laboratory(models=ColouredModels())
    prior, finished = await searched(plan, first)
    again = make_laboratory(
        models=Absent(), artifacts=first.artifacts, steps=JournalRunner(journal_of(first)), scorers=first.scorers
    )
    assert len([record for record in journal_of(first) if record.name in ("sight", "faces", "deliver")]) == 3
    replayed_prior, replayed = await searched(plan, again)
    assert replayed_prior == prior
    assert (replayed.delivered, replayed.picture) == (finished.delivered, finished.picture)


async def test_what_was_recorded_before_there_were_sizes_goes_on(
    make_plan: MakePlan, make_laboratory: MakeLaboratory
) -> None:
    plan = make_plan(scene=scene_with(32, 32, (8.0, 8.0, 24.0, 24.0)))
    first = make_laboratory(models=ColouredModels())
    _, finished = await searched(plan, first)
    records = [
        StepRecord(one.key, one.name, one.inputs, {k: v for k, v in one.outputs.items() if k != "sizes"})
        for one in journal_of(first)
    ]
    again = make_laboratory(
        models=Absent(), artifacts=first.artifacts, steps=JournalRunner(records), scorers=first.scorers
    )
    assert (await searched(plan, again))[1].picture == finished.picture


async def test_a_candidate_is_rendered_into_its_scene(make_plan: MakePlan, make_laboratory: MakeLaboratory) -> None:
    scene = scene_with(400, 300, SMALL)
    laboratory = make_laboratory(models=ColouredModels())
    _, finished = await searched(make_plan(scene=scene), laboratory)
    assert finished.recipe is not None
    rendered = await render_candidate(
        make_plan(scene=scene), make_laboratory(models=ColouredModels()), finished.recipe, deadline=NO_DEADLINE
    )
    assert rendered.delivered == await laboratory.artifacts.get(finished.delivered)
    alone = scene_with(32, 32, (8.0, 8.0, 24.0, 24.0))
    at_size = await render_candidate(
        make_plan(scene=alone), make_laboratory(models=ColouredModels()), Recipe.from_seed(3), deadline=NO_DEADLINE
    )
    assert at_size.delivered == at_size.picture


async def test_pictures_of_the_scene_s_size_are_scored_as_their_cut(
    make_plan: MakePlan, make_laboratory: MakeLaboratory
) -> None:
    scene = scene_with(400, 300, SMALL)
    plan = make_plan(scene=scene)
    light = scene // 2 + 100
    cut = cut_picture(light, Frame((277, 177, 373, 273), (32, 32)))
    scored = await score_pictures(
        plan, make_laboratory(models=ColouredModels()), [light, cut, light[:100, :100]], deadline=NO_DEADLINE
    )
    whole, working, other = (one.potential.value for one in scored.evaluations if one.potential is not None)
    assert whole == working
    assert other != whole
