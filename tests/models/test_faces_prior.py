"""Swaps and embeddings by the checked-in face pack, without Triton: several faces, other sizes, none at all."""

from pathlib import Path

import numpy as np
import pytest

from eacps.models.faces.embedding import FaceEmbedder, FaceTable
from eacps.models.faces.prior import FaceSwap
from eacps.models.faces.program import EMAP_FILE, FaceSettings, build_embedder, build_swap
from eacps.models.faces.session import Session
from export.face_pack import DETECTOR_FILE, RECOGNIZER_FILE, SWAPPER_FILE
from export.networks.faces import read_emap
from export.parity import open_session
from studio_mini.faces.pack import DETECTION_SIZE, load_pack
from studio_mini.world.tasks import Split, Task, task

PACK = Path(__file__).resolve().parents[2] / "studio_mini" / "checkpoint" / "faces"
FILES = {"face_detector": DETECTOR_FILE, "face_recognizer": RECOGNIZER_FILE, "face_swapper": SWAPPER_FILE}
SETTINGS = FaceSettings((DETECTION_SIZE,))
FACELESS = np.full((128, 128, 3), 90, np.uint8)


def open_network(name: str) -> Session:
    return open_session(PACK / FILES[name])


@pytest.fixture(scope="module")
def swap(tmp_path_factory: pytest.TempPathFactory) -> FaceSwap:
    emap = tmp_path_factory.mktemp("emap") / EMAP_FILE
    np.save(emap, read_emap(PACK / SWAPPER_FILE))
    return build_swap(open_network, emap)


@pytest.fixture(scope="module")
def embedder() -> FaceEmbedder:
    return build_embedder(open_network, SETTINGS)


@pytest.fixture(scope="module")
def edit() -> Task:
    return task(11, Split.HELD_OUT)


def enlarged(picture: np.ndarray, factor: int) -> np.ndarray:
    return picture.repeat(factor, axis=0).repeat(factor, axis=1)


def side_by_side(edit: Task) -> np.ndarray:
    """[256, 384, 3]: the scene's person large at the left, the character small at the right."""
    picture = np.full((256, 384, 3), 90, np.uint8)
    picture[:, :256] = enlarged(edit.scene.picture, 2)
    picture[64:192, 256:] = edit.character.picture
    return picture


def from_left(table: FaceTable) -> list[int]:
    """Indices of the faces of the first picture, from left to right."""
    return np.argsort(table.boxes[0, : table.counts[0], 0]).tolist()


def test_the_swap_is_insightfaces_own(swap: FaceSwap, embedder: FaceEmbedder, edit: Task) -> None:
    pack = load_pack(PACK)
    scene, character = edit.scene.picture, edit.character.picture
    target, source = pack.faces(scene)[0], pack.faces(character)[0]
    found = embedder.faces(np.stack([scene, character]))
    # The library compiles the detector for one size, we do not: the last bit of a landmark may differ.
    np.testing.assert_allclose(found.landmarks[0, 0], target.kps, atol=1e-3)
    np.testing.assert_allclose(found.boxes[:, 0], [target.bbox, source.bbox], atol=1e-3)
    assert float(found.embeddings[1, 0] @ source.normed_embedding) > 0.99999
    served = swap.prior(scene, found.landmarks[0, 0], found.embeddings[1, 0])
    assert served.shape == scene.shape
    assert np.abs(served.astype(int) - pack.swap(scene, target, source)).max() <= 2


def test_only_the_face_of_these_landmarks_is_replaced(swap: FaceSwap, embedder: FaceEmbedder, edit: Task) -> None:
    both = side_by_side(edit)
    found = embedder.faces(both[None])
    left, right = from_left(found)
    for face, other, untouched in ((left, right, np.s_[:, 300:]), (right, left, np.s_[:, :200])):
        swapped = swap.prior(both, found.landmarks[0, face], found.embeddings[0, other])
        assert (swapped != both).any()
        np.testing.assert_array_equal(swapped[untouched], both[untouched])


def test_the_identity_decides_what_is_put_in(swap: FaceSwap, embedder: FaceEmbedder, edit: Task) -> None:
    scene = edit.scene.picture
    found = embedder.faces(np.stack([scene, edit.character.picture]))
    own, other = (swap.prior(scene, found.landmarks[0, 0], found.embeddings[row, 0]) for row in (0, 1))
    assert np.abs(own.astype(int) - other).mean() > 1


@pytest.mark.parametrize("length", [0.0, 0.9, 1.1, np.nan])
def test_an_identity_that_is_no_unit_vector_is_refused(swap: FaceSwap, edit: Task, length: float) -> None:
    source = np.eye(1, 512, dtype=np.float32)[0] * np.float32(length)
    with pytest.raises(ValueError, match="unit norm"):
        swap.prior(edit.scene.picture, edit.scene.landmarks, source)


def test_landmarks_that_are_no_numbers_are_refused(swap: FaceSwap, edit: Task) -> None:
    landmarks = edit.scene.landmarks.copy()
    landmarks[2, 1] = np.inf
    with pytest.raises(ValueError, match="not finite"):
        swap.prior(edit.scene.picture, landmarks, np.eye(1, 512, dtype=np.float32)[0])


def test_a_table_has_room_for_the_most_faces_and_zeroes_the_rest(embedder: FaceEmbedder, edit: Task) -> None:
    crowd = np.concatenate([np.concatenate([edit.scene.picture] * 4, axis=1)] * 3)
    pictures = np.stack([np.full_like(crowd, 90), crowd])
    found = build_embedder(open_network, FaceSettings((512,))).faces(pictures)
    assert found.counts.tolist() == [0, 12]
    assert found.boxes.shape == (2, 12, 4)
    np.testing.assert_allclose(np.linalg.norm(found.embeddings[1], axis=1), 1, atol=1e-5)
    for rows in (found.boxes, found.landmarks, found.detection_scores, found.embeddings):
        assert not rows[0].any()
    nobody = embedder.faces(FACELESS[None])
    assert (nobody.counts.tolist(), nobody.embeddings.shape) == ([0], (1, 1, 512))


def test_nothing_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / EMAP_FILE, read_emap(PACK / SWAPPER_FILE))
    build_swap(open_network, tmp_path / EMAP_FILE)
    assert capfd.readouterr().out == ""
