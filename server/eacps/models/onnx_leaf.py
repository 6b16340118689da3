"""A network as an ONNX graph, run by ONNX Runtime on the CPU. Imports no torch."""

from pathlib import Path

import onnxruntime  # type: ignore[import-untyped]  # has no type hints

from eacps.models.leaf import Arrays, Leaf
from eacps.tensors import ModelSpec

NETWORK_FILE = "network.onnx"


def onnx_leaf(spec: ModelSpec, network: Path, threads: int) -> Leaf:
    """Open a graph.

    Args:
        spec: The network's contract.
        network: The ONNX file.
        threads: Threads of one run; 0 lets ONNX Runtime take one per core.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Idle threads that spin take the cores from the other models of this server.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(network), options, providers=["CPUExecutionProvider"])
    outputs = [tensor.name for tensor in spec.outputs]

    def run(feeds: Arrays) -> Arrays:
        return dict(zip(outputs, session.run(outputs, feeds), strict=True))

    return Leaf(spec, run)
