"""Faces as InsightFace finds them: sizes merged, all of them, in its order; networks of one size; odd pictures."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import insightface
import numpy as np
import pytest
from insightface.app.face_analysis import DEFAULT_DET_SIZES
from insightface.model_zoo.scrfd import SCRFD
from onnxruntime import InferenceSession

from eacps.models.faces.detection import FaceDetector
from eacps.models.faces.library import load_emap
from eacps.models.faces.program import FaceSettings
from eacps.models.faces.session import Port
from export.face_pack import DETECTOR_FILE
from export.parity import open_session
from studio_mini.world.tasks import Split, task

DETECTOR = Path(__file__).resolve().parents[2] / "studio_mini" / "checkpoint" / "faces" / DETECTOR_FILE
PHOTOGRAPH = Path(insightface.__file__).parent / "data" / "images" / "t1.jpg"


class OneSize:
    """The detector as a network that takes one size alone."""

    def __init__(self, side: int) -> None:
        self._session, self._side = open_session(DETECTOR), side
        self.get_outputs = self._session.get_outputs
        self.runs = 0

    def get_inputs(self) -> list[Port]:
        """As ONNX Runtime describes a graph of one size."""
        return [Port("input", (1, 3, self._side, self._side))]

    def run(self, names: Sequence[str], feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        assert {array.shape for array in feeds.values()} == {(1, 3, self._side, self._side)}
        self.runs += 1
        return self._session.run(names, feeds)


@pytest.fixture(scope="module")
def session() -> InferenceSession:
    return open_session(DETECTOR)


@pytest.fixture(scope="module")
def drawn() -> np.ndarray:
    """Twelve drawn people, in rows of four, ``uint8 [384, 512, 3]``, BGR; they differ in size."""
    faces = [task(number, Split.HELD_OUT).scene.picture[..., ::-1] for number in range(12)]
    rows = [np.concatenate(faces[start : start + 4], axis=1) for start in (0, 4, 8)]
    return np.ascontiguousarray(np.concatenate(rows))


def library(session: InferenceSession, *sizes: int) -> SCRFD:
    scrfd = SCRFD(session=session)
    scrfd.prepare(0, input_size=[(size, size) for size in sizes], det_thresh=0.5)
    return scrfd


def test_the_sizes_are_those_of_face_analysis() -> None:
    assert [(size, size) for size in FaceSettings().detection_sizes] == DEFAULT_DET_SIZES


@pytest.mark.parametrize("sizes", [(128,), (256, 512), (128, 256, 640)])
def test_faces_and_their_order_are_the_librarys(
    session: InferenceSession, drawn: np.ndarray, sizes: tuple[int, ...]
) -> None:
    photograph = cv2.imread(str(PHOTOGRAPH))
    for picture in (drawn, drawn[:, :300], photograph):
        rows, landmarks = library(session, *sizes).detect(picture)
        found = FaceDetector(session, sizes=sizes, threshold=0.5).find(picture)
        np.testing.assert_array_equal([face.bbox for face in found], rows[:, :4])
        np.testing.assert_array_equal([face.kps for face in found], landmarks)
        scores = [float(face.det_score) for face in found]
        assert scores == sorted(scores, reverse=True)


def test_there_may_be_any_number_of_faces(session: InferenceSession, drawn: np.ndarray) -> None:
    crowd = np.concatenate([np.concatenate([drawn] * 2, axis=1)] * 2)
    found = FaceDetector(session, sizes=(1024,), threshold=0.5).find(crowd)
    assert len(found) == 48
    areas = [float(np.prod(face.bbox[2:] - face.bbox[:2])) for face in found]
    assert areas != sorted(areas, reverse=True), "the order is by score"


@pytest.mark.parametrize("shape", [(384, 512), (384, 384), (384, 130)])
def test_a_network_of_one_size_sees_what_the_library_sees_at_others(
    session: InferenceSession, drawn: np.ndarray, shape: tuple[int, int]
) -> None:
    picture = np.ascontiguousarray(drawn[: shape[0], : shape[1]])
    network = OneSize(512)
    found = FaceDetector(network, sizes=(256, 512), threshold=0.5, canvas=512).find(picture)
    rows, landmarks = library(session, 256, 512).detect(picture)
    assert network.runs == 2
    assert len(found) == len(rows) >= 3
    for face in found:
        nearest = int(np.abs(rows[:, :4] - face.bbox).sum(axis=1).argmin())
        assert np.abs(landmarks[nearest] - face.kps).max() < 4, "a surrounding of another kind moves them a little"


@pytest.mark.parametrize("margin", [0.0, 0.05, 0.25])
def test_a_drawn_face_that_fills_its_picture_is_found_at_the_miniatures_own_size(
    session: InferenceSession, margin: float
) -> None:
    detector = FaceDetector(session, sizes=(128,), threshold=0.5)
    for number in range(20):
        shown = task(number, Split.HELD_OUT).character
        left, top, right, bottom = shown.box
        across, down = margin * (right - left), margin * (bottom - top)
        rows = slice(max(0, int(top - down)), int(bottom + down))
        columns = slice(max(0, int(left - across)), int(right + across))
        assert detector.find(cv2.resize(shown.picture[rows, columns, ::-1], (512, 512)))


@pytest.mark.parametrize("shape", [(1, 1000), (3, 4300), (8000, 32), (40, 8000), (1, 1)])
def test_the_longest_pictures_are_looked_at(session: InferenceSession, shape: tuple[int, int]) -> None:
    for detector in (
        FaceDetector(session, sizes=(128, 640), threshold=0.5),
        FaceDetector(session, sizes=(128, 640), threshold=0.5, canvas=640),
    ):
        assert detector.find(np.zeros((*shape, 3), np.uint8)) == []


def test_settings_come_from_parameters_and_back() -> None:
    assert FaceSettings.from_parameters({}) == FaceSettings((128, 640), 0.5, None)
    given = {"detection_sizes": "128,320", "detection_threshold": "0.4", "detection_canvas": "320", "other": "x"}
    settings = FaceSettings.from_parameters(given)
    assert settings == FaceSettings((128, 320), 0.4, 320)
    assert FaceSettings.from_parameters(settings.to_parameters()) == settings
    assert FaceSettings.from_parameters(FaceSettings().to_parameters()) == FaceSettings()


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"detection_sizes": (100,)}, "multiples of 32"),
        ({"detection_sizes": ()}, "multiples of 32"),
        ({"detection_sizes": (640, 128)}, "must rise"),
        ({"detection_sizes": (128, 128)}, "must rise"),
        ({"detection_canvas": 320}, "detection_canvas"),
        ({"detection_canvas": 700}, "detection_canvas"),
        ({"detection_threshold": 1.0}, "detection_threshold"),
    ],
)
def test_settings_out_of_range_are_refused(fields: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        FaceSettings(**fields)


def test_an_emap_of_another_shape_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "emap.npy", np.zeros((512, 256), np.float32))
    with pytest.raises(ValueError, match=r"emap\.npy"):
        load_emap(tmp_path / "emap.npy")
