"""Known answers for what an edit leaves: a judge that answers by rule, pictures whose gradients are counted by hand."""

import math

import numpy as np
import pytest

from studio_mini.measure.edits import accessory_followed, expression_followed, gradient_energy
from studio_mini.world.prompts import ACCESSORY_QUESTIONS, Accessory, Edit, Expression


class BrightnessJudge:
    """Answers yes to questions about hats for bright pictures, and no to everything else."""

    def p_yes(self, pictures: np.ndarray, question: str) -> np.ndarray:
        asked = question in ACCESSORY_QUESTIONS[Accessory.HAT]
        return np.array([0.9 if asked and picture.mean() > 128 else 0.1 for picture in pictures])


PICTURES = np.stack([np.full((8, 8, 3), level, np.uint8) for level in (0, 200, 250, 10)])


def test_an_accessory_counts_by_picture() -> None:
    assert accessory_followed(BrightnessJudge(), PICTURES, Edit(accessory=Accessory.HAT)) == 0.5  # type: ignore[arg-type]
    assert accessory_followed(BrightnessJudge(), PICTURES, Edit(accessory=Accessory.GLASSES)) == 0.0  # type: ignore[arg-type]


def test_what_the_prompt_leaves_open_is_not_counted() -> None:
    assert math.isnan(expression_followed(BrightnessJudge(), PICTURES, Edit(accessory=Accessory.HAT)))  # type: ignore[arg-type]
    assert expression_followed(BrightnessJudge(), PICTURES, Edit(expression=Expression.SAD)) == 0.0  # type: ignore[arg-type]


def test_gradient_energy_of_stripes_and_of_their_blur() -> None:
    stripes = np.zeros((16, 16, 3), np.uint8)
    stripes[:, ::2] = 100
    whole = np.array([0, 0, 16, 16], np.float32)
    assert gradient_energy(stripes, whole) == pytest.approx(100, rel=1e-4)
    blurred = (stripes // 2 + np.roll(stripes, 1, axis=1) // 2).astype(np.uint8)
    assert gradient_energy(blurred, whole) == pytest.approx(0, abs=1e-3)


def test_gradient_energy_counts_inside_the_box_and_picture_only() -> None:
    picture = np.zeros((16, 16, 3), np.uint8)
    picture[:, 12:] = 255
    assert gradient_energy(picture, np.array([-5, -5, 10, 30], np.float32)) == 0.0
    assert gradient_energy(picture, np.array([8, 8, 40, 40], np.float32)) > 0
