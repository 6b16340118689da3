"""An ONNX network as the leaves serve it: batches merged where shapes agree, each request answered as if alone."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from eacps.models.leaf import Arrays, Leaf
from eacps.models.onnx_leaf import onnx_leaf
from eacps.tensors import DType, Kind, ModelSpec, TensorSpec

SPEC = ModelSpec(
    name="masked_sum",
    kind=Kind.NETWORK,
    max_batch_size=8,
    inputs=(TensorSpec("values", DType.FP32, ("n",)), TensorSpec("mask", DType.BOOL, ("n",))),
    outputs=(TensorSpec("sum", DType.FP32, (1,)), TensorSpec("batch", DType.INT64, (1,))),
)


@pytest.fixture
def leaf(tmp_path: Path) -> Leaf:
    """Sum of the masked values, and for each item how many items shared its run."""
    nodes = [
        helper.make_node("Cast", ["mask"], ["weights"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["values", "weights"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "axis"], ["sum"], keepdims=1),
        helper.make_node("Shape", ["values"], ["size"], end=1),
        helper.make_node("Concat", ["size", "one"], ["shape"], axis=0),
        helper.make_node("Expand", ["size", "shape"], ["batch"]),
    ]
    graph = helper.make_graph(
        nodes,
        SPEC.name,
        [
            helper.make_tensor_value_info("values", TensorProto.FLOAT, ["batch_size", "n"]),
            helper.make_tensor_value_info("mask", TensorProto.BOOL, ["batch_size", "n"]),
        ],
        [
            helper.make_tensor_value_info("sum", TensorProto.FLOAT, ["batch_size", 1]),
            helper.make_tensor_value_info("batch", TensorProto.INT64, ["batch_size", 1]),
        ],
        [
            helper.make_tensor("axis", TensorProto.INT64, [1], [1]),
            helper.make_tensor("one", TensorProto.INT64, [1], [1]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, tmp_path / "network.onnx")
    return onnx_leaf(SPEC, tmp_path / "network.onnx", threads=1)


def request(rows: list[list[float]]) -> Arrays:
    values = np.array(rows, np.float32)
    return {"values": values, "mask": values > 0}


def test_requests_of_one_shape_share_a_run_and_get_their_own_rows(leaf: Leaf) -> None:
    first, second = leaf.answer([request([[1, 2, -3]]), request([[4, 5, 6], [-1, -1, 7]])])
    assert isinstance(first, dict)
    assert isinstance(second, dict)
    assert first["sum"].tolist() == [[3]]
    assert second["sum"].tolist() == [[15], [7]]
    assert first["batch"].tolist() == [[3]]


def test_requests_of_other_shapes_run_apart_and_keep_their_order(leaf: Leaf) -> None:
    answers = leaf.answer([request([[1, 2]]), request([[1, 2, 3]]), request([[5, 6]])])
    assert [answer["sum"].item() for answer in answers if isinstance(answer, dict)] == [3, 6, 11]
    assert [answer["batch"].item() for answer in answers if isinstance(answer, dict)] == [2, 1, 2]


def test_a_bad_request_spoils_only_requests_of_its_shape(leaf: Leaf) -> None:
    bad = {"values": np.zeros((1, 4), np.float32), "mask": np.zeros((1, 3), bool)}
    first, second = leaf.answer([bad, request([[1, 2]])])
    assert isinstance(first, Exception)
    assert isinstance(second, dict)
    assert second["sum"].item() == 3


def test_booleans_may_come_as_bytes(leaf: Leaf) -> None:
    values = np.array([[1, 2, 4]], np.float32)
    (answer,) = leaf.answer([{"values": values, "mask": np.array([[1, 0, 1]], np.uint8)}])
    assert isinstance(answer, dict)
    assert answer["sum"].item() == 5
