"""Alignment: 1 where nothing has moved, less the further, missing where nobody can tell."""

import cv2
import numpy as np
import pytest
import skimage.data

from eacps.scoring import AlignmentScorer, EditContext, MissingScore

SCENE = skimage.data.astronaut()[:256, :256].copy()


def context(scene: np.ndarray = SCENE, mask: np.ndarray | None = None) -> EditContext:
    return EditContext(
        scene=scene,
        prompt="",
        reference_embedding=np.zeros(512, np.float32),
        character=scene,
        character_face=0,
        scene_box=(180.0, 60.0, 250.0, 170.0),
        mask=mask,
    )


def shifted(pixels: float) -> np.ndarray:
    matrix = np.array([[1, 0, pixels], [0, 1, 0.0]])
    return np.asarray(cv2.warpAffine(SCENE, matrix, (256, 256), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE))


async def test_the_score_falls_with_the_displacement() -> None:
    pictures = {str(pixels): shifted(pixels) for pixels in (0.0, 1.0, 2.56, 8.0)}
    scores = await AlignmentScorer().score(pictures, context())
    assert scores["0.0"] == 1.0
    assert scores["1.0"] == pytest.approx(1 - 1 / 5.12, abs=0.03)
    assert scores["2.56"] == pytest.approx(0.5, abs=0.03)
    assert scores["8.0"] == 0.0


async def test_where_nobody_can_tell_the_score_is_missing() -> None:
    flat = np.full_like(SCENE, 80)
    scores = await AlignmentScorer().score({"a": flat + np.uint8(9)}, context(flat))
    assert isinstance(scores["a"], MissingScore)
