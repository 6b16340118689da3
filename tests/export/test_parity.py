"""The parity gate lets through what answers alike, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from eacps.tensors import DType, Kind, ModelSpec, TensorSpec
from export.networks.network import ParityCase, Tensors
from export.parity import ParityFailed, check_parity, onnx_answers, relative_error, rms_error
from export.precision import Precision

SPEC = ModelSpec(
    "identity",
    Kind.NETWORK,
    (TensorSpec("x", DType.FP32, ("n",)),),
    (TensorSpec("y", DType.FP32, ("n",)),),
)


class Identity:
    """A network whose original adds ``error`` to what the graph answers."""

    spec = SPEC

    def __init__(self, error: float) -> None:
        self.error = error

    def write_onnx(self, path: Path, precision: Precision) -> None:
        ports = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"])] for name in ("x", "y")]
        graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "identity", *ports)
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)

    def cases(self) -> Iterator[ParityCase]:
        x = np.array([-2.0, 1.0], np.float32)
        yield ParityCase("exact", {"x": x}, {"y": x})
        yield ParityCase("off", {"x": x}, {"y": x + np.array([0, self.error], np.float32)})


def check(error: float, folder: Path) -> list[float]:
    network = Identity(error)
    path = folder / "network.onnx"
    network.write_onnx(path, Precision.FP32)
    return [figure.error for figure in check_parity(network, onnx_answers(path, network, Precision.FP32))]


def test_figures_are_relative_to_the_largest_reference(tmp_path: Path) -> None:
    assert check(1e-4, tmp_path) == pytest.approx([0, 0.5e-4], rel=1e-2)


@pytest.mark.parametrize("error", [3e-4, float("nan"), float("inf")])
def test_departures_fail_and_name_the_case(error: float, tmp_path: Path) -> None:
    with pytest.raises(ParityFailed, match=r"identity: .* \(off\)"):
        check(error, tmp_path)


def test_another_shape_is_no_parity() -> None:
    assert relative_error(np.zeros(2), np.zeros(3)) == float("inf")
    assert rms_error(np.zeros(2), np.zeros(3)) == float("inf")


class Wider(Identity):
    """A network that answers with one number too many, as its original does."""

    def __init__(self, dtype: type[np.floating] = np.float32, rank: int = 1) -> None:
        super().__init__(0.0)
        self.dtype, self.rank = dtype, rank

    def answer(self, inputs: Tensors) -> Tensors:
        wider = np.append(inputs["x"], 0).astype(self.dtype)
        return {"y": wider.reshape(*[1] * (self.rank - 1), -1)}

    def cases(self) -> Iterator[ParityCase]:
        inputs = {"x": np.ones(2, np.float32)}
        yield ParityCase("two", inputs, self.answer(inputs))


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Wider(), r"identity breaks its contract: output y has shape \[3\] instead of \[n=2\] \(two\)"),
        (Wider(rank=2), r"output y has shape \[1, 3\] instead of \[n=2\]"),
        (Wider(np.float64), "output y has dtype float64 instead of float32"),
    ],
)
def test_an_answer_that_breaks_the_contract_fails_though_the_original_gives_it_too(
    network: Wider, message: str
) -> None:
    with pytest.raises(ParityFailed, match=message):
        check_parity(network, network.answer)


def test_a_missing_answer_fails() -> None:
    with pytest.raises(ParityFailed, match="output y is missing"):
        check_parity(Identity(0.0), lambda inputs: {"z": inputs["x"]})
