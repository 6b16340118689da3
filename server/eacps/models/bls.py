"""Triton's side of `qwen_edit` and `vlm_judge`: tensors in and out, and networks that are other models in this Triton.

Imported by the adapters in ``model_repository/`` only: ``triton_python_backend_utils`` exists inside Triton alone.
Tensors go in and out by DLPack: the embedded Triton was built for numpy 1 and misreads numpy 2's arrays.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]
from numpy.typing import NDArray
from torch.utils.dlpack import from_dlpack

from eacps.models.facts import ASSETS_FOLDER
from eacps.models.failures import InvalidInput, NetworkFailed, SamplingCancelled
from eacps.models.networks import Network
from eacps.tensors import ModelSpec


def assets_folder(args: Mapping[str, str]) -> Path:
    """The exporter's files, from what Triton hands to ``initialize``."""
    return Path(args["model_repository"]) / args["model_version"] / ASSETS_FOLDER


def network(spec: ModelSpec) -> Network:
    """The model of that contract in this Triton, as an asynchronous function; its output comes to the CPU."""
    output = spec.outputs[0].name

    async def call(inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        request = pb_utils.InferenceRequest(
            model_name=spec.name,
            requested_output_names=[output],
            inputs=[_tensor(name, tensor) for name, tensor in inputs.items()],
        )
        response = await request.async_exec()
        if response.has_error():
            raise NetworkFailed(f"{spec.name}: {response.error().message()}")
        answer = pb_utils.get_output_tensor_by_name(response, output)
        # The tensor borrows memory of the response, which ends with it.
        return from_dlpack(answer.to_dlpack()).to("cpu", copy=True)

    return call


def input_arrays(request: Any) -> dict[str, NDArray[Any]]:
    """All input tensors of a request by name, on the host."""
    return {tensor.name(): _array(tensor) for tensor in request.inputs()}


def response(outputs: Mapping[str, torch.Tensor]) -> Any:
    """A response with those output tensors."""
    return pb_utils.InferenceResponse([_tensor(name, tensor) for name, tensor in outputs.items()])


def failure(error: Exception) -> Any:
    """A response that tells the client what went wrong and whose fault it is."""
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error), _code(error)))


def _code(error: Exception) -> Any:
    if isinstance(error, InvalidInput):
        return pb_utils.TritonError.INVALID_ARG
    if isinstance(error, SamplingCancelled):
        return pb_utils.TritonError.CANCELLED
    return pb_utils.TritonError.INTERNAL


def _tensor(name: str, tensor: torch.Tensor) -> Any:
    return pb_utils.Tensor.from_dlpack(name, tensor.contiguous())


def _array(tensor: Any) -> NDArray[Any]:
    """A copy on the host: the request's memory ends with it."""
    return from_dlpack(tensor.to_dlpack()).to("cpu", copy=True).numpy()
