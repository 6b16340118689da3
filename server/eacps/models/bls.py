"""Triton's side of the programs: arrays in and out, builds compared, failures reported and logged. Imports no torch.

Imported by the adapters in ``model_repository/`` only: ``triton_python_backend_utils`` exists inside Triton alone.
"""

import json
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]
from numpy.typing import NDArray

from eacps.models.arguments import version_folder
from eacps.models.checkpoint_config import ASSETS_FOLDER
from eacps.models.exchange import array_of, tensor_of
from eacps.models.failures import InvalidInput, OtherBuild, SamplingCancelled
from eacps.tensors import BUILD_PARAMETER


def assets_folder(args: Mapping[str, str]) -> Path:
    """The exporter's files, from what Triton hands to ``initialize``."""
    return version_folder(args) / ASSETS_FOLDER


def input_arrays(request: Any) -> dict[str, NDArray[Any]]:
    """Return copies of all input tensors of a request by name: their memory ends with the request."""
    return {tensor.name(): array_of(tensor).copy() for tensor in request.inputs()}


def check_build(request: Any, served: str) -> None:
    """See that a request is meant for this build, where it names one.

    Args:
        request: Triton's.
        served: The build that the model belongs to.

    Raises:
        OtherBuild: It names another one.
    """
    expected = json.loads(request.parameters() or "{}").get(BUILD_PARAMETER, served)
    if expected != served:
        raise OtherBuild(served, expected)


def response(outputs: Mapping[str, NDArray[Any]]) -> Any:
    """Return a response with those output tensors."""
    return pb_utils.InferenceResponse([tensor_of(name, array) for name, array in outputs.items()])


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
    elif isinstance(error, OtherBuild):
        code = pb_utils.TritonError.UNSUPPORTED
    elif isinstance(error, SamplingCancelled):
        code = pb_utils.TritonError.CANCELLED
        pb_utils.Logger.log_info(f"{model}: {error}")
    else:
        pb_utils.Logger.log_error(f"{model}: {''.join(traceback.format_exception(error))}")
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error), code))
