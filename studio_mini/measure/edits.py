"""What an edit leaves in the picture: whether the prompt was followed, and how much of the face's detail is there."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from studio_mini.measure.judge import Judge
from studio_mini.world.prompts import ACCESSORY_QUESTIONS, EXPRESSION_QUESTIONS, Edit

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def expression_followed(judge: Judge, pictures: NDArray[np.uint8], edit: Edit) -> float:
    """Return how often the judge sees the expression that ``edit`` names, NaN where it names none.

    Args:
        judge: Asked every question about the expression.
        pictures: uint8 [N, H, W, 3], all edited as ``edit`` says.
        edit: What the prompt asked for.
    """
    return math.nan if edit.expression is None else _followed(judge, pictures, EXPRESSION_QUESTIONS[edit.expression])


def accessory_followed(judge: Judge, pictures: NDArray[np.uint8], edit: Edit) -> float:
    """Return how often the judge sees the accessory that ``edit`` names, NaN where it names none."""
    return math.nan if edit.accessory is None else _followed(judge, pictures, ACCESSORY_QUESTIONS[edit.accessory])


def gradient_energy(picture: NDArray[np.uint8], box: NDArray[np.float32]) -> float:
    """Return the mean absolute difference of neighboring pixels' luma inside ``box``, in 8-bit levels, both axes added.

    Args:
        picture: uint8 [H, W, 3].
        box: [4], x1 y1 x2 y2 in pixels; the part of it inside the picture counts.
    """
    height, width = picture.shape[:2]
    left, top = np.clip(np.floor(box[:2]).astype(int), 0, (width - 2, height - 2))
    right, bottom = np.ceil(box[2:]).astype(int)
    luma = picture[top : max(bottom, top + 2), left : max(right, left + 2)].astype(np.float32) @ _LUMA
    return float(np.abs(np.diff(luma, axis=0)).mean() + np.abs(np.diff(luma, axis=1)).mean())


def _followed(judge: Judge, pictures: NDArray[np.uint8], questions: Sequence[str]) -> float:
    return float(np.mean([judge.p_yes(pictures, question) > 0.5 for question in questions]))
