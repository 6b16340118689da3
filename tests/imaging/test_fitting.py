"""Fitting to a checkpoint's size: picture and mask are cut alike."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from eacps.imaging import fit_box, fit_mask, fit_picture, shrink_to


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


def test_masks_are_cut_like_pictures_and_stay_binary() -> None:
    fitted = fit_mask(halves(100, 400)[..., 0], width=128, height=128)
    assert fitted.shape == (128, 128)
    assert set(np.unique(fitted)) == {0, 255}
    assert fitted[:, :62].max() == 0
    assert fitted[:, 66:].min() == 255


def test_shrinking_keeps_the_aspect_ratio_and_never_grows() -> None:
    assert shrink_to(halves(100, 400), max_side=200).shape == (50, 200, 3)
    small = halves(100, 50)
    assert shrink_to(small, max_side=200) is small


@given(st.integers(32, 300), st.integers(32, 300), st.sampled_from([(128, 128), (64, 96), (96, 64), (300, 200)]))
def test_a_box_goes_where_its_pixels_go(width: int, height: int, size: tuple[int, int]) -> None:
    box = (width * 0.4, height * 0.4, width * 0.6, height * 0.6)
    picture = np.zeros((height, width, 3), np.uint8)
    rows, columns = slice(round(box[1]), round(box[3])), slice(round(box[0]), round(box[2]))
    picture[rows, columns] = 255
    fitted = fit_picture(picture, width=size[0], height=size[1])[..., 0] > 127
    left, top, right, bottom = fit_box(
        (columns.start, rows.start, columns.stop, rows.stop), size=(width, height), width=size[0], height=size[1]
    )
    ys, xs = np.nonzero(fitted)
    np.testing.assert_allclose(
        [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1],
        [max(left, 0), max(top, 0), min(right, size[0]), min(bottom, size[1])],
        atol=1.01,
    )
