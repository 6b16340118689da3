"""Triton's side of the programs: tensors in and out, other models of this Triton as networks, failures told and logged.

Imported by the adapters in ``model_repository/`` only: ``triton_python_backend_utils`` exists inside Triton alone.
Tensors go in and out by DLPack, and leave as torch's: the embedded Triton was built for numpy 1, misreads numpy 2's
arrays and wrongly frees numpy's own DLPack capsules.
"""

import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]
from numpy.typing import NDArray
from torch.utils.dlpack import from_dlpack

from eacps.models.arguments import version_folder
from eacps.models.facts import ASSETS_FOLDER
from eacps.models.failures import InvalidInput, NetworkFailed, SamplingCancelled
from eacps.models.networks import Network
from eacps.tensors import ModelSpec


def assets_folder(args: Mapping[str, str]) -> Path:
    """The exporter's files, from what Triton hands to ``initialize``."""
    return version_folder(args) / ASSETS_FOLDER


def network(spec: ModelSpec) -> Network:
    """The model of that contract in this Triton, as an asynchronous function; its output comes to the CPU."""
    output = spec.outputs[0].name

    async def call(inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        answer = await inference_request(spec.name, inputs, [output]).async_exec()
        if answer.has_error():
            raise NetworkFailed(f"{spec.name}: {answer.error().message()}")
        return _on_host(pb_utils.get_output_tensor_by_name(answer, output))

    return call


def inference_request(model: str, inputs: Mapping[str, torch.Tensor], outputs: list[str]) -> Any:
    """A request to another model of this Triton, to be executed by the caller."""
    return pb_utils.InferenceRequest(
        model_name=model,
        requested_output_names=outputs,
        inputs=[_tensor(name, tensor) for name, tensor in inputs.items()],
    )


def input_arrays(request: Any) -> dict[str, NDArray[Any]]:
    """All input tensors of a request by name, on the host."""
    return {tensor.name(): host_array(tensor) for tensor in request.inputs()}


def host_array(tensor: Any) -> NDArray[Any]:
    """A copy of Triton's tensor on the host: its memory ends with the request or the answer that it came with."""
    array: NDArray[Any] = _on_host(tensor).numpy()
    return array


def response(outputs: Mapping[str, torch.Tensor]) -> Any:
    """A response with those output tensors."""
    return pb_utils.InferenceResponse([_tensor(name, tensor) for name, tensor in outputs.items()])


def failure(model: str, error: Exception) -> Any:
    """A response that tells the client what went wrong and whose fault it is.

    What is not the caller's fault also goes to Triton's log, with its traceback: the client only gets the message.

    Args:
        model: Whose request failed.
        error: As caught.
    """
    code = pb_utils.TritonError.INTERNAL
    if isinstance(error, InvalidInput):
        code = pb_utils.TritonError.INVALID_ARG
    elif isinstance(error, SamplingCancelled):
        code = pb_utils.TritonError.CANCELLED
        pb_utils.Logger.log_info(f"{model}: {error}")
    else:
        pb_utils.Logger.log_error(f"{model}: {''.join(traceback.format_exception(error))}")
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error), code))


def _tensor(name: str, tensor: torch.Tensor) -> Any:
    return pb_utils.Tensor.from_dlpack(name, tensor.contiguous())


def _on_host(tensor: Any) -> torch.Tensor:
    return from_dlpack(tensor.to_dlpack()).to("cpu", copy=True)
