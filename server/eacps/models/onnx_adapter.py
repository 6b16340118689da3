"""Triton's Python backend for every ONNX network: the one class behind the leaves' ``model.py``.

Imported inside Triton only, where ``triton_python_backend_utils`` exists.
"""

import ctypes
import json
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]
from numpy.typing import NDArray

from eacps.models.arguments import parameters, version_folder
from eacps.models.onnx_leaf import NETWORK_FILE, Arrays, OnnxLeaf
from eacps.tensors import MODELS

THREADS_PARAMETER = "intra_op_num_threads"

_set_destructor = ctypes.pythonapi.PyCapsule_SetDestructor
_set_destructor.argtypes = [ctypes.py_object, ctypes.c_void_p]


class TritonPythonModel:
    """Serves ``network.onnx``, which lies beside ``model.py``, under the contract of the model's name."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Open the network; the parameter ``intra_op_num_threads`` says how many threads it may use."""
        name = json.loads(args["model_config"])["name"]
        threads = int(parameters(args)[THREADS_PARAMETER])
        self._leaf = OnnxLeaf(MODELS[name], version_folder(args) / NETWORK_FILE, threads)

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer the requests that Triton's batcher has put together, in one run where shapes agree."""
        answers = self._leaf.answer([_inputs(request) for request in requests])
        return [self._response(answer) for answer in answers]

    def _response(self, answer: Arrays | Exception) -> Any:
        if not isinstance(answer, Exception):
            return pb_utils.InferenceResponse([_tensor(name, array) for name, array in answer.items()])
        # The caller only gets the message.
        pb_utils.Logger.log_error(f"{self._leaf.spec.name}: {''.join(traceback.format_exception(answer))}")
        return pb_utils.InferenceResponse(error=pb_utils.TritonError(f"{type(answer).__name__}: {answer}"))


def _inputs(request: Any) -> Arrays:
    """Read inputs by DLPack: ``as_numpy`` of the wheel's backend is wrong under numpy 2."""
    return {tensor.name(): np.from_dlpack(tensor) for tensor in request.inputs()}


def _tensor(name: str, array: NDArray[Any]) -> Any:
    capsule = np.ascontiguousarray(array).__dlpack__()
    tensor = pb_utils.Tensor.from_dlpack(name, capsule)
    # The memory is the tensor's now. Triton marks the capsule as used by a name that numpy does not know: numpy would
    # print a traceback into the log for every tensor sent.
    _set_destructor(capsule, None)
    return tensor
