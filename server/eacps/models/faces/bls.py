"""What the face models need of Triton beside `eacps.models.bls`: sessions over calls to other models, arrays out.

Imported by the adapters in ``model_repository/`` only. InsightFace calls its sessions synchronously, so these do too.
"""

from collections.abc import Sequence

import numpy as np
import torch

from eacps.errors import TritonModelFailed
from eacps.models.bls import host_array, inference_request
from eacps.models.faces.session import Arrays, Network, SessionFactory, sessions_over


def triton_sessions() -> SessionFactory:
    """Sessions whose ``run`` is a call to the model of that name in this Triton."""
    return sessions_over(_network)


def tensors(arrays: Arrays) -> dict[str, torch.Tensor]:
    """Arrays by name as torch tensors on the same memory, where that is contiguous and writable."""
    return {name: torch.from_numpy(np.require(array, requirements=("C", "W"))) for name, array in arrays.items()}


def _network(model: str) -> Network:
    def call(feeds: Arrays, wanted: Sequence[str]) -> Arrays:
        answer = inference_request(model, tensors(feeds), list(wanted)).exec()
        if answer.has_error():
            raise TritonModelFailed(f"{model}: {answer.error().message()}")
        return {tensor.name(): host_array(tensor) for tensor in answer.output_tensors()}

    return call
