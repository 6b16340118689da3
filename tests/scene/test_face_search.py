"""Faces of pictures of any size: where they are looked for, how often, and which of several boxes is of one face."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eacps.arrays import Picture
from eacps.errors import NoFaceFound
from eacps.scene import face_search
from eacps.scene.choice import ByIndex, ByLikeness, Largest
from eacps.scene.face_search import CLOSE_SIDE, FaceSearch, is_small, same_face
from eacps.scene.faces import Faces
from eacps.scene.geometry import Box

FACE: Box = (600.0, 400.0, 640.0, 440.0)
MOST_LOOKS = 1 + 4 + 16


class Detector:
    """Sees white squares on black, each a person of its own, that take up at least a share of the picture's side.

    Args:
        least: Share.
    """

    def __init__(self, least: float) -> None:
        self.least, self.looks, self.shown = least, 0, []

    async def __call__(self, picture: Picture) -> Faces:
        self.looks += 1
        self.shown.append(picture.shape[:2])
        boxes, people = [], []
        for person in range(1, 10):
            rows, columns = (
                np.flatnonzero((abs(picture[..., 0] - 25.0 * person) < 10).any(axis=axis)) for axis in (1, 0)
            )
            if rows.size and columns.size and len(columns) >= self.least * max(picture.shape[:2]):
                boxes.append((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
                people.append(person)
        return found(boxes, people)


def found(boxes: list[tuple[float, ...]], people: list[int]) -> Faces:
    corners = np.array(boxes, np.float32).reshape(-1, 4)
    landmarks = np.stack([corners[:, :2]] * 5, axis=1)
    scores = np.array([0.9 - person / 100 for person in people], np.float32)
    return Faces(corners, landmarks, scores, np.eye(10, 512, dtype=np.float32)[people])


def scene(width: int = 1000, height: int = 800, *faces: Box) -> Picture:
    picture = np.zeros((height, width, 3), np.uint8)
    for person, face in enumerate(faces or (FACE,), start=1):
        left, top, right, bottom = (int(edge) for edge in face)
        picture[top:bottom, left:right] = 25 * person
    return picture


async def test_a_face_is_found_at_the_first_look_where_it_can_be_and_in_all_pixels() -> None:
    detector = Detector(0.02)
    assert (await FaceSearch(detector).faces(scene(4000, 3000, (600, 400, 700, 500)))).as_tuples() == [
        (600, 400, 700, 500)
    ]
    assert detector.shown == [(3000, 4000)]


@pytest.mark.parametrize(("least", "looks"), [(0.06, 1 + 4), (0.12, MOST_LOOKS)])
async def test_a_small_face_is_found_once_in_overlapping_parts(least: float, looks: int) -> None:
    detector = Detector(least)
    faces = await FaceSearch(detector).faces(scene())
    assert faces.as_tuples() == [FACE]
    np.testing.assert_array_equal(faces.landmarks[0], [FACE[:2]] * 5)
    assert detector.looks == looks


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 960), st.integers(0, 760))
async def test_a_small_face_is_found_wherever_it_is(left: int, top: int) -> None:
    face = (left, top, left + 40, top + 40)
    assert (await FaceSearch(Detector(0.12)).faces(scene(1000, 800, face))).as_tuples() == [face]


@pytest.mark.parametrize(
    ("width", "height", "looks"),
    [(8000, 2000, MOST_LOOKS), (512, 512, MOST_LOOKS), (300, 300, 1 + 4), (128, 128, 1), (5000, 100, 1 + 2 + 4)],
)
async def test_nobody_is_found_where_nobody_is_after_a_bounded_number_of_looks(
    width: int, height: int, looks: int
) -> None:
    detector = Detector(0.0)
    search, wall = FaceSearch(detector), np.zeros((height, width, 3), np.uint8)
    assert not len(await search.faces(wall))
    assert detector.looks == looks
    detector.looks = 0
    with pytest.raises(NoFaceFound, match=r"^no face found in scene$"):
        await search.by_likeness("scene", wall, np.eye(1, 512, dtype=np.float32)[0])
    assert detector.looks == looks


async def test_parts_are_shrunk_and_boxes_are_of_the_pictures_pixels() -> None:
    large = (2400.0, 1600.0, 2560.0, 1760.0)
    detector, picture = Detector(0.05), scene(4000, 3200, large)
    search = FaceSearch(detector)
    (box,) = (await search.faces(picture)).as_tuples()
    assert max(detector.shown[1]) == CLOSE_SIDE
    assert np.abs(np.subtract(box, large)).max() <= 4000 / 1.75 / CLOSE_SIDE
    close = await search.closely(await search.meant("scene", picture, ByIndex(0)), picture)
    assert close is not None
    assert np.abs(np.subtract(close.face.box, large)).max() <= 1
    assert abs(close.picture.shape[0] - 480) <= 4


async def test_a_face_that_is_not_seen_from_near_by_has_no_close_up() -> None:
    seen = await FaceSearch(Detector(0.0)).meant("scene", scene(), Largest())
    assert await FaceSearch(Detector(2.0)).closely(seen, scene()) is None


CROWD = [(100.0 * n, 50.0, 100.0 * n + 60, 110.0) for n in range(8)]
TINY = (700.0, 500.0, 730.0, 530.0)


async def test_a_box_is_looked_at_though_others_are_found_at_once() -> None:
    picture = scene(1000, 800, *CROWD, TINY)
    detector = Detector(0.05)  # the whole shows the crowd alone
    seen = await FaceSearch(detector).by_box("scene", picture, TINY)
    assert seen.box == TINY
    assert detector.looks == 2
    assert seen.faces.as_tuples()[:8] == CROWD, "those of the whole keep their numbers"
    loose = await FaceSearch(Detector(0.05)).by_box("scene", picture, (680, 480, 760, 560))
    assert loose.box == TINY


async def test_a_wide_box_is_looked_at_in_parts_where_nobody_is_seen_in_it() -> None:
    picture = scene(1000, 800, *CROWD, TINY)
    detector = Detector(0.06)
    seen = await FaceSearch(detector).by_box("scene", picture, (400, 300, 1000, 800))
    assert seen.box == TINY


async def test_a_box_takes_no_second_look_where_the_first_shows_whom_it_means() -> None:
    detector = Detector(0.05)
    seen = await FaceSearch(detector).by_box("scene", scene(1000, 800, *CROWD, TINY), (305, 40, 365, 100))
    assert (seen.index, detector.looks) == (3, 1)


@pytest.mark.parametrize(
    ("box", "nearest"),
    [((2000.0, 0.0, 2100.0, 50.0), "7, is at 700,50,760,110"), ((1.0, 600.0, 40.0, 640.0), "0, is at 0,50,60,110")],
)
async def test_a_box_where_nobody_is_means_nobody(box: Box, nearest: str) -> None:
    detector = Detector(0.05)
    with pytest.raises(NoFaceFound, match=rf"^8 faces found.*none of them in the box: the nearest, {nearest}"):
        await FaceSearch(detector).by_box("scene", scene(1000, 800, *CROWD), box)
    assert detector.looks <= 2


async def test_a_person_is_looked_for_in_parts_though_others_are_found_at_once() -> None:
    picture, person = scene(1000, 800, *CROWD, TINY), np.eye(10, 512, dtype=np.float32)
    detector = Detector(0.05)
    seen = await FaceSearch(detector).by_likeness("scene", picture, person[9])
    small = len(CROWD)
    assert (seen.box, detector.looks) == (TINY, 1 + small + 4 + 1)
    detector = Detector(0.05)
    assert (await FaceSearch(detector).by_likeness("scene", picture, person[8])).index == 7
    assert detector.looks == 1 + small
    with pytest.raises(NoFaceFound, match=r"^9 faces found in \w+, none of them alike enough \(cosine 0.00 at best"):
        await FaceSearch(Detector(0.05)).by_likeness("scene", picture, person[0])


class CoarseDetector(Detector):
    """Also one that takes every face for the next person's where it is small."""

    async def __call__(self, picture: Picture) -> Faces:
        faces = await super().__call__(picture)
        small = np.array([is_small(box, picture) for box in faces.as_tuples()], bool)
        mistaken = np.roll(faces.embeddings, 1, axis=1)
        return replace(faces, embeddings=np.where(small[:, None], mistaken, faces.embeddings))


