"""Shift and zoom of pictures of a photograph, put in by OpenCV, are found and taken out again."""

import cv2
import numpy as np
import pytest
import skimage.data

from eacps.imaging import Inlay, deliver, encode_png
from eacps.imaging.inlay import registered
from eacps.imaging.registration import WORTH, corrected, measure_alignment
from studio_mini.world.tasks import Split, task

SCENE = skimage.data.astronaut()[:384, :448].copy()
HEIGHT, WIDTH = SCENE.shape[:2]
FACE = (170.0, 60.0, 270.0, 190.0)


def kept() -> np.ndarray:
    flags = np.ones((HEIGHT, WIDTH), bool)
    flags[0:220, 130:310] = False
    return flags


def warped(picture: np.ndarray, scale: float, shift: tuple[float, float]) -> np.ndarray:
    x, y = (WIDTH - 1) / 2, (HEIGHT - 1) / 2
    matrix = np.array([[scale, 0, x * (1 - scale) + shift[0]], [0, scale, y * (1 - scale) + shift[1]]])
    border = cv2.BORDER_REPLICATE
    return np.asarray(cv2.warpAffine(picture, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC, borderMode=border))


def edited(scale: float, shift: tuple[float, float]) -> np.ndarray:
    """What a model might make: moved, softer, brighter, grainy, another head, and another shirt."""
    rng = np.random.default_rng(0)
    picture = cv2.GaussianBlur(warped(SCENE, scale, shift), (0, 0), 0.8) * 0.95 + 8
    picture = (picture + rng.normal(0, 2, picture.shape)).clip(0, 255).astype(np.uint8)
    picture[20:210, 150:290] = rng.integers(0, 256, (190, 140, 3))
    picture[290:350, 90:180] = (200, 30, 30)
    return picture


MOTIONS = [
    (1.0, (3.0, -2.0)),
    (1.0, (0.7, 0.6)),
    (1.0, (25.0, -18.0)),
    (1.02, (0.0, 0.0)),
    (0.97, (5.0, 4.0)),
    (1.06, (-8.0, 6.0)),
    (0.93, (12.0, 9.0)),
]


@pytest.mark.parametrize(("scale", "shift"), MOTIONS)
def test_shift_and_zoom_are_measured(scale: float, shift: tuple[float, float]) -> None:
    found = measure_alignment(edited(scale, shift), SCENE, kept())
    assert found is not None
    assert found.sure
    assert found.scale == pytest.approx(scale, abs=0.001)
    assert found.shift == pytest.approx(shift, abs=0.15)
    x, y = np.meshgrid(np.arange(WIDTH) - (WIDTH - 1) / 2, np.arange(HEIGHT) - (HEIGHT - 1) / 2)
    true = np.hypot((scale - 1) * x + shift[0], (scale - 1) * y + shift[1]).mean()
    assert found.displacement == pytest.approx(true, abs=0.2)


@pytest.mark.parametrize("contrast", [0.4, 1.5])
@pytest.mark.parametrize(("scale", "shift"), [(1.0, (0.0, 0.0)), (1.0, (3.0, -2.0)), (1.02, (0.0, 0.0))])
def test_another_contrast_is_not_taken_for_a_motion(scale: float, shift: tuple[float, float], contrast: float) -> None:
    picture = (128 + contrast * (warped(SCENE, scale, shift).astype(np.float32) - 128)).clip(0, 255).astype(np.uint8)
    found = measure_alignment(picture, SCENE, kept())
    assert found is not None
    assert found.sure
    assert found.scale == pytest.approx(scale, abs=2e-4)
    assert found.shift == pytest.approx(shift, abs=0.05)


@pytest.mark.parametrize(("scale", "shift"), [*MOTIONS, (1.0, (0.0, 0.0)), (1.0, (0.2, 0.1)), (1.001, (0.3, 0.0))])
@pytest.mark.parametrize("size", [1, 2])
def test_a_coarse_measurement_decides_as_the_exact_one(scale: float, shift: tuple[float, float], size: int) -> None:
    picture, scene = (cv2.resize(one, None, fx=size, fy=size) for one in (edited(scale, shift), SCENE))
    flags = np.kron(kept(), np.ones((size, size), bool))
    exact, coarse = measure_alignment(picture, scene, flags), measure_alignment(picture, scene, flags, exact_from=WORTH)
    assert exact is not None
    assert coarse is not None
    assert (coarse.sure, coarse.displacement >= WORTH) == (exact.sure, exact.displacement >= WORTH)
    if coarse.displacement >= WORTH:
        assert coarse == exact


