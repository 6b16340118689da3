"""Graphs run by ONNX Runtime: in the Python backend, or in Triton's own backend for it.

The wheel of the embedded server has only the Python backend, where an adapter serves the graph on the CPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx

from eacps.models.onnx_network import NETWORK_FILE
from export.networks.network import Network
from export.parity import TOLERANCE, Answers, onnx_answers
from export.precision import Precision
from export.targets.target import Bench, Placement, Target

# Parameters of the Python backend's networks; see eacps.models.network_adapter.
PYTHON_NETWORK_PARAMETERS = {"threads": "0"}  # all cores of the container


@dataclass(frozen=True)
class OnnxTarget(Target):
    """See `export.targets.target.Target`; ``where`` is how Triton runs every network."""

    name: str
    precision: Precision
    where: Placement
    fixed_shapes: bool = False
    tolerance: float = TOLERANCE
    runs_onnx: bool = True
    precisions: frozenset[Precision] = frozenset(Precision)
    code: tuple[str, ...] = (__name__,)

    def check(self) -> str:
        """Return no device: every machine can write graphs, and they run anywhere."""
        return ""

    def placement(self, _network: type[Network]) -> Placement:
        """Return the same for all networks."""
        return self.where

    def dims(self, version: Path) -> Mapping[str, tuple[int, ...]]:
        """Return the graph's own sizes for Triton's backend, which requires them; Python's accepts -1 for any axis."""
        if self.where.backend == "python":
            return {}
        graph = onnx.load(str(version / NETWORK_FILE), load_external_data=False).graph
        return {port.name: _dims(port) for port in (*graph.input, *graph.output)}

    def install(self, network: Network, precision: Precision, bench: Bench) -> Answers:
        """Write the graph."""
        path = bench.version / NETWORK_FILE
        network.write_onnx(path, precision)
        return onnx_answers(path, network, precision)


EMBEDDED = OnnxTarget(
    "embedded",
    Precision.FP32,
    Placement("python", "KIND_CPU", parameters=PYTHON_NETWORK_PARAMETERS),
    precisions=frozenset({Precision.FP32}),  # ONNX Runtime has no BF16 kernels for the CPU
)
ONNXRUNTIME = OnnxTarget("onnxruntime", Precision.BF16, Placement("onnxruntime", "KIND_AUTO", file=NETWORK_FILE))


def _dims(port: onnx.ValueInfoProto) -> tuple[int, ...]:
    return tuple(dim.dim_value if dim.HasField("dim_value") else -1 for dim in port.type.tensor_type.shape.dim)
