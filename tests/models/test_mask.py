import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from eacps.models.mask import composite, feathered, nearest_cells


def _box(top: int, bottom: int, left: int, right: int) -> np.ndarray:
    mask = np.zeros((128, 128), np.uint8)
    mask[top:bottom, left:right] = 255
    return mask


BOXES = st.tuples(*[st.integers(0, 100)] * 2, *[st.integers(1, 28)] * 2).map(
    lambda b: _box(b[0], b[0] + b[2], b[1], b[1] + b[3])
)


@given(mask=BOXES)
def test_outside_the_mask_the_scene_is_delivered_pixel_for_pixel(mask: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    scene, edited = (rng.integers(0, 256, (128, 128, 3), dtype=np.uint8) for _ in range(2))
    mixed = composite(scene, torch.from_numpy(edited)[None], feathered(mask))[0].numpy()
    np.testing.assert_array_equal(mixed[mask == 0], scene[mask == 0])


@given(mask=BOXES)
def test_the_feather_lies_inside_and_reaches_whole_within_its_width(mask: np.ndarray) -> None:
    weight = feathered(mask).numpy()
    assert (weight[mask == 0] == 0).all()
    assert (weight[mask > 0] > 0).all()
    inner = np.zeros_like(mask)
    inner[1:-1, 1:-1] = mask[2:, 1:-1] & mask[:-2, 1:-1] & mask[1:-1, 2:] & mask[1:-1, :-2]
    inner[1:-1, 1:-1] &= mask[2:, 2:] & mask[:-2, :-2] & mask[2:, :-2] & mask[:-2, 2:]
    assert (weight[inner > 0] == 1).all()  # two pixels wide at this size


def test_the_border_of_the_picture_is_no_edge() -> None:
    assert (feathered(np.full((128, 128), 255, np.uint8)) == 1).all()


def test_cells_are_free_where_their_nearest_pixel_is_white() -> None:
    mask = _box(32, 96, 48, 128)
    cells = nearest_cells(mask, 16, 16)
    assert cells.shape == (1, 1, 16, 16)
    expected = torch.from_numpy(mask[::8, ::8] // 255).float()
    assert torch.equal(cells[0, 0], expected)
