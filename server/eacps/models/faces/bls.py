"""The face models' side of Triton's Python backend: sessions over calls to other models, tensors in and out.

Imported by the adapters in ``model_repository/`` only: ``triton_python_backend_utils`` exists inside Triton alone.
Arrays cross by DLPack from torch: Triton's wheel was built for numpy 1, whose arrays it reads wrongly from numpy 2,
and the capsules of numpy's own DLPack it frees wrongly.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]
from numpy.typing import NDArray
from torch.utils.dlpack import from_dlpack

from eacps.errors import TritonModelFailed
from eacps.models.faces.program import FaceSettings
from eacps.models.faces.session import Arrays, Network, SessionFactory, sessions_over


def triton_sessions() -> SessionFactory:
    """Sessions whose ``run`` is a call to the model of that name in this Triton."""
    return sessions_over(_network)


def settings(args: Mapping[str, str]) -> FaceSettings:
    """Read the parameters in the model's ``config.pbtxt`` from what Triton hands to ``initialize``."""
    parameters = json.loads(args["model_config"]).get("parameters", {})
    return FaceSettings.from_parameters({name: value["string_value"] for name, value in parameters.items()})


def version_folder(args: Mapping[str, str]) -> Path:
    """The folder of the running ``model.py`` and of the files that lie beside it."""
    return Path(args["model_repository"]) / args["model_version"]


def inputs(request: Any) -> dict[str, NDArray[Any]]:
    """All input tensors of a request by name, as arrays."""
    return {tensor.name(): _array(tensor) for tensor in request.inputs()}


def response(outputs: Arrays) -> Any:
    """A response with those output tensors."""
    return pb_utils.InferenceResponse([_tensor(name, array) for name, array in outputs.items()])


def failure(error: Exception) -> Any:
    """A response that says what went wrong; Triton's log says it too."""
    message = f"{type(error).__name__}: {error}"
    pb_utils.Logger.log_error(message)
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message))


def _network(model: str) -> Network:
    def call(feeds: Arrays, wanted: Sequence[str]) -> Arrays:
        request = pb_utils.InferenceRequest(
            model_name=model,
            requested_output_names=list(wanted),
            inputs=[_tensor(name, array) for name, array in feeds.items()],
        )
        answer = request.exec()
        if answer.has_error():
            raise TritonModelFailed(f"{model}: {answer.error().message()}")
        return {tensor.name(): _array(tensor) for tensor in answer.output_tensors()}

    return call


def _tensor(name: str, array: NDArray[Any]) -> Any:
    return pb_utils.Tensor.from_dlpack(name, torch.from_numpy(np.require(array, requirements=("C", "W"))))


def _array(tensor: Any) -> NDArray[Any]:
    """The tensor on the host; engines leave theirs on the GPU."""
    array: NDArray[Any] = from_dlpack(tensor.to_dlpack()).cpu().numpy()
    return array
