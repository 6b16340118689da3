"""Graphs are written in a form that TensorRT's parser takes, with the same answers, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from eacps.models.onnx_network import NETWORK_FILE
from eacps.tensors import Kind
from export.graphs import simplify, write_graph
from export.operators import CONSTANT_INPUTS, SUPPORTED, UnsupportedGraph
from tests.conftest import STUDIO_MODELS
from tests.export.graph_files import GRAPHS, graph_file

# torch's exporter uses what torch has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")


def all_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from all_nodes(inner)


def assert_readable(path: Path) -> None:
    """Hold a file against TensorRT's list, by ONNX's own protobuf."""
    model = onnx.load(path, load_external_data=False)
    assert not model.functions
    nodes = list(all_nodes(model.graph))
    assert {node.domain for node in nodes} <= {""}
    assert {node.op_type for node in nodes} <= SUPPORTED
    constants = {weight.name for weight in model.graph.initializer}
    constants |= {name for node in nodes if node.op_type == "Constant" for name in node.output}
    constants -= {port.name for port in model.graph.input}
    for node in nodes:
        operands = [node.input[k] for k in CONSTANT_INPUTS.get(node.op_type, ()) if k < len(node.input)]
        assert {name for name in operands if name} <= constants, f"{node.op_type} {node.name}"


@pytest.mark.parametrize(
    "spec", [spec for spec in STUDIO_MODELS.values() if spec.kind is Kind.NETWORK], ids=lambda s: s.name
)
def test_every_graph_of_studio_mini(spec, model_repository_dir: Path) -> None:  # type: ignore[no-untyped-def]
    assert_readable(model_repository_dir / spec.name / "1" / NETWORK_FILE)


@pytest.mark.parametrize("graph", GRAPHS)
def test_every_graph_in_bf16_or_of_another_checkpoint(graph: str) -> None:
    assert_readable(graph_file(*GRAPHS[graph]))


def test_no_path_of_this_machine_is_left_in_a_file(model_repository_dir: Path) -> None:
    for spec in (spec for spec in STUDIO_MODELS.values() if spec.kind is Kind.NETWORK):
        assert b".py" not in (model_repository_dir / spec.name / "1" / NETWORK_FILE).read_bytes()


# As torch exports split, split into given sizes, and unbind.
SPLIT = """
    two = Constant <value_int = 2> ()
    parts = SplitToSequence <axis = -1> (x, two)
    index = Constant <value_int = -1> ()
    y = SequenceAt (parts, index)
"""
SPLIT_WITH_SIZES = """
    sizes = Constant <value_ints = [1, 3]> ()
    parts = SplitToSequence <axis = 1> (x, sizes)
    index = Constant <value_int = 1> ()
    y = SequenceAt (parts, index)
"""
REDUCTION = """
    axis = Constant <value_int = -1> ()
    one = Constant <value_ints = [-1]> ()
    axes = Reshape (axis, one)
    y = ReduceMean <keepdims = 1> (x, axes)
"""
PADDING = """
    four = Constant <value_ints = [4]> ()
    zeros = ConstantOfShape <value = int64[1] {1}> (four)
    y = Pad (x, zeros)
"""


def model_of(body: str, *, opset: int = 20, inputs: str = "float[N, 4] x") -> onnx.ModelProto:
    text = f'<ir_version: 10, opset_import: ["" : {opset}]> graph ({inputs}) => (float[M, K] y) {{ {body} }}'
    return onnx.parser.parse_model(text)


@pytest.mark.parametrize("body", [SPLIT, SPLIT_WITH_SIZES, REDUCTION, PADDING])
def test_a_simplified_graph_answers_as_before(body: str, tmp_path: Path) -> None:
    before, path = model_of(body), tmp_path / NETWORK_FILE
    model = ir.from_proto(before)
    for node in model.graph:
        if node.name is None:
            node.name = f"node_{node.op_type}"
    write_graph(model, path, "test")
    assert_readable(path)
    x = np.arange(24, dtype=np.float32).reshape(6, 4)
    expected, actual = (ReferenceEvaluator(source).run(None, {"x": x})[0] for source in (before, str(path)))
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize(
    ("body", "inputs", "message"),
    [
        ("y = Det (x)", "float[N, 4] x", "node odd is a Det, which it does not have"),
        ("y = com.microsoft.QuickGelu (x)", "float[N, 4] x", "node odd is a com.microsoft::QuickGelu"),
        ("y = ReduceSum (x, axes)", "float[N, 4] x, int64[1] axes", "input 1 of node odd, a ReduceSum, is no constant"),
        ("y = Unsqueeze (x, axes)", "float[N, 4] x, int64[1] axes", "input 1 of node odd, a Unsqueeze, is no constant"),
        ("y = Pad (x, pads)", "float[N, 4] x, int64[4] pads", "input 1 of node odd, a Pad, is no constant"),
    ],
)
def test_a_graph_that_the_parser_would_refuse_is_not_written(
    body: str, inputs: str, message: str, tmp_path: Path
) -> None:
    model = ir.from_proto(model_of(body, inputs=inputs))
    model.opset_imports["com.microsoft"] = 1
    next(iter(model.graph)).name = "odd"
    with pytest.raises(UnsupportedGraph, match="the graph of face_swapper cannot be served: .*" + message):
        write_graph(model, tmp_path / NETWORK_FILE, "face_swapper")
    assert list(tmp_path.iterdir()) == []


def test_a_split_into_parts_of_unknown_number_is_not_written(tmp_path: Path) -> None:
    """As torch exports chunk of an axis whose length varies."""
    body = "rows = Shape <start = 0, end = 1> (x) size = Squeeze (rows) parts = SplitToSequence <axis = 0> (x, size) "
    model = ir.from_proto(model_of(body + "index = Constant <value_int = 0> () y = SequenceAt (parts, index)"))
    for node in model.graph:
        node.name = f"odd_{node.op_type}"
    with pytest.raises(UnsupportedGraph, match=r"of test .*odd_SplitToSequence"):
        write_graph(model, tmp_path / NETWORK_FILE, "test")
    assert list(tmp_path.iterdir()) == []


def test_violations_inside_branches_and_of_the_opset_are_found(tmp_path: Path) -> None:
    body = "y = If (c) <then_branch = g () => (float[M, K] a) { a = Det (x) }, else_branch = h () => (float[M, K] b) "
    body += "{ b = Identity (x) }>"
    model = ir.from_proto(model_of(body, opset=25, inputs="float[N, 4] x, bool c"))
    with pytest.raises(UnsupportedGraph, match=r"opset 25, where 9 to 24 are known; .* is a Det"):
        write_graph(model, tmp_path / NETWORK_FILE, "test")


def test_weights_are_folded_but_large_ones_are_not_multiplied() -> None:
    """A transposed weight is stored as it is used; a broadcast one stays small."""
    before = model_of("t = Transpose (w) e = Expand (v, s) m = MatMul (x, t) y = Add (m, e)")
    arrays = {"w": np.ones((600, 4), np.float32), "v": np.ones((1, 1), np.float32), "s": np.array([600, 600])}
    before.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in arrays.items())
    model = ir.from_proto(before)
    simplify(model)
    assert [node.op_type for node in model.graph] == ["Expand", "MatMul", "Add"]
