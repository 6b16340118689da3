"""A served ONNX network: requests of one shape are merged, and each is answered as if alone."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from eacps.arrays import Arrays
from eacps.errors import TritonModelFailed
from eacps.models.onnx_network import onnx_network
from eacps.models.served_network import ServedNetwork
from eacps.tensors import FACE_RECOGNIZER, DType, Kind, ModelSpec, TensorSpec

SPEC = ModelSpec(
    name="masked_sum",
    kind=Kind.NETWORK,
    max_batch_size=8,
    inputs=(TensorSpec("values", DType.FP32, ("n",)), TensorSpec("mask", DType.BOOL, ("n",))),
    outputs=(TensorSpec("sum", DType.FP32, (1,)), TensorSpec("batch", DType.INT64, (1,))),
)


@pytest.fixture
def graph(tmp_path: Path) -> Path:
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
    return tmp_path / "network.onnx"


@pytest.fixture
def network(graph: Path) -> ServedNetwork:
    return onnx_network(SPEC, graph, threads=1)


@pytest.fixture
def split_network(graph: Path) -> Iterator[ServedNetwork]:
    """The same with three cores."""
    network = onnx_network(SPEC, graph, threads=3)
    yield network
    network.close()


def request(rows: list[list[float]]) -> Arrays:
    values = np.array(rows, np.float32)
    return {"values": values, "mask": values > 0}


def test_requests_of_one_shape_share_a_run_and_get_their_own_rows(network: ServedNetwork) -> None:
    first, second = network.answer([request([[1, 2, -3]]), request([[4, 5, 6], [-1, -1, 7]])])
    assert isinstance(first, dict)
    assert isinstance(second, dict)
    assert first["sum"].tolist() == [[3]]
    assert second["sum"].tolist() == [[15], [7]]
    assert first["batch"].tolist() == [[3]]


def test_requests_of_other_shapes_run_apart_and_keep_their_order(network: ServedNetwork) -> None:
    answers = network.answer([request([[1, 2]]), request([[1, 2, 3]]), request([[5, 6]])])
    assert [answer["sum"].item() for answer in answers if isinstance(answer, dict)] == [3, 6, 11]
    assert [answer["batch"].item() for answer in answers if isinstance(answer, dict)] == [2, 1, 2]


def test_a_bad_request_spoils_only_requests_of_its_shape(network: ServedNetwork) -> None:
    bad = {"values": np.zeros((1, 4), np.float32), "mask": np.zeros((1, 3), bool)}
    first, second = network.answer([bad, request([[1, 2]])])
    assert isinstance(first, Exception)
    assert isinstance(second, dict)
    assert second["sum"].item() == 3


def test_booleans_may_come_as_bytes(network: ServedNetwork) -> None:
    values = np.array([[1, 2, 4]], np.float32)
    (answer,) = network.answer([{"values": values, "mask": np.array([[1, 0, 1]], np.uint8)}])
    assert isinstance(answer, dict)
    assert answer["sum"].item() == 5


def test_a_batch_of_enough_rows_is_shared_out_over_the_cores(split_network: ServedNetwork) -> None:
    first, second = split_network.answer([request([[1, 2]]), request([[3, 4], [5, 6], [-1, 7]])])
    assert isinstance(first, dict)
    assert isinstance(second, dict)
    assert first["sum"].tolist() == [[3]]
    assert second["sum"].tolist() == [[7], [11], [7]]
    assert [*first["batch"].flat, *second["batch"].flat] == [1, 1, 2, 2], "runs of one, one and two rows"


def test_a_smaller_batch_is_one_run(split_network: ServedNetwork) -> None:
    (answer,) = split_network.answer([request([[1, 2], [3, 4]])])
    assert isinstance(answer, dict)
    assert answer["batch"].tolist() == [[2], [2]]


def test_what_one_run_of_a_batch_refuses_the_whole_batch_is_told(split_network: ServedNetwork) -> None:
    bad = {"values": np.zeros((6, 4), np.float32), "mask": np.zeros((6, 3), bool)}
    wrong, right = split_network.answer([bad, request([[1, 2]] * 3)])
    assert isinstance(wrong, Exception)
    assert isinstance(right, dict)
    assert right["sum"].tolist() == [[3]] * 3


def test_a_network_is_tried_out_on_zeros(network: ServedNetwork) -> None:
    network.try_out({"values": (2, 3), "mask": (2, 3)})


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (np.zeros((2, 192), np.float32), r"output embedding has shape \[2, 192\] instead of \[batch=2, 512\]"),
        (np.zeros((2, 512), np.float64), "output embedding has dtype float64 instead of float32"),
        (np.zeros((2, 512, 1, 1), np.float32), r"shape \[2, 512, 1, 1\]"),
        (np.zeros((1, 512), np.float32), r"shape \[1, 512\] instead of \[batch=2, 512\]"),
    ],
)
def test_a_network_that_breaks_its_contract_is_neither_started_nor_answered_for(
    answer: np.ndarray, message: str
) -> None:
    network = ServedNetwork(FACE_RECOGNIZER, lambda _feeds: {"embedding": answer})
    with pytest.raises(TritonModelFailed, match=f"face_recognizer breaks the contract: .*{message}"):
        network.try_out({"input": (2, 3, 112, 112)})
    (answered,) = network.answer([{"input": np.zeros((2, 3, 112, 112), np.float32)}])
    assert isinstance(answered, TritonModelFailed)


@pytest.mark.parametrize(
    ("dims", "dtype", "message"),
    [
        (["N", 192], TensorProto.FLOAT, r"output embedding has shape \['?N'?, 192\] instead of \[batch, 512\]"),
        (["N", 512, 1, 1], TensorProto.FLOAT, "output embedding has shape"),
        (["N", 512], TensorProto.DOUBLE, "output embedding has dtype float64 instead of float32"),
    ],
)
def test_a_graph_that_declares_other_answers_is_not_opened(
    tmp_path: Path, dims: list[int | str], dtype: int, message: str
) -> None:
    nodes = [
        helper.make_node("Cast", ["input"], ["cast"], to=dtype),
        helper.make_node("Reshape", ["cast", "form"], ["embedding"]),
    ]
    form = helper.make_tensor("form", TensorProto.INT64, [len(dims)], [-1, *dims[1:]])
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, 112, 112])],
        [helper.make_tensor_value_info("embedding", dtype, dims)],
        [form],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), tmp_path / "g.onnx")
    with pytest.raises(TritonModelFailed, match=message):
        onnx_network(FACE_RECOGNIZER, tmp_path / "g.onnx", threads=1)
