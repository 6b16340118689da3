"""Frames: inside the scene, of a size's aspect ratio, around face and mask; and the identity where nothing is to do."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from eacps.imaging import fit_picture
from eacps.scene.frame import FACE_MARGIN, SMALL_FACE, Frame, Framing, choose_frame, cut_mask, cut_picture
from eacps.scene.geometry import Box, Size

SQUARE = ((128, 128),)
BUCKETS = ((1024, 1024), (1184, 880), (880, 1184), (1392, 752), (752, 1392))
sides = st.integers(32, 8192)
buckets = st.lists(st.tuples(st.integers(2, 90), st.integers(2, 90)), min_size=1, max_size=5).map(
    lambda cells: tuple((16 * width, 16 * height) for width, height in cells)
)
shares = st.floats(0.0, 1.0)


@st.composite
def faces(draw: st.DrawFn, scene: Size) -> Box:
    """A box that a detector could give: it may reach beyond the scene."""
    width, height = scene
    across, down = draw(st.floats(4, width)), draw(st.floats(4, height))
    left, top = draw(shares) * width - across / 3, draw(shares) * height - down / 3
    return left, top, left + across, top + down


@st.composite
def cases(draw: st.DrawFn) -> tuple[Size, tuple[Size, ...], Box | None]:
    scene = draw(sides), draw(sides)
    return scene, draw(buckets), draw(st.none() | faces(scene))


def within(box: Box, scene: Size) -> Box:
    left, top, right, bottom = box
    return max(left, 0.0), max(top, 0.0), min(right, float(scene[0])), min(bottom, float(scene[1]))


@given(cases(), st.sampled_from(Framing))
def test_a_frame_lies_in_the_scene_and_has_a_size_s_aspect_ratio(
    case: tuple[Size, tuple[Size, ...], Box | None], framing: Framing
) -> None:
    scene, sizes, face = case
    frame = choose_frame(scene, sizes, framing, face=face)
    left, top, right, bottom = frame.rectangle
    assert 0 <= left < right <= scene[0]
    assert 0 <= top < bottom <= scene[1]
    assert frame.size in sizes
    (across, down), (width, height) = frame.extent, frame.size
    # To within a pixel, of either side; no rectangle of a scene is smaller than one.
    assert abs(across - down * width / height) <= 1 or abs(down - across * height / width) <= 1


@given(cases(), st.sampled_from(Framing))
def test_what_fits_of_the_face_is_in_the_frame(
    case: tuple[Size, tuple[Size, ...], Box | None], framing: Framing
) -> None:
    scene, sizes, face = case
    if face is None:
        return
    frame = choose_frame(scene, sizes, framing, face=face)
    seen = within(face, scene)
    for axis in (0, 1):
        low, high = seen[axis], seen[axis + 2]
        if 0 <= low < high <= scene[axis] and np.ceil(high) - np.floor(low) <= frame.extent[axis]:
            assert frame.rectangle[axis] <= low
            assert high <= frame.rectangle[axis + 2]


@given(st.integers(200, 1500), st.integers(200, 1500), st.data())
def test_the_face_s_frame_holds_the_mask_where_it_can(width: int, height: int, data: st.DataObject) -> None:
    face = data.draw(faces((width, height)))
    left, top = data.draw(st.integers(0, width - 20)), data.draw(st.integers(0, height - 20))
    mask = np.zeros((height, width), np.uint8)
    mask[top : top + 20, left : left + 20] = 255
    frame = choose_frame((width, height), BUCKETS, Framing.FACE, face=face, mask=mask)
    white = left, top, left + 20, top + 20
    for axis in (0, 1):
        margin = FACE_MARGIN * (face[axis + 2] - face[axis])
        first, last = min(white[axis], face[axis] - margin), max(white[axis + 2], face[axis + 2] + margin)
        if last - first + 2 <= frame.extent[axis]:  # whole pixels may take one more on either side
            assert frame.rectangle[axis] <= white[axis]
            assert white[axis + 2] <= frame.rectangle[axis + 2]


@given(cases(), st.sampled_from((Framing.AUTO, Framing.WHOLE)))
def test_a_scene_of_one_of_the_sizes_is_left_alone(
    case: tuple[Size, tuple[Size, ...], Box | None], framing: Framing
) -> None:
    _, sizes, _ = case
    for size in sizes:
        face = (0.0, 0.0, 2.0, 2.0)  # as small as it may be
        assert choose_frame(size, sizes, framing, face=face) == Frame((0, 0, *size), size)


@given(st.integers(129, 2000))
def test_square_scenes_are_brought_to_a_square_as_ever(side: int) -> None:
    frame = choose_frame((side, side), SQUARE, Framing.WHOLE)
    assert frame == Frame((0, 0, side, side), (128, 128))


def test_the_cut_is_the_fit_of_old() -> None:
    rng = np.random.default_rng(0)
    for height, width in ((300, 300), (300, 400), (500, 128)):
        scene = rng.integers(0, 256, (height, width, 3), np.uint8)
        mask = np.where(rng.random((height, width)) < 0.5, np.uint8(255), np.uint8(0))
        frame = choose_frame((width, height), SQUARE, Framing.WHOLE)
        assert np.array_equal(cut_picture(scene, frame), fit_picture(scene, width=128, height=128))
        fitted = ImageOps.fit(Image.fromarray(mask), (128, 128), Image.Resampling.NEAREST)
        assert np.array_equal(cut_mask(mask, frame), np.asarray(fitted))
    scene = rng.integers(0, 256, (128, 128, 3), np.uint8)
    assert cut_picture(scene, choose_frame((128, 128), SQUARE, Framing.AUTO)) is scene


@pytest.mark.parametrize(
    ("scene", "size"),
    [
        ((4000, 3000), (1184, 880)),
        ((3000, 4000), (880, 1184)),
        ((1920, 1080), (1392, 752)),
        ((600, 600), (1024, 1024)),
        ((8000, 1000), (1392, 752)),
    ],
)
def test_the_nearest_aspect_ratio_is_taken(scene: Size, size: Size) -> None:
    assert choose_frame(scene, BUCKETS, Framing.WHOLE).size == size


def test_of_equally_near_sizes_the_first_is_taken() -> None:
    assert choose_frame((500, 500), ((64, 64), (128, 128)), Framing.WHOLE).size == (64, 64)


def test_a_face_at_the_side_moves_the_frame_of_the_whole() -> None:
    face = (700.0, 100.0, 790.0, 200.0)
    assert choose_frame((800, 600), SQUARE, Framing.WHOLE).rectangle == (100, 0, 700, 600)
    assert choose_frame((800, 600), SQUARE, Framing.WHOLE, face=face).rectangle == (200, 0, 800, 600)


def test_auto_works_on_the_face_where_it_would_be_small() -> None:
    small, large = SMALL_FACE * 600 - 1, SMALL_FACE * 600 + 1
    for height, near in ((small, True), (large, False)):
        face = (300.0, 200.0, 300.0 + height, 200.0 + height)
        frame = choose_frame((800, 600), SQUARE, Framing.AUTO, face=face)
        assert (frame == choose_frame((800, 600), SQUARE, Framing.FACE, face=face)) is near
        assert (frame == choose_frame((800, 600), SQUARE, Framing.WHOLE, face=face)) is not near


def test_auto_takes_the_whole_where_the_mask_needs_it() -> None:
    face, mask = (10.0, 10.0, 60.0, 60.0), np.full((600, 600), 255, np.uint8)
    assert choose_frame((600, 600), SQUARE, Framing.AUTO, face=face, mask=mask).extent == (600, 600)
    assert choose_frame((600, 600), SQUARE, Framing.AUTO, face=face).extent[0] < 200


def test_a_face_at_the_corner_is_framed_inside_the_scene() -> None:
    frame = choose_frame((1000, 800), SQUARE, Framing.FACE, face=(900.0, 700.0, 1000.0, 800.0))
    assert frame.rectangle[2:] == (1000, 800)
    assert frame.extent == (145, 145)


def test_boxes_go_to_the_working_picture() -> None:
    frame = Frame((100, 50, 356, 306), (128, 128))
    assert frame.to_working((100.0, 50.0, 356.0, 306.0)) == (0.0, 0.0, 128.0, 128.0)
    assert frame.to_working((80.0, 50.0, 120.0, 70.0)) == (-10.0, 0.0, 10.0, 10.0)
    assert frame.to_scene((-10.0, 0.0, 10.0, 10.0)) == (80.0, 50.0, 120.0, 70.0)


def test_neighbors_beyond_the_frame_do_not_leak_far() -> None:
    scene = np.zeros((300, 600, 3), np.uint8)
    scene[:, 300:] = 255
    left = cut_picture(scene, Frame((0, 0, 300, 300), (100, 100)))
    assert left[:, :96].max() == 0
    assert Image.fromarray(left).size == (100, 100)