async def test_small_faces_are_compared_as_they_look_from_near_by() -> None:
    """Else another one is taken for the person, or the person is missed."""
    picture, person = scene(1000, 800, *CROWD), np.eye(10, 512, dtype=np.float32)
    for number, box in enumerate(CROWD, start=1):
        seen = await FaceSearch(CoarseDetector(0.02)).by_likeness("scene", picture, person[number])
        assert seen.box == box
        assert seen.faces.as_tuples() == CROWD
    likeness = ByLikeness(scene(1000, 800, CROWD[0]))
    assert (await FaceSearch(CoarseDetector(0.02)).meant("scene", picture, likeness)).box == CROWD[0]


async def test_looks_at_small_faces_are_bounded_and_the_likest_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(face_search, "MOST_CLOSE_LOOKS", 3)
    detector, person = Detector(0.02), np.eye(10, 512, dtype=np.float32)
    seen = await FaceSearch(detector).by_likeness("scene", scene(1000, 800, *CROWD), person[8])
    assert (seen.index, detector.looks) == (7, 1 + 3)
    large = Detector(0.02)
    await FaceSearch(large).by_likeness("scene", scene(500, 400, (0, 0, 60, 60), (200, 0, 290, 90)), person[1])
    assert large.looks == 1


async def test_numbers_count_the_whole_picture_alone() -> None:
    picture = scene(1000, 800, *CROWD, TINY)
    detector = Detector(0.05)
    assert (await FaceSearch(detector).meant("scene", picture, ByIndex(7))).box == CROWD[7]
    with pytest.raises(NoFaceFound, match=r"^8 faces found in \w+, not the one asked for"):
        await FaceSearch(detector).meant("scene", picture, ByIndex(8))
    assert detector.looks == 2


def test_small_is_what_a_detector_sees_in_64_of_640_pixels() -> None:
    picture = scene(1280, 800)
    assert is_small((0, 0, 100, 127), picture)
    assert not is_small((0, 0, 100, 128), picture)


def test_the_same_face_shares_its_middle_and_is_the_most_alike() -> None:
    face = (10.0, 10.0, 30.0, 30.0)
    assert same_face(face, []) is None
    assert same_face(face, [(29.0, 29.0, 60.0, 60.0)]) is None
    assert same_face(face, [(0.0, 0.0, 80.0, 80.0), (12.0, 9.0, 33.0, 29.0), (40.0, 10.0, 60.0, 30.0)]) == 1


@given(st.lists(st.tuples(*[st.floats(0, 90)] * 2, *[st.floats(1, 40)] * 2), min_size=1, max_size=8), st.data())
def test_every_face_is_the_same_as_itself(corners: list[tuple[float, ...]], data: st.DataObject) -> None:
    boxes = [(x, y, x + across, y + down) for x, y, across, down in corners]
    face = data.draw(st.sampled_from(boxes))
    index = same_face(face, boxes)
    assert index is not None
    assert boxes[index] == pytest.approx(face, abs=1e-4), "but for what shares of FP32 do not tell apart"
