"""An ONNX network behind Triton's Python backend: requests of a batch are run as one.

This module knows nothing of Triton; ``onnx_adapter`` does. It imports no torch: a leaf is ONNX Runtime and numpy.
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime  # type: ignore[import-untyped]  # has no type hints
from numpy.typing import NDArray

from eacps.tensors import DType, ModelSpec

Arrays = dict[str, NDArray[Any]]

NETWORK_FILE = "network.onnx"


class OnnxLeaf:
    """A network of the contract, run by ONNX Runtime on the CPU.

    Args:
        spec: The network's contract.
        network: The ONNX file.
        threads: Threads of one run; 0 lets ONNX Runtime take one per core.
    """

    def __init__(self, spec: ModelSpec, network: Path, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Idle threads that spin take the cores from the other models of this server.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.spec = spec
        self._session = onnxruntime.InferenceSession(str(network), options, providers=["CPUExecutionProvider"])
        self._outputs = [tensor.name for tensor in spec.outputs]

    def answer(self, requests: Sequence[Arrays]) -> list[Arrays | Exception]:
        """Run requests, as few runs as their shapes allow.

        Args:
            requests: All inputs of the contract each, with batch axis where the model has one.

        Returns:
            For each request, in order, its outputs, or what went wrong with it or its batch.
        """
        answers: list[Arrays | Exception] = [{} for _ in requests]
        for members in self._alike(requests):
            try:
                parts = self._run([requests[k] for k in members])
            except Exception as error:  # ONNX Runtime's errors have no base of their own
                answers_of: Sequence[Arrays | Exception] = [error] * len(members)
            else:
                answers_of = parts
            for k, answer in zip(members, answers_of, strict=True):
                answers[k] = answer
        return answers

    def _alike(self, requests: Sequence[Arrays]) -> list[list[int]]:
        """Group the numbers of requests that can share a run."""
        if self.spec.max_batch_size == 0:
            return [[k] for k in range(len(requests))]
        groups: dict[tuple[tuple[int, ...], ...], list[int]] = defaultdict(list)
        for k, request in enumerate(requests):
            groups[tuple(request[tensor.name].shape[1:] for tensor in self.spec.inputs)].append(k)
        return list(groups.values())

    def _run(self, requests: Sequence[Arrays]) -> list[Arrays]:
        feeds = {
            tensor.name: _joined([request[tensor.name] for request in requests], tensor.dtype)
            for tensor in self.spec.inputs
        }
        outputs = dict(zip(self._outputs, self._session.run(self._outputs, feeds), strict=True))
        if len(requests) == 1:
            return [outputs]
        sizes = [len(request[self.spec.inputs[0].name]) for request in requests]
        ends = np.cumsum(sizes)
        return [
            {name: array[end - size : end] for name, array in outputs.items()}
            for size, end in zip(sizes, ends, strict=True)
        ]


def _joined(arrays: Sequence[NDArray[Any]], dtype: DType) -> NDArray[Any]:
    joined = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
    # Where DLPack has no booleans they come as bytes.
    return joined if joined.dtype == dtype.numpy_name else joined.view(dtype.numpy_name)
