"""Files of a face pack: those that InsightFace takes are brought to the contract, all others refused by name."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from insightface.model_zoo.arcface_onnx import ArcFaceONNX
from insightface.model_zoo.scrfd import SCRFD
from onnx import TensorProto, helper, numpy_helper

from eacps.tensors import FACE_DETECTOR, FACE_RECOGNIZER
from export.face_checks import check_faces
from export.face_pack import FaceFiles, UnsupportedFacePack, find_faces, network_sha256, read_graph
from export.networks.faces import face_network
from export.parity import check_parity, onnx_answers, open_session
from export.precision import Precision
from export.request import ExportRequest, gather
from tests.export.packs import arcface, inswapper, scrfd

ROOT = Path(__file__).resolve().parents[2]
FP32 = Precision.FP32


@pytest.fixture
def pack(tmp_path: Path) -> FaceFiles:
    """A pack in InsightFace's form, with nothing wrong."""
    folder = tmp_path / "pack"
    folder.mkdir()
    scrfd(folder / "det.onnx")
    arcface(folder / "rec.onnx")
    inswapper(folder / "swap.onnx")
    return replace(find_faces(folder), verifier=arcface(tmp_path / "verifier.onnx", features=192, seed=5))


def test_a_right_pack_passes(pack: FaceFiles) -> None:
    check_faces(pack, fixed=False)
    assert pack.detection_size == 640


@pytest.mark.parametrize("opset", [11, 13])
@pytest.mark.parametrize("size", [("?", "?"), (640, 640)], ids=["free", "fixed"])
def test_a_detector_that_keeps_its_batch_is_read_alike_by_insightface(tmp_path: Path, size: Any, opset: int) -> None:
    """Real SCRFDs come with outputs of rank 3, and insightface takes both."""
    source = scrfd(tmp_path / "det.onnx", rank=3, size=size, opset=opset)
    files = FaceFiles(source, arcface(tmp_path / "rec.onnx"), None, None)
    check_faces(files, fixed=False)
    network = face_network(FACE_DETECTOR, files, fixed=False)
    exported = tmp_path / "network.onnx"
    network.write_onnx(exported, FP32)
    assert [figure.error for figure in check_parity(network, onnx_answers(exported, network, FP32))] == [0.0] * (
        1 if size == (640, 640) else 3
    )
    picture = np.random.default_rng(7).integers(0, 256, (300, 400, 3), np.uint8)
    found = []
    for session in (open_session(source), open_session(exported)):
        detector = SCRFD(session=session)
        detector.prepare(0, input_size=(640, 640), det_thresh=0.7)
        found.append(detector.detect(picture))
    assert len(found[0][0]) > 0
    for of_file, of_export in zip(*found, strict=True):
        np.testing.assert_allclose(of_export, of_file, atol=1e-4)


def test_a_recognizer_with_axes_of_length_one_is_read_alike_by_insightface(tmp_path: Path) -> None:
    source = arcface(tmp_path / "rec.onnx", tail=(1, 1))
    files = FaceFiles(scrfd(tmp_path / "det.onnx"), source, None, None)
    check_faces(files, fixed=False)
    exported = tmp_path / "network.onnx"
    face_network(FACE_RECOGNIZER, files, fixed=False).write_onnx(exported, FP32)
    crop = np.random.default_rng(8).integers(0, 256, (112, 112, 3), np.uint8)
    of_file, of_export = (ArcFaceONNX(str(path)).get_feat(crop) for path in (source, exported))
    assert of_export.shape == (1, 512)
    np.testing.assert_allclose(of_export.flatten(), of_file.flatten(), atol=1e-5)


