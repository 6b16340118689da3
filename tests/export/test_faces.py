"""Face packs: renamed to the contract, refused where they cannot serve it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from eacps.tensors import FACE_RECOGNIZER, FACE_SWAPPER
from export.face_pack import RECOGNIZER_FILE, SWAPPER_FILE
from export.networks.faces import FaceNetwork, UnsupportedFacePack, read_emap, rename_values
from export.parity import ParityFailed, check_parity, onnx_answers
from export.precision import Precision

FP32 = Precision.FP32
CROPS = [((batch, 3, 112, 112),) for batch in (1, 3)]


def value(name: str, *shape: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def save(path: Path, nodes: list[onnx.NodeProto], entry: onnx.ValueInfoProto, weights: list[onnx.TensorProto]) -> Path:
    graph = helper.make_graph(nodes, "pack", [entry], [value("683", 1, 512)], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)
    return path


def recognizer(folder: Path, *, rows: int = -1, prefix: str = "") -> Path:
    """An ArcFace in form: flattens the crop's corner to 512 numbers, in as many rows as it is told."""
    weights = [
        numpy_helper.from_array(np.array(numbers, np.int64), name)
        for name, numbers in (("from", [0, 0]), ("to", [16, 32]), ("axes", [2, 3]), ("form", [rows, 1536]))
    ]
    weights.append(numpy_helper.from_array(np.ones((1536, 512), np.float32), "embedding"))
    nodes = [
        helper.make_node("Sub", ["input.1", "input.1"], ["zero"], name=f"{prefix}Sub_0"),
        helper.make_node("Mul", ["zero", "zero"], ["still_zero"], name=f"{prefix}Mul_0"),
        helper.make_node("Add", ["input.1", "still_zero"], ["x"], name="Add_0"),
        helper.make_node("Slice", ["x", "from", "to", "axes"], ["corner"], name="Slice_0"),
        helper.make_node("Reshape", ["corner", "form"], ["flat"], name="Reshape_0"),
        helper.make_node("MatMul", ["flat", "embedding"], ["683"], name="MatMul_0"),
    ]
    return save(folder / RECOGNIZER_FILE, nodes, value("input.1", 1, 3, 112, 112), weights)


def test_names_axes_and_answers(tmp_path: Path) -> None:
    network = FaceNetwork(FACE_RECOGNIZER, recognizer(tmp_path, prefix="x_"), CROPS)
    network.write_onnx(tmp_path / "network.onnx", FP32)
    graph = onnx.load(tmp_path / "network.onnx").graph
    # The pack had a weight named as the contract's output: it gives way.
    assert [port.name for port in (*graph.input, *graph.output)] == ["input", "embedding"]
    assert graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert [
        figure.error for figure in check_parity(network, onnx_answers(tmp_path / "network.onnx", network, FP32))
    ] == [0, 0]


def test_a_graph_with_its_batch_written_inside_fails_the_gate(tmp_path: Path) -> None:
    network = FaceNetwork(FACE_RECOGNIZER, recognizer(tmp_path, rows=1, prefix="x_"), CROPS)
    network.write_onnx(tmp_path / "network.onnx", FP32)
    with pytest.raises(ParityFailed, match="face_recognizer: the graph refuses inputs 3x3x112x112"):
        check_parity(network, onnx_answers(tmp_path / "network.onnx", network, FP32))


def test_a_recognizer_that_normalizes_inside_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedFacePack, match="normalizes its input itself"):
        FaceNetwork(FACE_RECOGNIZER, recognizer(tmp_path), CROPS)


def test_another_number_of_inputs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedFacePack, match="1 inputs and 1 outputs, face_swapper needs 2 and 1"):
        FaceNetwork(FACE_SWAPPER, recognizer(tmp_path, prefix="x_"), CROPS)


def test_emap_is_the_last_initializer_and_nothing_else(tmp_path: Path) -> None:
    emap = np.random.default_rng(0).normal(size=(512, 512)).astype(np.float32)
    weights = [numpy_helper.from_array(np.zeros((2, 2), np.float32), "first"), numpy_helper.from_array(emap, "last")]
    node = helper.make_node("Identity", ["input.1"], ["683"])
    save(tmp_path / SWAPPER_FILE, [node], value("input.1", 1, 512), weights)
    np.testing.assert_array_equal(read_emap(tmp_path / SWAPPER_FILE), emap)
    save(tmp_path / SWAPPER_FILE, [node], value("input.1", 1, 512), weights[::-1])
    with pytest.raises(UnsupportedFacePack, match=r"shape \(2, 2\), not with emap"):
        read_emap(tmp_path / SWAPPER_FILE)


def test_renaming_reaches_subgraphs() -> None:
    inner = helper.make_graph([helper.make_node("Identity", ["old"], ["y"])], "inner", [], [value("y", 1)])
    branch = helper.make_node("If", ["condition"], ["out"], then_branch=inner, else_branch=inner)
    graph = helper.make_graph([branch], "outer", [value("old", 1)], [value("out", 1)])
    rename_values(graph, {"old": "new"})
    assert {attribute.g.node[0].input[0] for attribute in graph.node[0].attribute} == {"new"}


def test_a_face_network_stays_in_fp32(tmp_path: Path) -> None:
    network = FaceNetwork(FACE_RECOGNIZER, recognizer(tmp_path, prefix="x_"), CROPS)
    with pytest.raises(UnsupportedFacePack, match="stays in fp32, not bf16"):
        network.write_onnx(tmp_path / "network.onnx", Precision.BF16)