@pytest.mark.parametrize(("scale", "shift"), MOTIONS)
def test_a_moved_picture_is_moved_back(scale: float, shift: tuple[float, float]) -> None:
    picture = warped(SCENE, scale, shift)
    found = measure_alignment(picture, SCENE, kept())
    assert found is not None
    inner = (slice(40, -40), slice(40, -40))
    before, after = (
        np.abs(one[inner].astype(int) - SCENE[inner]).mean() for one in (picture, corrected(picture, found))
    )
    assert after < 2.5 < before


def test_what_did_not_move_is_found_so() -> None:
    found = measure_alignment(edited(1.0, (0.0, 0.0)), SCENE, kept())
    assert found is not None
    assert found.sure
    assert found.displacement < 0.1
    same = measure_alignment(SCENE, SCENE, kept())
    assert same is not None
    assert (same.displacement, same.sure) == (0.0, True)


@pytest.mark.parametrize(
    "picture",
    [
        np.random.default_rng(1).integers(0, 256, SCENE.shape, np.uint8),
        np.resize(skimage.data.chelsea()[:300, :448], SCENE.shape),
        warped(SCENE, 1.4, (0.0, 0.0)),
    ],
    ids=["noise", "another picture", "another framing"],
)
def test_of_what_is_not_the_same_scene_nothing_is_sure(picture: np.ndarray) -> None:
    found = measure_alignment(picture, SCENE, kept())
    assert found is None or not found.sure


def test_without_structure_or_anything_kept_nothing_is_measured() -> None:
    flat = np.full_like(SCENE, 90)
    assert measure_alignment(flat + np.uint8(5), flat, kept()) is None
    assert measure_alignment(SCENE, SCENE, np.zeros((HEIGHT, WIDTH), bool)) is None


def test_structure_in_one_direction_is_not_enough() -> None:
    stripes = np.broadcast_to((np.arange(WIDTH) % 16 * 15).astype(np.uint8)[None, :, None], SCENE.shape)
    found = measure_alignment(np.roll(stripes, 3, axis=1), stripes, kept())
    assert found is None or not found.sure


def test_a_moved_picture_is_delivered_in_its_place() -> None:
    clean = SCENE.copy()
    clean[60:190, 170:270] = cv2.GaussianBlur(SCENE, (0, 0), 6)[60:190, 170:270]  # another face
    whole = (0, 0, WIDTH, HEIGHT)
    moved = Inlay(warped(clean, 1.02, (6.0, -4.0)), SCENE, whole, FACE)
    with_correction, without = (
        registered(moved).picture.astype(int)[30:-30, 30:-30],
        moved.picture.astype(int)[30:-30, 30:-30],
    )
    truth = clean[30:-30, 30:-30]
    assert np.abs(with_correction - truth).mean() < 2.5
    assert np.abs(without - truth).mean() > 10
    data = encode_png(SCENE)
    assert deliver(data, moved) == deliver(data, registered(moved))
    assert deliver(data, moved) != deliver(data, Inlay(clean, SCENE, whole, FACE))


def test_what_lies_in_its_place_is_delivered_as_it_is() -> None:
    inlay = Inlay(edited(1.0, (0.0, 0.0)), SCENE, (0, 0, WIDTH, HEIGHT), FACE)
    assert registered(inlay) is inlay
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[20:210, 150:290] = 255
    masked = SCENE.copy()
    masked[mask > 0] = 0
    inlay = Inlay(masked, SCENE, (0, 0, WIDTH, HEIGHT), FACE, mask)
    assert registered(inlay) is inlay, "outside the mask it is the scene"


@pytest.mark.parametrize("number", [12, 53])
def test_drawn_scenes_of_different_people_are_not_aligned(number: int) -> None:
    scene, other = (task(one, Split.HELD_OUT).scene.picture for one in (number, number + 1))
    kept = np.ones(scene.shape[:2], bool)
    kept[30:100, 35:95] = False
    found = measure_alignment(scene, other, kept)
    assert found is None or not found.sure
