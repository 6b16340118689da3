"""The face models' side of Triton's Python backend: sessions over calls to other models, settings, arrays out.

Imported by the adapters in ``model_repository/`` only: ``triton_python_backend_utils`` exists inside Triton alone.
Arrays leave as torch tensors: the embedded Triton misreads numpy 2's arrays and wrongly frees numpy's own DLPack
capsules.
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


def tensors(arrays: Arrays) -> dict[str, torch.Tensor]:
    """Arrays by name as torch tensors on the same memory, where that is contiguous and writable."""
    return {name: torch.from_numpy(np.require(array, requirements=("C", "W"))) for name, array in arrays.items()}


def _network(model: str) -> Network:
    def call(feeds: Arrays, wanted: Sequence[str]) -> Arrays:
        request = pb_utils.InferenceRequest(
            model_name=model,
            requested_output_names=list(wanted),
            inputs=[pb_utils.Tensor.from_dlpack(name, tensor) for name, tensor in tensors(feeds).items()],
        )
        answer = request.exec()
        if answer.has_error():
            raise TritonModelFailed(f"{model}: {answer.error().message()}")
        return {tensor.name(): _array(tensor) for tensor in answer.output_tensors()}

    return call


def _array(tensor: Any) -> NDArray[Any]:
    """A copy on the host: the answer's memory ends with it, and engines leave theirs on the GPU."""
    array: NDArray[Any] = from_dlpack(tensor.to_dlpack()).to("cpu", copy=True).numpy()
    return array
