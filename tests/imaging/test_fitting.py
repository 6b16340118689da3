"""Fitting to a working size."""

import numpy as np

from eacps.imaging import fit_picture, shrink_to


def halves(height: int, width: int) -> np.ndarray:
    picture = np.zeros((height, width, 3), np.uint8)
    picture[:, width // 2 :] = 255
    return picture


def test_a_fitting_picture_is_left_alone() -> None:
    picture = halves(128, 128)
    assert fit_picture(picture, width=128, height=128) is picture


def test_wide_pictures_lose_both_sides_evenly() -> None:
    fitted = fit_picture(halves(100, 400), width=128, height=128)
    assert fitted.shape == (128, 128, 3)
    assert fitted[:, :56].max() == 0
    assert fitted[:, 72:].min() == 255


def test_shrinking_keeps_the_aspect_ratio_and_never_grows() -> None:
    assert shrink_to(halves(100, 400), max_side=200).shape == (50, 200, 3)
    small = halves(100, 50)
    assert shrink_to(small, max_side=200) is small
