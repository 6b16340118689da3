"""Order, number and choice of faces, on a detector that finds what it is told to."""

import numpy as np
import pytest

from eacps.models.faces.detection import choose_face, find_faces
from eacps.models.faces.library import load_emap
from eacps.models.faces.program import FaceSettings
from eacps.tensors import MAX_FACES

PICTURE = np.zeros((100, 100, 3), np.uint8)


class ToldDetector:
    """Stands for SCRFD: squares of the given sides, each with its landmarks at its corner."""

    def __init__(self, *sides: float) -> None:
        self.sides = sides

    def detect(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows = np.array([[i, i, i + side, i + side, 0.9] for i, side in enumerate(self.sides)], np.float32)
        landmarks = np.array([[[i, i]] * 5 for i in range(len(self.sides))], np.float32)
        return rows.reshape(-1, 5), landmarks.reshape(-1, 5, 2)


def test_largest_face_comes_first_with_its_own_landmarks() -> None:
    faces = find_faces(ToldDetector(10, 40, 20), PICTURE)
    assert [float(face.kps[0, 0]) for face in faces] == [1, 2, 0]


def test_at_most_eight_faces_the_largest_ones() -> None:
    faces = find_faces(ToldDetector(*range(1, 13)), PICTURE)
    assert len(faces) == MAX_FACES
    assert min(face.bbox[2] - face.bbox[0] for face in faces) == 5


def test_a_face_is_chosen_by_number_and_minus_one_is_the_largest() -> None:
    faces = find_faces(ToldDetector(10, 40), PICTURE)
    assert choose_face(faces, -1) is faces[0]
    assert choose_face(faces, 1) is faces[1]
    assert choose_face(faces, 2) is None
    assert choose_face(faces, -2) is None
    assert choose_face([], -1) is None


def test_no_face_is_no_face() -> None:
    assert find_faces(ToldDetector(), PICTURE) == []


def test_settings_come_from_parameters_and_know_their_ranges() -> None:
    assert FaceSettings.from_parameters({}) == FaceSettings(640, 0.5)
    given = {"detection_size": "128", "detection_threshold": "0.4", "of_no_concern": "x"}
    assert FaceSettings.from_parameters(given) == FaceSettings(128, 0.4)
    with pytest.raises(ValueError, match="multiple of 32"):
        FaceSettings.from_parameters({"detection_size": "100"})
    with pytest.raises(ValueError, match="detection_threshold"):
        FaceSettings(detection_threshold=1.0)


def test_an_emap_of_another_shape_is_refused(tmp_path) -> None:
    np.save(tmp_path / "emap.npy", np.zeros((512, 256), np.float32))
    with pytest.raises(ValueError, match=r"emap\.npy"):
        load_emap(tmp_path / "emap.npy")
