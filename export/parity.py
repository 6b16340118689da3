"""The parity gate: an exported graph must answer as its original does, or the export fails."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime

from export.manifest import ParityFigure
from export.networks.network import Network, ParityCase, Tensors

TOLERANCE = 1e-4


class ParityFailed(Exception):
    """An exported network departs from its original."""


def check_parity(network: Network, onnx_path: Path, tolerance: float = TOLERANCE) -> list[ParityFigure]:
    """Run every case of ``network`` through the graph at ``onnx_path`` on the CPU.

    Raises:
        ParityFailed: The graph refuses a case, or departs from the original by more than ``tolerance``.
    """
    session = open_session(onnx_path)
    figures = []
    for case in network.cases():
        figure = ParityFigure(case.description, _case_error(session, network.spec.name, case))
        # Written so that a NaN fails.
        if not figure.error <= tolerance:
            raise ParityFailed(
                f"{network.spec.name}: {figure.error:.1e} from the original, {tolerance:.0e} allowed ({figure.case})"
            )
        figures.append(figure)
    return figures


def open_session(onnx_path: Path) -> onnxruntime.InferenceSession:
    """Open a graph on the CPU, quietly."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(onnx_path), options, providers=["CPUExecutionProvider"])


def relative_error(actual: np.ndarray, expected: np.ndarray) -> float:
    """Return max|actual - expected| / max|expected|; infinite where shapes differ."""
    if actual.shape != expected.shape:
        return float("inf")
    scale = float(np.abs(expected).max())
    return float(np.abs(actual - expected).max()) / (scale if scale > 0 else 1.0)


def _case_error(session: onnxruntime.InferenceSession, model: str, case: ParityCase) -> float:
    try:
        answers = session.run(list(case.expected), case.inputs)
    except Exception as error:
        # ONNX Runtime's errors share no base but Exception.
        raise ParityFailed(f"{model}: the graph refuses {case.description}: {error}") from error
    actual: Tensors = dict(zip(case.expected, answers, strict=True))
    return max(relative_error(actual[name], case.expected[name]) for name in case.expected)