def test_declared_shapes_that_lie_are_not_believed(tmp_path: Path) -> None:
    """What the file declares is overwritten only with what its answers are."""
    files = FaceFiles(scrfd(tmp_path / "det.onnx", rank=3, declared_rank=2), arcface(tmp_path / "rec.onnx"), None, None)
    check_faces(files, fixed=False)
    network = face_network(FACE_DETECTOR, files, fixed=False)
    network.write_onnx(tmp_path / "network.onnx", FP32)
    session = open_session(tmp_path / "network.onnx")
    (scores, *_) = session.run(None, {"input": np.zeros((1, 3, 64, 64), np.float32)})
    assert scores.shape == (128, 1)
    assert [port.shape[1] for port in session.get_outputs()] == [1, 1, 1, 4, 4, 4, 10, 10, 10]


DETECTORS: dict[str, tuple[dict[str, Any], str]] = {
    "no landmarks": ({"heads": ("score", "bbox")}, "finds no landmarks"),
    "five strides": ({"strides": (8, 16, 32, 64, 128)}, "strides 8 to 128"),
    "other strides": ({"strides": (4, 8, 16)}, r"output score_8 has \d+ anchors instead of 12800"),
    "one anchor": ({"anchors": 1}, "output score_8 has 6400 anchors instead of 12800"),
    "ordered by stride": ({"by_stride": True}, "output score_16 has shape .* instead of"),
    "logits": ({"probabilities": False}, "output score_8 holds no probabilities"),
    "a free size that is none": ({"works_at": 640}, "does not run on inputs 1x3x128x128"),
    "oblong": ({"size": (480, 640)}, "takes 480x640 pixels, not squares of a multiple of 32"),
    "half free": ({"size": (640, "?")}, r"takes 640x\? pixels"),
    "odd": ({"size": (500, 500)}, "takes 500x500 pixels"),
    "channels last": ({"channels_last": True}, r"takes \?x3 pixels"),
    "bytes": ({"dtype": TensorProto.UINT8}, "input pixels has dtype uint8 instead of float32"),
    "half precision": ({"dtype": TensorProto.FLOAT16}, "input pixels has dtype float16"),
}


@pytest.mark.parametrize(("wrong", "message"), DETECTORS.values(), ids=DETECTORS)
def test_another_detector_is_refused(pack: FaceFiles, tmp_path: Path, wrong: dict[str, Any], message: str) -> None:
    files = replace(pack, detector=scrfd(tmp_path / "wrong.onnx", **wrong))
    with pytest.raises(UnsupportedFacePack, match=rf"wrong\.onnx .*{message}"):
        check_faces(files, fixed=False)


RECOGNIZERS: dict[str, tuple[dict[str, Any], str]] = {
    "another width": ({"features": 192}, r"output embedding has shape \[1, 192\] instead of \[batch=1, 512\]"),
    "another size": ({"side": 224}, r"input crop has shape \[None, 3, 224, 224\] instead of \[batch, 3, 112, 112\]"),
    "one at a time": ({"inner_batch": 1}, "batch size is written inside the graph"),
    "blind": ({"constant": True}, "answers the same to every picture"),
    "too long": ({"gain": 1e30}, "an embedding is zero, or too long to be normalized"),
    "bytes": ({"dtype": TensorProto.UINT8}, "dtype uint8"),
}


@pytest.mark.parametrize(("wrong", "message"), RECOGNIZERS.values(), ids=RECOGNIZERS)
def test_another_recognizer_is_refused(pack: FaceFiles, tmp_path: Path, wrong: dict[str, Any], message: str) -> None:
    files = replace(pack, recognizer=arcface(tmp_path / "wrong.onnx", **wrong))
    with pytest.raises(UnsupportedFacePack, match=rf"wrong\.onnx .*{message}"):
        check_faces(files, fixed=False)


SWAPPERS: dict[str, tuple[dict[str, Any], str]] = {
    "another size": ({"side": 256}, r"input target has shape \[1, 3, 256, 256\]"),
    "identity first": ({"source_first": True}, r"input source has shape \[1, 512\]"),
    "without emap": ({"emap_last": False}, r"not with emap"),
    "colors to 255": ({"gain": 255.0}, r"no face swapper: its answer runs from .*, where colors from 0 to 1"),
    "colors from -1": ({"gain": -1.0}, r"its answer runs from -1.00 to .*, where colors from 0 to 1"),
    "without identity": ({"uses_identity": False}, "does not depend on the identity"),
}


