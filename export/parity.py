"""The parity gate: an exported network must keep its contract and match its original, or the export fails."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from eacps.contract import output_violations
from eacps.manifest import ParityFigure
from eacps.tensors import ModelSpec
from export.networks.network import Network, ParityCase, Tensors, TorchNetwork
from export.precision import Precision

TOLERANCE = 1e-4
"""Largest relative error in FP32: max|difference| / max|reference|."""
FATAL = 4
"""The highest of ONNX Runtime's severity levels."""

ROUNDING_ALLOWANCE = 1.5
"""Largest error at lower precision, as a multiple of torch's own error at that precision."""

ROUNDING_CEILING = 0.1
"""Largest error of torch itself at lower precision; a network with a larger one is not served at that precision."""

# Returns the outputs of an exported network by name, for the inputs of one case.
Answers = Callable[[Tensors], Tensors]
# Returns the figure of a model's answer to a case if it passes.
Gate = Callable[[str, ParityCase, Tensors], ParityFigure]


class ParityFailed(Exception):
    """An exported network breaks its contract, or deviates too far from its original."""


def check_parity(
    network: Network, answers: Answers, precision: Precision = Precision.FP32, tolerance: float = TOLERANCE
) -> list[ParityFigure]:
    """Compare an exported network with its contract and its original, in every case of the original.

    At lower precision the bound is torch's own error with the module that was exported. That module is compared with
    the original in FP32 first, since an error in it would count on both sides.

    Args:
        network: The original.
        answers: Runs what was exported.
        precision: Precision of the exported network.
        tolerance: In FP32, see `TOLERANCE`.

    Raises:
        ParityFailed: The network rejects a case, answers with another dtype or shape than the contract's, or exceeds
            the allowed error.
    """
    gate = _exact_gate(tolerance) if precision is Precision.FP32 else _rounding_gate(network, precision)
    return [gate(network.spec.name, case, _ask(answers, network.spec, case)) for case in network.cases()]


def onnx_answers(path: Path, network: Network, precision: Precision) -> Answers:
    """Return what runs a graph on this machine: ONNX Runtime if it can, else ONNX's reference evaluator.

    ONNX Runtime has no BF16 kernels for the CPU; with a GPU it is used at either precision.

    Args:
        path: The graph.
        network: Its original.
        precision: Precision of the graph.
    """
    names = [tensor.name for tensor in network.spec.outputs]
    gpu = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    if precision is Precision.FP32 or gpu:
        session = open_session(path, gpu=gpu)
        return lambda inputs: dict(zip(names, session.run(names, inputs), strict=True))
    evaluator = ReferenceEvaluator(str(path), new_ops=[Softmax])
    return lambda inputs: dict(zip(names, map(np.asarray, evaluator.run(names, inputs)), strict=True))


class Softmax(OpRun):
    """Softmax with its sum in FP32, as in every runtime's kernel; the evaluator's own one rounds after each step."""

    op_domain = ""

    def _run(self, x: np.ndarray, axis: int = -1) -> tuple[np.ndarray]:
        powers = np.exp(x.astype(np.float32) - x.astype(np.float32).max(axis=axis, keepdims=True))
        return ((powers / powers.sum(axis=axis, keepdims=True)).astype(x.dtype),)


def open_session(graph: Path | bytes, *, gpu: bool = False) -> onnxruntime.InferenceSession:
    """Open a graph without log output: ONNX Runtime raises its errors as well.

    Args:
        graph: Its file, or its contents with all weights.
        gpu: Whether to run it on a GPU where it can.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = FATAL
    providers = ["CUDAExecutionProvider"] if gpu else []
    source = graph if isinstance(graph, bytes) else str(graph)
    return onnxruntime.InferenceSession(source, options, providers=[*providers, "CPUExecutionProvider"])


def relative_error(actual: np.ndarray, expected: np.ndarray) -> float:
    """Return max|actual - expected| / max|expected|; infinite where shapes differ."""
    if actual.shape != expected.shape:
        return float("inf")
    scale = float(np.abs(expected).max())
    return float(np.abs(actual - expected).max()) / (scale if scale > 0 else 1.0)


def rms_error(actual: np.ndarray, expected: np.ndarray) -> float:
    """Return the root mean square of the difference over that of ``expected``; infinite where shapes differ."""
    if actual.shape != expected.shape:
        return float("inf")
    scale = float(np.sqrt(np.mean(np.square(expected, dtype=np.float64))))
    distance = float(np.sqrt(np.mean(np.square(actual.astype(np.float64) - expected))))
    return distance / (scale if scale > 0 else 1.0)


def _exact_gate(tolerance: float) -> Gate:
    def gate(name: str, case: ParityCase, answer: Tensors) -> ParityFigure:
        return _passed(name, case, _worst(relative_error, answer, case.expected), tolerance)

    return gate


def _rounding_gate(network: Network, precision: Precision) -> Gate:
    if not isinstance(network, TorchNetwork):
        raise ParityFailed(f"{network.spec.name}: nothing to measure {precision} by")
    exact, rounded = network.runner(Precision.FP32), network.runner(precision)

    def gate(name: str, case: ParityCase, answer: Tensors) -> ParityFigure:
        _passed(
            f"{name} in {Precision.FP32}", case, _worst(relative_error, exact(case.inputs), case.expected), TOLERANCE
        )
        own = _worst(rms_error, rounded(case.inputs), case.expected)
        _passed(f"{name} by torch in {precision}", case, own, ROUNDING_CEILING)
        return _passed(name, case, _worst(rms_error, answer, case.expected), ROUNDING_ALLOWANCE * own)

    return gate


def _passed(name: str, case: ParityCase, error: float, allowed: float) -> ParityFigure:
    # Written so that a NaN fails.
    if not error <= allowed:
        raise ParityFailed(f"{name}: {error:.1e} from the original, {allowed:.1e} allowed ({case.description})")
    return ParityFigure(case.description, error, allowed)


def _worst(distance: Callable[[np.ndarray, np.ndarray], float], answer: Tensors, expected: Tensors) -> float:
    errors = [distance(answer[name], expected[name]) for name in expected]
    # max() may skip a NaN.
    return float("nan") if any(np.isnan(errors)) else max(errors)


def _ask(answers: Answers, model: ModelSpec, case: ParityCase) -> Tensors:
    try:
        answer = answers(case.inputs)
    except Exception as error:
        # ONNX Runtime's errors share no base but Exception.
        raise ParityFailed(f"{model.name}: the graph refuses {case.description}: {error}") from error
    if wrong := output_violations(model, case.inputs, answer):
        raise ParityFailed(f"{model.name} breaks its contract: {'; '.join(wrong)} ({case.description})")
    return answer
