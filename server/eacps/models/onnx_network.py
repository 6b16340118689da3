"""A network as an ONNX graph, run by ONNX Runtime on the CPU. Imports no torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnxruntime

from eacps.arrays import Arrays
from eacps.contract import declaration_violations
from eacps.errors import TritonModelFailed
from eacps.models.row_runs import RowRuns
from eacps.models.served_network import Run, ServedNetwork
from eacps.tensors import ModelSpec

NETWORK_FILE = "network.onnx"

# ONNX Runtime's names of the dtypes whose names differ from numpy's.
_NUMPY_NAMES = {"tensor(float)": "float32", "tensor(double)": "float64"}


def onnx_network(spec: ModelSpec, network: Path, threads: int) -> ServedNetwork:
    """Open a graph.

    A batch of at least ``threads`` rows is shared out over runs of one thread each; a smaller one is one run, whose
    operators use all threads. The two ways need a session each, and a session its own copy of the weights as its
    kernels lay them out: with one thread, or where the contract has no batch axis, there is one session only.

    Args:
        spec: The network's contract.
        network: The ONNX file.
        threads: Cores that the network may keep busy, at least 1.

    Raises:
        TritonModelFailed: The graph declares other inputs or outputs than the contract has.
    """
    run_alone = _open(spec, network, threads)
    if threads == 1 or not spec.max_batch_size:
        return ServedNetwork(spec, run_alone)
    row_runs = RowRuns(_open(spec, network, 1), threads, spec.name)
    batch_input = spec.inputs[0].name

    def run(feeds: Arrays) -> Arrays:
        enough = len(feeds[batch_input]) >= threads
        return row_runs(feeds) if enough else run_alone(feeds)

    return ServedNetwork(spec, run, row_runs.close)


def _open(spec: ModelSpec, network: Path, threads: int) -> Run:
    """Open a session whose operators use ``threads`` threads; with one, they run in the thread that calls."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Idle threads that spin take the cores from the other models of this server.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(network), options, providers=["CPUExecutionProvider"])
    if wrong := [
        *declaration_violations(spec, spec.inputs, _declared(session.get_inputs())),
        *declaration_violations(spec, spec.outputs, _declared(session.get_outputs())),
    ]:
        raise TritonModelFailed(f"{spec.name} breaks the contract: {'; '.join(wrong)}; export it anew")
    outputs = [tensor.name for tensor in spec.outputs]

    def run(feeds: Arrays) -> Arrays:
        return dict(zip(outputs, session.run(outputs, feeds), strict=True))

    return run


def _declared(ports: Sequence[Any]) -> dict[str, tuple[str, Sequence[int | str | None]]]:
    """Return dtype and shape of a session's inputs or outputs by name."""
    plain = {port.name: port.type.removeprefix("tensor(").removesuffix(")") for port in ports}
    return {port.name: (_NUMPY_NAMES.get(port.type, plain[port.name]), port.shape) for port in ports}