@pytest.mark.parametrize(("wrong", "message"), SWAPPERS.values(), ids=SWAPPERS)
def test_another_swapper_is_refused(pack: FaceFiles, tmp_path: Path, wrong: dict[str, Any], message: str) -> None:
    files = replace(pack, swapper=inswapper(tmp_path / "wrong.onnx", **wrong))
    with pytest.raises(UnsupportedFacePack, match=rf"wrong\.onnx .*{message}"):
        check_faces(files, fixed=False)


@pytest.mark.parametrize(
    ("role", "given", "message"),
    [
        ("swapper", "recognizer", "no face swapper .it has the form of a face recognizer"),
        ("swapper", "detector", "no face swapper .it has the form of a face detector"),
        ("verifier", "detector", "no held-out recognizer .it has the form of a face detector"),
        ("verifier", "swapper", "no held-out recognizer .it has the form of a face swapper"),
        ("verifier", "recognizer", "is the recognizer itself"),
        ("detector", "recognizer", "no face detector .it has the form of a face recognizer"),
        ("recognizer", "swapper", "no face recognizer .it has the form of a face swapper"),
    ],
)
def test_no_file_plays_anothers_role(pack: FaceFiles, role: str, given: str, message: str) -> None:
    path: Path = getattr(pack, given)
    with pytest.raises(UnsupportedFacePack, match=f"{path.name} is {message}|{path.name} {message}"):
        check_faces(replace(pack, **{role: path}), fixed=False)


def test_the_recognizer_saved_again_is_not_held_out(pack: FaceFiles, tmp_path: Path) -> None:
    model = onnx.load(pack.recognizer)
    model.producer_name = "another exporter"
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(UnsupportedFacePack, match=r"other\.onnx is the recognizer itself, and so not held out"):
        check_faces(replace(pack, verifier=tmp_path / "other.onnx"), fixed=False)


def test_a_verifier_of_few_numbers_is_none(pack: FaceFiles, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedFacePack, match="3 numbers are no embedding of a face"):
        check_faces(replace(pack, verifier=arcface(tmp_path / "age.onnx", features=3)), fixed=False)


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (helper.make_node("Softmax", ["683"], ["answer"], axis=1), "are probabilities of classes, no embedding"),
        (
            helper.make_node("RandomNormalLike", ["683"], ["answer"], seed=1.0),
            "a RandomNormalLike, whose output is random",
        ),
    ],
    ids=["classifier", "chance"],
)
def test_a_recognizer_that_answers_by_class_or_by_chance_is_none(
    pack: FaceFiles, tmp_path: Path, node: onnx.NodeProto, message: str
) -> None:
    model = onnx.load(pack.recognizer)
    model.graph.node.append(node)
    model.graph.output[0].name = "answer"
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(UnsupportedFacePack, match=message):
        check_faces(replace(pack, recognizer=tmp_path / "other.onnx"), fixed=False)


@pytest.mark.parametrize("content", [b"", b"not a graph", b"\x08\x07"], ids=["empty", "text", "no graph"])
def test_what_is_no_graph_is_named(pack: FaceFiles, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "torn.onnx").write_bytes(content)
    with pytest.raises(UnsupportedFacePack, match=r"torn\.onnx"):
        check_faces(replace(pack, swapper=tmp_path / "torn.onnx"), fixed=False)


def test_weights_that_do_not_lie_beside_are_named(pack: FaceFiles, tmp_path: Path) -> None:
    model = onnx.load(pack.recognizer)
    onnx.save(model, tmp_path / "apart.onnx", save_as_external_data=True, location="apart.data", size_threshold=0)
    (tmp_path / "apart.data").unlink()
    with pytest.raises(UnsupportedFacePack, match=r"apart\.onnx cannot be read"):
        check_faces(replace(pack, recognizer=tmp_path / "apart.onnx"), fixed=False)


