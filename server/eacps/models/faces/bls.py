"""What the face models need of Triton beside `eacps.models.bls`: sessions over calls to other models.

Imported by the adapters in ``model_repository/`` only. InsightFace calls its sessions synchronously, so these do too.
Nothing here imports torch, which takes seconds in every process that does.
"""

from collections.abc import Sequence

import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]

from eacps.arrays import Arrays
from eacps.errors import TritonModelFailed
from eacps.models.exchange import array_of, tensor_of
from eacps.models.faces.session import NetworkCall, SessionFactory, sessions_over


def triton_sessions() -> SessionFactory:
    """Sessions whose ``run`` is a call to the model of that name in this Triton."""
    return sessions_over(_network)


def _network(model: str) -> NetworkCall:
    def call(feeds: Arrays, wanted: Sequence[str]) -> Arrays:
        request = pb_utils.InferenceRequest(
            model_name=model,
            requested_output_names=list(wanted),
            inputs=[tensor_of(name, array) for name, array in feeds.items()],
        )
        answer = request.exec()
        if answer.has_error():
            raise TritonModelFailed(f"{model}: {answer.error().message()}")
        return {tensor.name(): array_of(tensor).copy() for tensor in answer.output_tensors()}

    return call
