"""Laying a picture into its scene: what must not change is the scene's, bit for bit; seams do not show."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from eacps.imaging import Inlay
from eacps.imaging.inlay import lay_in
from eacps.imaging.profiles import Color
from eacps.imaging.source import Container, Source
from eacps.scene.frame import Frame, cut_picture


def paste_back(
    scene: np.ndarray,
    picture: np.ndarray,
    frame: Frame,
    *,
    working: np.ndarray,
    face: tuple[float, float, float, float] | None = None,
    mask: np.ndarray | None = None,
) -> np.ndarray:
    source = Source(scene.copy(), Color.RGB, None, Container.PNG)
    lay_in(source, Inlay(picture, working, frame.rectangle, face, mask))
    return source.samples


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def smooth(height: int, width: int) -> np.ndarray:
    """Soft colors with fine grain, as photographs have."""
    y, x = np.mgrid[0:height, 0:width]
    ground = np.stack([90 + 60 * x / width, 90 + 60 * y / height, np.full(x.shape, 110.0)], axis=-1)
    return (ground + np.random.default_rng(0).normal(0, 4, ground.shape)).clip(0, 255).astype(np.uint8)


@st.composite
def pasted(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, Frame, np.ndarray | None]:
    """A scene, a picture of another content, a frame, perhaps a mask."""
    width, height = draw(st.integers(32, 90)), draw(st.integers(32, 90))
    left, top = draw(st.integers(0, width - 20)), draw(st.integers(0, height - 20))
    right, bottom = draw(st.integers(left + 8, width)), draw(st.integers(top + 8, height))
    size = draw(st.sampled_from([(32, 32), (48, 32), (16, 64)]))
    scene, picture = noise(height, width), noise(size[1], size[0], draw(st.integers(1, 9)))
    masked = draw(st.booleans())
    mask = np.where(np.random.default_rng(3).random((height, width)) < 0.6, np.uint8(255), np.uint8(0))
    return scene, picture, Frame((left, top, right, bottom), size), mask if masked else None


@given(pasted())
@settings(max_examples=60)
def test_outside_frame_and_mask_every_pixel_is_the_scene_s(
    case: tuple[np.ndarray, np.ndarray, Frame, np.ndarray | None],
) -> None:
    scene, picture, frame, mask = case
    before = scene.copy()
    result = paste_back(scene, picture, frame, working=cut_picture(scene, frame), mask=mask)
    assert result.shape == scene.shape
    assert np.array_equal(scene, before)
    left, top, right, bottom = frame.rectangle
    outside = np.ones(scene.shape[:2], bool)
    outside[top:bottom, left:right] = False
    assert np.array_equal(result[outside], scene[outside])
    if mask is not None:
        assert np.array_equal(result[mask == 0], scene[mask == 0])


@given(pasted())
@settings(max_examples=30)
def test_a_picture_that_changes_nothing_gives_the_scene(
    case: tuple[np.ndarray, np.ndarray, Frame, np.ndarray | None],
) -> None:
    scene, _, frame, mask = case
    working = cut_picture(scene, frame)
    assert np.array_equal(paste_back(scene, working, frame, working=working, mask=mask), scene)


def test_all_of_a_scene_at_its_size_is_the_picture_itself() -> None:
    scene, picture = noise(64, 48), noise(64, 48, seed=1)
    assert np.array_equal(paste_back(scene, picture, Frame((0, 0, 48, 64), (48, 64)), working=scene), picture)


def test_what_changed_is_the_picture_and_what_did_not_keeps_its_grain() -> None:
    scene, frame = smooth(512, 512), Frame((0, 0, 512, 512), (128, 128))
    working = cut_picture(scene, frame)
    picture = np.rint(working.astype(float).mean(axis=(0, 1)) + 0.9 * (working - working.mean(axis=(0, 1))))
    picture = picture.clip(0, 255).astype(np.uint8)  # a little softer everywhere, as a model's would be
    picture[40:80, 40:80] = (200, 30, 30)
    result = paste_back(scene, picture, frame, working=working)
    assert np.abs(result[190:290, 190:290].astype(int) - (200, 30, 30)).max() <= 1
    corner = (slice(0, 100), slice(0, 100))
    for channel in range(3):
        grain = [np.diff(one[corner][..., channel].astype(float), axis=1).std() for one in (result, scene)]
        assert abs(grain[0] - grain[1]) < 0.2


def test_of_a_replaced_face_not_even_the_texture_stays() -> None:
    scene, frame = smooth(512, 512), Frame((0, 0, 512, 512), (128, 128))
    working = cut_picture(scene, frame)
    picture = np.full_like(working, working.mean(axis=(0, 1)).astype(np.uint8))
    near = np.where(np.abs(picture.astype(int) - working).max(axis=2, keepdims=True) < 5, picture, working)
    face = (50.0, 50.0, 78.0, 78.0)
    inside = (slice(208, 304), slice(208, 304))

    def grain(result: np.ndarray) -> float:
        return float(np.diff(result[inside][..., 0].astype(float), axis=1).std())

    assert grain(paste_back(scene, near, frame, working=working)) > 3
    assert grain(paste_back(scene, near, frame, working=working, face=face)) < 1.5
    same = paste_back(scene, working, frame, working=working, face=face)
    assert np.array_equal(same, scene), "but where nothing at all changed"


def test_a_change_of_tone_comes_through_with_the_scene_s_own_detail() -> None:
    scene, frame = smooth(512, 512), Frame((0, 0, 512, 512), (128, 128))
    working = cut_picture(scene, frame)
    result = paste_back(scene, working + np.uint8(4), frame, working=working)
    assert np.array_equal(result, scene + np.uint8(4))


def test_the_seam_is_a_ramp_where_there_is_scene_beyond_it() -> None:
    scene, frame = np.full((400, 600, 3), 40, np.uint8), Frame((0, 100, 300, 400), (128, 128))
    working = cut_picture(scene, frame)
    result = paste_back(scene, np.full_like(working, 200), frame, working=working)[..., 0].astype(int)
    assert result[250, 0] == 200, "no fade at the scene's own edge"
    assert result[399, 100] == 200
    right, top = np.diff(result[250, 280:302]), np.diff(result[98:120, 100])
    assert right.max() <= 0 <= top.min()
    assert max(-right.min(), top.max()) < 16, "no visible step"
    assert (result[250, 300], result[99, 100]) == (40, 40)


def test_the_fade_of_a_mask_lies_inside_it() -> None:
    scene, frame = np.full((256, 256, 3), 40, np.uint8), Frame((0, 0, 256, 256), (128, 128))
    mask = np.zeros((256, 256), np.uint8)
    mask[:, 100:] = 255
    working = cut_picture(scene, frame)
    result = paste_back(scene, np.full_like(working, 200), frame, working=working, mask=mask)[128, :, 0].astype(int)
    assert result[99] == 40
    assert 40 < result[100] < 200
    assert set(result[104:]) == {200}


def test_a_picture_finer_than_its_frame_is_brought_down() -> None:
    scene, frame = np.full((100, 100, 3), 40, np.uint8), Frame((20, 20, 60, 60), (128, 128))
    result = paste_back(scene, np.full((128, 128, 3), 200, np.uint8), frame, working=cut_picture(scene, frame))
    assert result[40, 40, 0] == 200
    assert result.shape == scene.shape


def test_large_scenes_are_worked_on_in_bands_without_a_trace() -> None:
    scene, frame = np.full((900, 300, 3), 40, np.uint8), Frame((0, 100, 300, 800), (48, 112))
    working = cut_picture(scene, frame)
    result = paste_back(scene, np.full_like(working, 200), frame, working=working)
    assert np.array_equal(result[200:700], np.full((500, 300, 3), 200, np.uint8))
