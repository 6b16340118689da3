"""Swaps and embeddings by the checked-in face pack, without Triton: several faces, other sizes, none at all."""

from pathlib import Path

import numpy as np
import pytest

from eacps.models.faces.prior import FaceSwap
from eacps.models.faces.program import EMAP_FILE, FaceSettings, build_embedder, build_swap
from eacps.models.faces.session import Session
from export.face_pack import DETECTOR_FILE, RECOGNIZER_FILE, SWAPPER_FILE
from export.networks.faces import read_emap
from export.parity import open_session
from export.studio_mini.faces.pack import DETECTION_SIZE, load_pack
from export.studio_mini.world.tasks import Split, Task, task

PACK = Path(__file__).resolve().parents[2] / "export" / "studio_mini" / "checkpoint" / "faces"
FILES = {"face_detector": DETECTOR_FILE, "face_recognizer": RECOGNIZER_FILE, "face_swapper": SWAPPER_FILE}
SETTINGS = FaceSettings(detection_size=DETECTION_SIZE)
FACELESS = np.full((128, 128, 3), 90, np.uint8)


def open_network(name: str) -> Session:
    return open_session(PACK / FILES[name])


@pytest.fixture(scope="module")
def swap(tmp_path_factory: pytest.TempPathFactory) -> FaceSwap:
    emap = tmp_path_factory.mktemp("emap") / EMAP_FILE
    np.save(emap, read_emap(PACK / SWAPPER_FILE))
    return build_swap(open_network, SETTINGS, emap)


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


def test_the_swap_is_insightfaces_own(swap: FaceSwap, edit: Task) -> None:
    pack = load_pack(PACK)
    scene, character = edit.scene.picture, edit.character.picture
    expected = pack.swap(scene, pack.faces(scene)[0], pack.faces(character)[0])
    served = swap.prior(scene, character).prior
    # The library compiles the detector for one size, we do not: the last bit of a landmark may differ.
    assert np.abs(served.astype(int) - expected).max() <= 2


def test_prior_has_the_scenes_size_whatever_the_characters(swap: FaceSwap, edit: Task) -> None:
    result = swap.prior(edit.scene.picture, enlarged(edit.character.picture, 3))
    assert result.prior.shape == edit.scene.picture.shape
    assert result.prior.dtype == np.uint8
    np.testing.assert_allclose(np.linalg.norm(result.embedding), 1, atol=1e-5)
    assert result.character_box[2] - result.character_box[0] > 128


def test_only_the_chosen_face_is_replaced(swap: FaceSwap, edit: Task) -> None:
    both = side_by_side(edit)
    large = swap.prior(both, edit.character.picture, scene_face=0)
    small = swap.prior(both, edit.scene.picture, scene_face=1)
    np.testing.assert_array_equal(large.counts, [2, 1])
    for result, untouched in ((large, np.s_[:, 300:]), (small, np.s_[:, :200])):
        assert (result.prior != both).any()
        np.testing.assert_array_equal(result.prior[untouched], both[untouched])
    assert large.scene_box[2] - large.scene_box[0] > small.scene_box[2] - small.scene_box[0]


def test_the_characters_face_is_chosen_by_number(swap: FaceSwap, edit: Task) -> None:
    both = side_by_side(edit)
    own, other = (swap.prior(edit.scene.picture, both, character_face=number).embedding for number in (0, 1))
    alone = swap.prior(edit.scene.picture, edit.character.picture).embedding
    assert float(other @ alone) > 0.8
    assert float(own @ alone) < 0.5


@pytest.mark.parametrize(("scene_face", "character_face"), [(1, -1), (-1, 5), (-2, -1)])
def test_a_face_that_is_not_there_leaves_the_scene(
    swap: FaceSwap, edit: Task, scene_face: int, character_face: int
) -> None:
    scene, character = edit.scene.picture, edit.character.picture
    result = swap.prior(scene, character, scene_face=scene_face, character_face=character_face)
    np.testing.assert_array_equal(result.counts, [1, 1])
    np.testing.assert_array_equal(result.prior, scene)
    assert not result.embedding.any()
    assert not result.scene_box.any()


def test_the_identity_that_is_given_is_put_in(swap: FaceSwap, edit: Task) -> None:
    scene, character = edit.scene.picture, edit.character.picture
    own = swap.prior(scene, character)
    again = swap.prior(scene, character, source=own.embedding)
    assert np.abs(again.prior.astype(int) - own.prior).max() <= 1
    other = swap.prior(character, scene).embedding
    given = swap.prior(scene, character, source=other)
    np.testing.assert_allclose(given.embedding, other, atol=1e-6)
    assert np.abs(given.prior.astype(int) - own.prior).mean() > 1
    np.testing.assert_array_equal(given.scene_box, own.scene_box)
    np.testing.assert_array_equal(given.prior, swap.prior(scene, scene, source=other).prior)


@pytest.mark.parametrize("length", [0.0, 0.9, 1.1, np.nan])
def test_an_identity_that_is_no_unit_vector_is_refused(swap: FaceSwap, edit: Task, length: float) -> None:
    source = np.eye(1, 512, dtype=np.float32)[0] * np.float32(length)
    with pytest.raises(ValueError, match="unit norm"):
        swap.prior(edit.scene.picture, edit.character.picture, source=source)


def test_no_face_is_counted_as_none(swap: FaceSwap, edit: Task) -> None:
    np.testing.assert_array_equal(swap.prior(FACELESS, edit.character.picture).counts, [0, 1])
    np.testing.assert_array_equal(swap.prior(edit.scene.picture, FACELESS).counts, [1, 0])


def test_face_table_lists_faces_by_size_and_zeroes_the_rest(edit: Task) -> None:
    embedder = build_embedder(open_network, SETTINGS)
    table = embedder.faces(np.stack([side_by_side(edit), np.full((256, 384, 3), 90, np.uint8)]))
    np.testing.assert_array_equal(table.counts, [2, 0])
    widths = table.boxes[0, :, 2] - table.boxes[0, :, 0]
    assert widths[0] > widths[1] > 0
    np.testing.assert_allclose(np.linalg.norm(table.embeddings[0, :2], axis=1), 1, atol=1e-5)
    for rows in (table.boxes, table.landmarks, table.detection_scores, table.embeddings):
        assert not rows[0, 2:].any()
        assert not rows[1].any()


def test_nothing_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / EMAP_FILE, read_emap(PACK / SWAPPER_FILE))
    build_swap(open_network, SETTINGS, tmp_path / EMAP_FILE)
    assert capfd.readouterr().out == ""
