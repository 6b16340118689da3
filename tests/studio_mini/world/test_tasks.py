"""The world is reproducible, its splits are apart, and its truths lie where the pictures say."""

import numpy as np
import pytest

from studio_mini.world.nuisance import draw_nuisance
from studio_mini.world.prompts import Accessory, Expression, Look
from studio_mini.world.render import render
from studio_mini.world.tasks import PEOPLE, Split, person, task


def test_a_number_always_gives_the_same_task() -> None:
    one, two = task(5), task(5)
    assert one.prompt == two.prompt
    for name in ("scene", "character", "truth"):
        assert np.array_equal(getattr(one, name).picture, getattr(two, name).picture)
    assert np.array_equal(one.prior, two.prior)


def test_splits_share_no_person() -> None:
    people = {split: {person(k, split) for k in range(60)} for split in Split}
    assert all(len(group) == 60 for group in people.values())
    assert len(set.union(*people.values())) == 60 * len(Split)


def test_person_numbers_are_bounded() -> None:
    with pytest.raises(ValueError, match="out of range"):
        person(PEOPLE)


@pytest.mark.parametrize("seed", range(12))
def test_ground_truth_lies_in_the_picture(seed: int) -> None:
    rng = np.random.default_rng(seed)
    face = render(person(seed), draw_nuisance(rng), Look(Expression.SMILE))
    x1, y1, x2, y2 = face.box
    assert 0 <= x1 < x2 <= 128
    assert 0 <= y1 < y2 <= 128
    assert 0.4 < (x2 - x1) / 128 < 0.75
    assert (face.landmarks >= (x1, y1)).all()
    assert (face.landmarks <= (x2, y2)).all()
    eyes_left, eyes_right, nose, mouth_left, mouth_right = face.landmarks
    assert eyes_left[0] < nose[0] < eyes_right[0]
    assert mouth_left[0] < mouth_right[0]
    assert face.inner_face[int(nose[1]), int(nose[0])] == 255
    assert face.inner_face[0, 0] == 0


def test_prior_leaves_the_scene_alone_outside_the_face() -> None:
    drawn = task(3)
    border = np.ones((128, 128), dtype=bool)
    border[8:-8, 8:-8] = False
    assert np.array_equal(drawn.prior[border], drawn.scene.picture[border])
    assert not np.array_equal(drawn.prior, drawn.scene.picture)


def test_truth_wears_what_the_prompt_asks() -> None:
    for seed in range(20):
        drawn = task(seed)
        assert drawn.edit.holds(drawn.look)
        assert any(drawn.attributes.values())


def test_accessories_change_the_picture() -> None:
    nuisance = draw_nuisance(np.random.default_rng(0))
    plain = render(person(0), nuisance).picture
    for accessory in (Accessory.GLASSES, Accessory.SUNGLASSES, Accessory.HAT):
        worn = render(person(0), nuisance, Look(accessory=accessory)).picture
        assert np.abs(worn.astype(int) - plain).mean() > 1
