"""The networks of this Triton as the programs that compute with torch call them.

Imported by the adapters in ``model_repository/`` only: ``triton_python_backend_utils`` exists inside Triton alone.
"""

from collections.abc import Mapping
from typing import Any

import torch
import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]
from torch.utils.dlpack import from_dlpack

from eacps.contract import output_violations
from eacps.models.failures import NetworkFailed
from eacps.models.networks import Network
from eacps.tensors import ModelSpec


def network(spec: ModelSpec) -> Network:
    """Return the model of that contract in this Triton as an asynchronous function; its output comes to the CPU.

    Whatever backend runs the model, an answer that breaks the contract raises `NetworkFailed`.
    """
    output = spec.outputs[0].name

    async def call(inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        request = pb_utils.InferenceRequest(
            model_name=spec.name,
            requested_output_names=[output],
            inputs=[pb_utils.Tensor.from_dlpack(name, tensor.contiguous()) for name, tensor in inputs.items()],
        )
        answer = await request.async_exec()
        if answer.has_error():
            raise NetworkFailed(f"{spec.name}: {answer.error().message()}")
        tensor = _on_host(pb_utils.get_output_tensor_by_name(answer, output))
        given = {name: value.numpy() for name, value in inputs.items()}
        if wrong := output_violations(spec, given, {output: tensor.numpy()}):
            raise NetworkFailed(f"{spec.name} breaks the contract: {'; '.join(wrong)}; export it anew")
        return tensor

    return call


def _on_host(tensor: Any) -> torch.Tensor:
    """Copy Triton's tensor to the host: its memory ends with the answer that it came with."""
    return from_dlpack(tensor.to_dlpack()).to("cpu", copy=True)
