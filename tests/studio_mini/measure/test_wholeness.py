"""Wholeness falls where eyes or mouth are in pieces, and not where they lie a little elsewhere or are lit otherwise."""

import numpy as np
import pytest

from studio_mini.measure.faults import rank_correlation
from studio_mini.measure.wholeness import REACH, wholeness
from studio_mini.world.tasks import Split, task


@pytest.mark.parametrize("number", [4000, 4003])
def test_of_a_drawn_face(number: int) -> None:
    truth = task(number, Split.HELD_OUT).truth
    picture, landmarks = truth.picture, truth.landmarks
    moved = np.roll(picture, (REACH, 1 - REACH), axis=(0, 1))
    darker = (0.8 * picture).astype(np.uint8)
    left, _, _, *mouth = landmarks
    broken_eye, broken_mouth = (_in_pieces(picture, at) for at in (left, np.mean(mouth, axis=0)))
    scores = wholeness(np.stack([picture, moved, darker, broken_eye, broken_mouth]), picture, landmarks)
    assert scores[0] == pytest.approx(1.0, abs=1e-6)
    assert scores[1] > 0.95
    assert scores[2] > 0.98
    assert scores[3] < 0.93
    assert scores[4] < 0.93


def test_a_face_at_the_rim_has_a_score() -> None:
    truth = task(4000, Split.HELD_OUT).truth
    outside = truth.landmarks + np.array([90, 90], np.float32)
    assert np.isfinite(wholeness(truth.picture[None], truth.picture, outside)).all()


def test_rank_correlation() -> None:
    assert rank_correlation([1, 2, 3, 4], [10, 20, 25, 90]) == pytest.approx(1.0)
    assert rank_correlation([1, 2, 3, 4], [4, 3, 2, 1]) == pytest.approx(-1.0)
    assert rank_correlation([1, 2, 3], [2, 1, 3]) == pytest.approx(0.5)


def _in_pieces(picture: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Swap the quarters of a part."""
    other, (x, y) = picture.copy(), (round(float(c)) for c in at)
    for rows, columns in ((-1, -1), (-1, 0), (0, -1), (0, 0)):
        here = np.s_[y + 7 * rows : y + 7 * rows + 7, x + 7 * columns : x + 7 * columns + 7]
        there = np.s_[y - 7 * (rows + 1) : y - 7 * rows, x - 7 * (columns + 1) : x - 7 * columns]
        other[here] = picture[there]
    return other
