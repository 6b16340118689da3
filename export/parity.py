"""The parity gate: an exported network must keep its contract and answer as its original does, or the export fails."""

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
"""In FP32: of max|difference| / max|reference|."""
FATAL = 4
"""Of ONNX Runtime's levels of severity, the highest."""

ROUNDING_ALLOWANCE = 1.5
"""At lower precision: how many times torch's own error at that precision."""

ROUNDING_CEILING = 0.1
"""Most that torch itself may lose: a network that loses more is not to be served at that precision."""

# What an exported network answers to the inputs of one case, outputs by name.
Answers = Callable[[Tensors], Tensors]
# Model, case and answer to a figure that passed.
Gate = Callable[[str, ParityCase, Tensors], ParityFigure]


class ParityFailed(Exception):
    """An exported network breaks its contract, or departs from its original."""


def check_parity(
    network: Network, answers: Answers, precision: Precision = Precision.FP32, tolerance: float = TOLERANCE
) -> list[ParityFigure]:
    """Hold an exported network's answers to its contract and against its original, in every case of the original.

    At lower precision the bound is torch's own error, of the module that was exported. That module is held against the
    original in FP32 first: what it does wrong, it would do wrong at both precisions.

    Args:
        network: The original.
        answers: Runs what was exported.
        precision: In which that computes.
        tolerance: In FP32, see `TOLERANCE`.

    Raises:
        ParityFailed: A case is refused, answered with another dtype or shape than the contract's, or further off than
            is allowed.
    """
    gate = _exact_gate(tolerance) if precision is Precision.FP32 else _rounding_gate(network, precision)
    return [gate(network.spec.name, case, _ask(answers, network.spec, case)) for case in network.cases()]


def onnx_answers(path: Path, network: Network, precision: Precision) -> Answers:
    """Run a graph on this machine: with ONNX Runtime where it can, else with ONNX's reference evaluator.

    ONNX Runtime has no BF16 kernels for the CPU; with a GPU it is used at either precision.

    Args:
        path: The graph.
        network: Its original.
        precision: In which it computes.
    """
    names = [tensor.name for tensor in network.spec.outputs]
    gpu = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    if precision is Precision.FP32 or gpu:
        session = open_session(path, gpu=gpu)
        return lambda inputs: dict(zip(names, session.run(names, inputs), strict=True))
    evaluator = ReferenceEvaluator(str(path), new_ops=[Softmax])
    return lambda inputs: dict(zip(names, map(np.asarray, evaluator.run(names, inputs)), strict=True))


class Softmax(OpRun):
    """Softmax with its sum in FP32, as every runtime's kernel has it; the evaluator's own rounds after each step."""

    op_domain = ""

    def _run(self, x: np.ndarray, axis: int = -1) -> tuple[np.ndarray]:
        powers = np.exp(x.astype(np.float32) - x.astype(np.float32).max(axis=axis, keepdims=True))
        return ((powers / powers.sum(axis=axis, keepdims=True)).astype(x.dtype),)


def open_session(graph: Path | bytes, *, gpu: bool = False) -> onnxruntime.InferenceSession:
    """Open a graph, quietly: ONNX Runtime raises what it would log.

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
    # max() may pass over a NaN.
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
