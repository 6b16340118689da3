"""Faces of large scenes: where they are looked for, and which of several boxes is of one face."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from eacps.evaluation.faces import FoundFaces
from eacps.evaluation.sight import find_in_scene, look_closely, same_face
from eacps.evaluation.updates import Box
from eacps.imaging import Picture

FACE: Box = (600.0, 400.0, 640.0, 440.0)


def faces(*boxes: Box) -> FoundFaces:
    embeddings = np.zeros((len(boxes), 512), np.float32)
    return FoundFaces("scene", np.array(boxes, np.float32).reshape(-1, 4), embeddings)


class Detector:
    """Sees one face, white on black, where it takes up at least a share of the picture's longer side."""

    def __init__(self, least: float) -> None:
        self.least, self.looks = least, 0

    async def __call__(self, picture: Picture) -> FoundFaces:
        self.looks += 1
        rows, columns = (np.flatnonzero(picture.max(axis=2).max(axis=axis) > 128) for axis in (1, 0))
        if not rows.size or not columns.size or len(columns) < self.least * max(picture.shape[:2]):
            return faces()
        return faces((float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)))


def scene(width: int = 1000, height: int = 800, face: Box = FACE) -> Picture:
    picture = np.zeros((height, width, 3), np.uint8)
    left, top, right, bottom = (int(edge) for edge in face)
    picture[top:bottom, left:right] = 255
    return picture


async def test_a_face_is_found_at_first_sight_where_it_can_be() -> None:
    detector = Detector(0.02)
    assert (await find_in_scene(detector, scene())).as_tuples() == [FACE]
    assert detector.looks == 1


async def test_a_small_face_is_found_once_in_overlapping_parts() -> None:
    for least in (0.06, 0.12):
        found = (await find_in_scene(Detector(least), scene())).as_tuples()
        assert len(found) == 1
        assert found[0] == FACE


async def test_nobody_is_found_where_nobody_is_and_the_looking_ends() -> None:
    detector = Detector(0.0)
    assert not len((await find_in_scene(detector, np.zeros((300, 300, 3), np.uint8))).boxes)
    assert detector.looks == 1 + 9 + 49
    tiny = Detector(0.0)
    assert not len((await find_in_scene(tiny, np.zeros((64, 64, 3), np.uint8))).boxes)
    assert tiny.looks == 1


async def test_boxes_are_of_the_scene_s_pixels_though_it_is_shrunk() -> None:
    large = (2400.0, 1600.0, 2560.0, 1760.0)
    (found,) = (await find_in_scene(Detector(0.02), scene(4000, 3200, large))).as_tuples()
    assert np.abs(np.subtract(found, large)).max() <= 4000 / 1024
    close = await look_closely(Detector(0.02), scene(4000, 3200, large), found)
    assert np.abs(np.subtract(close, large)).max() <= 1


async def test_a_face_that_is_not_seen_from_near_by_keeps_its_box() -> None:
    assert await look_closely(Detector(2.0), scene(), FACE) == FACE


def test_the_same_face_shares_its_middle_and_is_the_most_alike() -> None:
    face = (10.0, 10.0, 30.0, 30.0)
    assert same_face(face, []) is None
    assert same_face(face, [(29.0, 29.0, 60.0, 60.0)]) is None
    assert same_face(face, [(0.0, 0.0, 80.0, 80.0), (12.0, 9.0, 33.0, 29.0), (40.0, 10.0, 60.0, 30.0)]) == 1


@given(st.lists(st.tuples(*[st.floats(0, 90)] * 2, *[st.floats(1, 40)] * 2), min_size=1, max_size=8), st.data())
def test_every_face_is_the_same_as_itself(corners: list[tuple[float, ...]], data: st.DataObject) -> None:
    boxes = [(x, y, x + across, y + down) for x, y, across, down in corners]
    face = data.draw(st.sampled_from(boxes))
    number = same_face(face, boxes)
    assert number is not None
    assert boxes[number] == face
