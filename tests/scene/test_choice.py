"""Which face is meant: by number, by overlap and by likeness, never by guess."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eacps.errors import NoFaceFound
from eacps.scene.choice import LEAST_LIKENESS, LEAST_OVERLAP, LEAST_SHARE, by_box, by_index, by_likeness, largest
from eacps.scene.faces import Faces
from eacps.scene.geometry import Box, overlaps

CELLS = st.integers(0, 12)
BOXES = st.tuples(CELLS, CELLS, CELLS, CELLS).map(
    lambda edges: (min(edges[0], edges[2]), min(edges[1], edges[3]), max(edges[0], edges[2]), max(edges[1], edges[3]))
)
AREAS = BOXES.filter(lambda box: box[0] < box[2] and box[1] < box[3])
FACE = (100.0, 100.0, 200.0, 240.0)


def at(*degrees: float) -> np.ndarray:
    """Embeddings at angles in a plane, ``[F, 512]``."""
    found = np.zeros((len(degrees), 512), np.float32)
    found[:, 0], found[:, 1] = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return found


def faces(boxes: Any, embeddings: np.ndarray | None = None) -> Faces:
    count = len(boxes)
    known = at(*[0.0] * count) if embeddings is None else embeddings
    landmarks, scores = np.zeros((count, 5, 2), np.float32), np.linspace(0.9, 0.5, count, dtype=np.float32)
    return Faces(np.array(boxes, np.float32).reshape(-1, 4), landmarks, scores, known)


def cells(box: tuple[int, ...]) -> np.ndarray:
    """The same box, painted."""
    field = np.zeros((12, 12), bool)
    field[box[1] : box[3], box[0] : box[2]] = True
    return field


@given(st.lists(BOXES, max_size=12), AREAS)
def test_overlap_is_what_counting_cells_says(boxes: list[tuple[int, ...]], box: tuple[int, ...]) -> None:
    expected = [(cells(one) & cells(box)).sum() / (cells(one) | cells(box)).sum() for one in boxes]
    np.testing.assert_allclose(overlaps(np.array(boxes, np.float32), box), expected)


@given(AREAS, st.lists(AREAS, max_size=20), st.integers(0, 20))
def test_a_face_is_found_by_its_own_box_among_any_number(
    own: tuple[int, ...], others: list[tuple[int, ...]], place: int
) -> None:
    boxes = [one for one in others if one != own]
    boxes.insert(min(place, len(boxes)), own)
    assert boxes[by_box("scene", faces(boxes), own).index] == own


@given(st.lists(AREAS, min_size=1, max_size=12), AREAS)
def test_of_those_that_a_box_fits_the_one_that_it_overlaps_most_is_meant(
    boxes: list[tuple[int, ...]], box: tuple[int, ...]
) -> None:
    def fits(face: tuple[int, ...]) -> bool:
        shared = (cells(face) & cells(box)).sum()
        of_face, of_box = shared / cells(face).sum(), shared / cells(box).sum()
        union = (cells(face) | cells(box)).sum()
        return shared / union >= 0.3 or of_face >= 0.7 or (of_box >= 0.7 and of_face >= 0.1)

    shares = overlaps(np.array(boxes, np.float32), box)
    fitting = [index for index, one in enumerate(boxes) if fits(one)]
    if fitting:
        assert by_box("scene", faces(boxes), box).index == max(fitting, key=lambda index: (shares[index], -index))
    else:
        with pytest.raises(NoFaceFound):
            by_box("scene", faces(boxes), box)


@pytest.mark.parametrize(
    "box",
    [
        FACE,
        (60, 40, 260, 360),  # head and shoulders
        (0, 0, 900, 900),  # all of the picture
        (130, 140, 170, 200),  # eyes to mouth
        (140, 100, 240, 240),  # drawn with a shaky hand
        (90, 90, 190, 180),
    ],
)
def test_boxes_that_mean_a_face(box: Box) -> None:
    others = [(400.0, 100.0, 460.0, 180.0), FACE]
    assert by_box("scene", faces(others), box).index == 1


@pytest.mark.parametrize(
    ("box", "overlap"),
    [
        ((195, 100, 295, 240), "0.03"),  # a strip of its cheek
        ((170, 100, 270, 240), "0.18"),
        ((100, 225, 200, 365), "0.06"),  # the neck
        ((190, 230, 199, 239), "0.01"),  # a point in its corner
        ((200, 100, 300, 240), "0.00"),  # no more than touches
        ((5, 5, 20, 20), "0.00"),
    ],
)
def test_a_box_that_only_grazes_a_face_means_nobody_and_the_nearest_is_named(box: Box, overlap: str) -> None:
    found = faces([(700.0, 700.0, 900.0, 950.0), FACE])
    named = rf"^2 faces found in \w+, none of them in the box: the nearest, 1, is at 100,100,200,240 .* by {overlap} "
    with pytest.raises(NoFaceFound, match=named):
        by_box("scene", found, box)


def test_the_rule_is_the_one_that_the_api_states() -> None:
    assert (LEAST_OVERLAP, LEAST_SHARE, LEAST_LIKENESS) == (0.3, 0.7, 0.28)


def test_of_equal_overlaps_the_first_face_is_meant() -> None:
    assert by_box("scene", faces([(0, 0, 4, 4), (4, 0, 8, 4)]), (2, 0, 6, 4)).index == 0


def test_the_most_alike_is_meant_among_any_number() -> None:
    found = faces([(0, 0, 9, 9)] * 12, at(80, 30, 50, *range(100, 180, 10), 5))
    assert by_likeness("scene", found, at(0)[0]).index == 11
    assert by_likeness("scene", found, at(31)[0]).index == 1
    assert by_likeness("scene", found, at(48)[0]).index == 2


@given(st.floats(0, 180))
def test_a_stranger_is_never_taken_for_the_person(angle: float) -> None:
    cosine = float((at(angle) @ at(0)[0])[0])
    found = faces([(0, 0, 9, 9)], at(angle))
    if cosine >= LEAST_LIKENESS:
        assert by_likeness("scene", found, at(0)[0]).index == 0
    else:
        with pytest.raises(NoFaceFound, match=f"cosine {cosine:.2f} at best, {LEAST_LIKENESS} is needed"):
            by_likeness("scene", found, at(0)[0])


def test_where_there_is_no_face_at_all_that_is_said() -> None:
    nobody = faces([])
    for choose in (
        lambda: by_box("scene", nobody, (0, 0, 1, 1)),
        lambda: by_likeness("scene", nobody, at(0)[0]),
        lambda: by_index("scene", nobody, 0),
        lambda: largest("scene", nobody),
    ):
        with pytest.raises(NoFaceFound, match=r"^no face found in scene$"):
            choose()


def test_indices_count_in_the_order_of_the_faces() -> None:
    found = faces([(0, 0, 5, 5), (0, 0, 9, 9), *[(0, 0, 2, 2)] * 10])
    assert [by_index("scene", found, index).index for index in (0, 1, 11)] == [0, 1, 11]
    assert largest("scene", found).index == 1
    for index in (12, -1):
        with pytest.raises(NoFaceFound, match=r"^12 faces found in \w+, not the one asked for"):
            by_index("scene", found, index)
