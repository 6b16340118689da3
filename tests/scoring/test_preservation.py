"""Preservation: what counts as kept, and what it costs to change it."""

import numpy as np
import pytest

from eacps.imaging.preserved import HEAD, preserved_region
from eacps.scoring import EditContext, PreservationScorer
from eacps.scoring.preservation import structural_similarity

SCENE = np.random.default_rng(0).integers(0, 256, (64, 48, 3), np.uint8)
FACE = (20.0, 30.0, 30.0, 40.0)


def context(mask: np.ndarray | None = None) -> EditContext:
    return EditContext(
        scene=SCENE,
        prompt="smile",
        reference_embedding=np.zeros(512, np.float32),
        character=SCENE,
        character_face=0,
        scene_box=FACE,
        mask=mask,
    )


def changed(rows: slice, columns: slice) -> np.ndarray:
    picture = SCENE.copy()
    picture[rows, columns] = 128
    return picture


async def score(picture: np.ndarray, mask: np.ndarray | None = None) -> object:
    return (await PreservationScorer().score({"a": picture}, context(mask)))["a"]


async def test_the_scene_itself_is_kept_whole() -> None:
    assert await score(SCENE) == pytest.approx(1.0)


async def test_within_the_head_everything_may_change() -> None:
    assert await score(changed(slice(32, 38), slice(22, 28))) == pytest.approx(1.0, abs=0.01)


async def test_the_more_is_lost_outside_the_lower_the_score() -> None:
    little, much = await score(changed(slice(0, 8), slice(0, 8))), await score(changed(slice(0, 20), slice(0, 48)))
    assert 0.0 <= much < little < 1.0


async def test_a_mask_says_what_may_change_and_the_head_does_not_matter_then() -> None:
    mask = np.zeros((64, 48), np.uint8)
    mask[:24] = 255
    assert await score(changed(slice(0, 16), slice(0, 48)), mask) == pytest.approx(1.0, abs=0.01)
    assert await score(changed(slice(32, 38), slice(22, 28)), mask) < 0.99


async def test_where_everything_may_change_nothing_can_be_lost() -> None:
    assert await score(255 - SCENE, np.full((64, 48), 255, np.uint8)) == 1.0


def test_the_head_is_the_face_grown_by_its_own_size() -> None:
    kept = preserved_region(64, 48, mask=None, face=FACE)
    left, top, right, bottom = HEAD
    rows, columns = np.nonzero(~kept)
    assert (columns.min(), columns.max() + 1) == pytest.approx((20 - 10 * left, 30 + 10 * right), abs=0.5)
    assert (rows.min(), rows.max() + 1) == pytest.approx((30 - 10 * top, 40 + 10 * bottom), abs=0.5)


def test_similarity_is_that_of_scikit_image() -> None:
    metrics = pytest.importorskip("skimage.metrics")
    other = np.clip(SCENE.astype(int) + np.random.default_rng(1).integers(-40, 40, SCENE.shape), 0, 255).astype(
        np.uint8
    )
    luma = np.array([0.299, 0.587, 0.114])
    _, expected = metrics.structural_similarity(
        SCENE @ luma,
        other @ luma,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=255,
        full=True,
    )
    np.testing.assert_allclose(structural_similarity(SCENE, other), expected, atol=1e-6)
