"""Face packs: files told apart as InsightFace's router does, or by our names."""

from __future__ import annotations

import shutil
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from export.face_pack import IncompleteFacePack, find_faces


def save(path: Path, inputs: list[list[int | str]], outputs: int) -> None:
    """A graph with so many inputs and outputs, which computes nothing."""
    ports = (
        [helper.make_tensor_value_info(f"in{k}", TensorProto.FLOAT, shape) for k, shape in enumerate(inputs)],
        [helper.make_tensor_value_info(f"out{k}", TensorProto.FLOAT, None) for k in range(outputs)],
    )
    nodes = [helper.make_node("Identity", ["in0"], [f"out{k}"]) for k in range(outputs)]
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", *ports), ir_version=8), path)


@pytest.fixture
def buffalo(tmp_path: Path) -> Path:
    """A folder like InsightFace's buffalo_l: detector, recognizer, landmarks in two and three dimensions, age."""
    save(tmp_path / "det_10g.onnx", [[1, 3, "?", "?"]], 9)
    save(tmp_path / "w600k_r50.onnx", [["None", 3, 112, 112]], 1)
    save(tmp_path / "2d106det.onnx", [["None", 3, 192, 192]], 1)
    save(tmp_path / "1k3d68.onnx", [["None", 3, 192, 192]], 1)
    save(tmp_path / "genderage.onnx", [["None", 3, 96, 96]], 1)
    return tmp_path


def test_a_pack_of_insightface_is_told_apart(buffalo: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    swapper = tmp_path_factory.mktemp("swapper") / "inswapper_128.onnx"
    save(swapper, [[1, 3, 128, 128], [1, 512]], 1)
    files = find_faces(buffalo, swapper=swapper)
    assert (files.detector.name, files.recognizer.name) == ("det_10g.onnx", "w600k_r50.onnx")
    assert (files.swapper, files.verifier) == (swapper, None)
    assert (files.detection_size, files.detector_side) == (640, None)


def test_a_missing_or_doubtful_role_is_said(buffalo: Path) -> None:
    save(buffalo / "inswapper.onnx", [[1, 3, 128, 128], [1, 512]], 1)
    shutil.copy(buffalo / "w600k_r50.onnx", buffalo / "glintr100.onnx")
    with pytest.raises(IncompleteFacePack, match=r"more than one recognizer: glintr100\.onnx, w600k_r50\.onnx"):
        find_faces(buffalo)


def test_a_pack_without_a_swapper_is_complete(buffalo: Path) -> None:
    assert find_faces(buffalo).swapper is None
    save(buffalo / "inswapper.onnx", [[1, 3, 128, 128], [1, 512]], 1)
    assert find_faces(buffalo).swapper == buffalo / "inswapper.onnx"
    assert find_faces(buffalo, without_swapper=True).swapper is None


@pytest.mark.parametrize("role", ["det_10g", "w600k_r50"])
def test_detector_and_recognizer_are_needed(buffalo: Path, role: str) -> None:
    (buffalo / f"{role}.onnx").unlink()
    with pytest.raises(IncompleteFacePack, match=f"holds no {'detector' if role == 'det_10g' else 'recognizer'}"):
        find_faces(buffalo)


def test_a_detector_of_one_size_says_which(buffalo: Path) -> None:
    save(buffalo / "inswapper.onnx", [[1, 3, 128, 128], [1, 512]], 1)
    save(buffalo / "det_10g.onnx", [[1, 3, 320, 320]], 9)
    for size in (None, 640):
        files = find_faces(buffalo, detection_size=size)
        assert (files.detection_size, files.detector_side) == (320, 320)


def test_our_own_names(checkpoint_dir: Path) -> None:
    files = find_faces(checkpoint_dir / "faces", detection_size=128)
    assert (files.detector.name, files.recognizer.name, files.swapper.name) == (
        "detector.onnx",
        "recognizer.onnx",
        "swapper.onnx",
    )
    assert files.verifier == checkpoint_dir / "faces" / "verifier.onnx"
    assert files.detection_size == 128
