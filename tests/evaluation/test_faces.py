"""Which face is meant: by overlap and by likeness, never by guess."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eacps.errors import NoFaceFound
from eacps.evaluation.faces import LEAST_LIKENESS, FoundFaces, overlaps
from eacps.triton.types import Faces

CELLS = st.integers(0, 12)
BOXES = st.tuples(CELLS, CELLS, CELLS, CELLS).map(
    lambda edges: (min(edges[0], edges[2]), min(edges[1], edges[3]), max(edges[0], edges[2]), max(edges[1], edges[3]))
)
AREAS = BOXES.filter(lambda box: box[0] < box[2] and box[1] < box[3])


def at(*degrees: float) -> np.ndarray:
    """Embeddings at angles in a plane, ``[F, 512]``."""
    found = np.zeros((len(degrees), 512), np.float32)
    found[:, 0], found[:, 1] = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return found


def faces(boxes: list[tuple[float, ...]], embeddings: np.ndarray | None = None) -> FoundFaces:
    known = at(*[0.0] * len(boxes)) if embeddings is None else embeddings
    return FoundFaces("scene", np.array(boxes, np.float32).reshape(-1, 4), known)


def cells(box: tuple[int, ...]) -> np.ndarray:
    """The same box, painted."""
    field = np.zeros((12, 12), bool)
    field[box[1] : box[3], box[0] : box[2]] = True
    return field


@given(st.lists(BOXES, max_size=8), AREAS)
def test_overlap_is_what_counting_cells_says(boxes: list[tuple[int, ...]], box: tuple[int, ...]) -> None:
    expected = [(cells(one) & cells(box)).sum() / (cells(one) | cells(box)).sum() for one in boxes]
    np.testing.assert_allclose(overlaps(np.array(boxes, np.float32), box), expected)


@given(AREAS, st.lists(AREAS, max_size=7), st.integers(0, 7))
def test_a_face_is_found_by_its_own_box(own: tuple[int, ...], others: list[tuple[int, ...]], place: int) -> None:
    boxes = [one for one in others if one != own]
    boxes.insert(min(place, len(boxes)), own)
    assert boxes[faces(boxes).by_box(own)] == own


@given(st.lists(AREAS, max_size=8), AREAS)
def test_what_is_chosen_overlaps_most_or_nothing_is(boxes: list[tuple[int, ...]], box: tuple[int, ...]) -> None:
    shares = overlaps(np.array(boxes, np.float32), box)
    if shares.any():
        assert shares[faces(boxes).by_box(box)] == shares.max()
    else:
        with pytest.raises(NoFaceFound):
            faces(boxes).by_box(box)


def test_of_equal_overlaps_the_largest_face_is_meant() -> None:
    assert faces([(0, 0, 4, 4), (4, 0, 8, 4)]).by_box((2, 0, 6, 4)) == 0


def test_boxes_that_only_touch_do_not_overlap() -> None:
    with pytest.raises(NoFaceFound, match=r"only 1 face\(s\), none of them in the box, found in scene"):
        faces([(0, 0, 4, 4)]).by_box((4, 0, 8, 4))


def test_the_most_alike_is_meant() -> None:
    found = faces([(0, 0, 9, 9), (0, 0, 5, 5), (0, 0, 2, 2)], at(80, 30, 50))
    assert found.by_likeness(at(0)[0]) == 1
    assert found.by_likeness(at(90)[0]) == 0
    assert found.by_likeness(at(45)[0]) == 2


@given(st.floats(0, 180))
def test_a_stranger_is_never_taken_for_the_person(angle: float) -> None:
    cosine = float((at(angle) @ at(0)[0])[0])
    found = faces([(0, 0, 9, 9)], at(angle))
    if cosine >= LEAST_LIKENESS:
        assert found.by_likeness(at(0)[0]) == 0
    else:
        with pytest.raises(NoFaceFound, match=f"cosine {cosine:.2f} at best, {LEAST_LIKENESS} is needed"):
            found.by_likeness(at(0)[0])


def test_where_there_is_no_face_at_all_that_is_said() -> None:
    nobody = faces([])
    for choose in (
        lambda: nobody.by_box((0, 0, 1, 1)),
        lambda: nobody.by_likeness(at(0)[0]),
        lambda: nobody.embedding(0),
    ):
        with pytest.raises(NoFaceFound, match=r"^no face found in scene$"):
            choose()


def test_a_number_is_a_face_or_a_fault() -> None:
    found = faces([(0, 0, 9, 9), (0, 0, 5, 5)], at(10, 20))
    np.testing.assert_array_equal(found.embedding(-1), at(10)[0])
    np.testing.assert_array_equal(found.embedding(1), at(20)[0])
    with pytest.raises(NoFaceFound, match="only 2 face"):
        found.embedding(2)


def test_rows_beyond_the_count_are_no_faces() -> None:
    answer = Faces(
        counts=np.array([1], np.int32),
        boxes=np.ones((1, 8, 4), np.float32),
        landmarks=np.zeros((1, 8, 5, 2), np.float32),
        detection_scores=np.ones((1, 8), np.float32),
        embeddings=np.ones((1, 8, 512), np.float32),
    )
    found = FoundFaces.of("character", answer)
    assert (found.boxes.shape, found.embeddings.shape) == ((1, 4), (1, 512))
    assert found.as_tuples() == [(1.0, 1.0, 1.0, 1.0)]
