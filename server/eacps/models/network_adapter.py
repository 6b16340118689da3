"""Triton's Python backend for every network: the one class behind the leaves' ``model.py``.

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

from eacps.models.arguments import COMPILE_PARAMETER, parameters, version_folder
from eacps.models.leaf import Arrays, Leaf
from eacps.tensors import MODELS

THREADS_PARAMETER = "intra_op_num_threads"

_set_destructor = ctypes.pythonapi.PyCapsule_SetDestructor
_set_destructor.argtypes = [ctypes.py_object, ctypes.c_void_p]


class TritonPythonModel:
    """Serves the network that lies beside ``model.py``, under the contract of the model's name."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Open the network; the parameter ``intra_op_num_threads`` says how many threads it may use on a CPU."""
        self._leaf = _open(args)

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


def _open(args: Mapping[str, str]) -> Leaf:
    spec, settings = MODELS[json.loads(args["model_config"])["name"]], parameters(args)
    threads = int(settings[THREADS_PARAMETER])
    if COMPILE_PARAMETER not in settings:
        from eacps.models.onnx_leaf import NETWORK_FILE, onnx_leaf

        return onnx_leaf(spec, version_folder(args) / NETWORK_FILE, threads)
    # Torch costs seconds and hundreds of megabytes in every process that imports it: graphs do without.
    import torch

    from eacps.models.torch_leaf import PROGRAM_FILE, torch_leaf

    torch.set_num_threads(threads)
    on_gpu = args["model_instance_kind"] == "GPU"
    device = torch.device(f"cuda:{args['model_instance_device_id']}" if on_gpu else "cpu")
    compiled = on_gpu and settings[COMPILE_PARAMETER] == "true"
    return torch_leaf(spec, version_folder(args) / PROGRAM_FILE, device=device, compiled=compiled)


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