@pytest.mark.parametrize("link", [os.symlink, os.link], ids=["symbolic", "hard"])
def test_weights_beside_are_read_through_links(
    pack: FaceFiles, tmp_path: Path, link: Callable[[Path, Path], None]
) -> None:
    """The caches of hubs are symbolic links to blobs, and onnx refuses to follow either kind."""
    blobs, cache = tmp_path / "blobs", tmp_path / "cache"
    blobs.mkdir()
    cache.mkdir()
    for file in (pack.detector, pack.recognizer, pack.swapper):
        assert file is not None
        onnx.save(
            onnx.load(file),
            blobs / file.name,
            save_as_external_data=True,
            location=f"{file.stem}.data",
            size_threshold=0,
        )
    for file in blobs.iterdir():
        link(file, cache / file.name)
    found = find_faces(cache)
    check_faces(found, fixed=False)
    for ours, theirs in (
        (found.detector, pack.detector),
        (found.recognizer, pack.recognizer),
        (found.swapper, pack.swapper),
    ):
        assert ours is not None
        assert theirs is not None
        read, meant = read_graph(ours).graph, onnx.load(theirs).graph
        for one, other in zip(read.initializer, meant.initializer, strict=True):
            np.testing.assert_array_equal(numpy_helper.to_array(one), numpy_helper.to_array(other))


def test_other_weights_beside_make_it_another_network(pack: FaceFiles, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 2)):
        (tmp_path / name).mkdir()
        model = onnx.load(arcface(tmp_path / f"{name}.onnx", seed=seed))
        onnx.save(
            model, tmp_path / name / "rec.onnx", save_as_external_data=True, location="rec.data", size_threshold=0
        )
    one, other = (tmp_path / name / "rec.onnx" for name in "ab")
    assert one.read_bytes() == other.read_bytes()
    assert network_sha256(one) != network_sha256(other)
    check_faces(replace(pack, recognizer=one, verifier=other), fixed=False)
    requests = [replace(gather(ExportRequest("studio_mini/checkpoint")), verifier=path) for path in (one, other)]
    assert requests[0].sha256() != requests[1].sha256()


def test_weights_elsewhere_are_refused(pack: FaceFiles, tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    apart = tmp_path / "inner" / "apart.onnx"
    onnx.save(onnx.load(pack.recognizer), apart, save_as_external_data=True, location="apart.data", size_threshold=0)
    (tmp_path / "inner" / "apart.data").rename(tmp_path / "apart.data")
    model = onnx.load(apart, load_external_data=False)
    for tensor in model.graph.initializer:
        next(entry for entry in tensor.external_data if entry.key == "location").value = "../apart.data"
    apart.write_bytes(model.SerializeToString())
    with pytest.raises(UnsupportedFacePack, match=r"apart\.onnx cannot be read"):
        check_faces(replace(pack, recognizer=apart), fixed=False)


@pytest.mark.parametrize("dry_run", [True, False], ids=["dry run", "export"])
@pytest.mark.parametrize(
    ("option", "make", "message"),
    [
        ("--swapper", arcface, "wrong.onnx is no face swapper"),
        ("--verifier", scrfd, "wrong.onnx is no held-out recognizer"),
    ],
)
def test_export_and_dry_run_refuse_alike(
    checkpoint_dir: Path, tmp_path: Path, option: str, make: Any, message: str, dry_run: bool
) -> None:
    wrong = make(tmp_path / "wrong.onnx")
    command = [sys.executable, "-m", "export", "--checkpoint", str(checkpoint_dir), "--output", str(tmp_path / "out")]
    done = subprocess.run(
        [*command, option, str(wrong), *(["--dry-run"] if dry_run else [])],
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "400", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert message in " ".join(done.stderr.split())
    assert [path.name for path in tmp_path.iterdir()] == ["wrong.onnx"]
