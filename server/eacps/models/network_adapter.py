"""Triton's Python backend for every network: the one class behind the served networks' ``model.py``.

Imported inside Triton only, where ``triton_python_backend_utils`` exists.
"""

import json
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]

from eacps.arrays import Arrays
from eacps.models.arguments import COMPILE_PARAMETER, parameters, version_folder
from eacps.models.backbones import contract_of
from eacps.models.cores import available_cores
from eacps.models.exchange import array_of, tensor_of
from eacps.models.served_network import ServedNetwork
from eacps.tensors import BACKBONE_PARAMETER

THREADS_PARAMETER = "threads"


class TritonPythonModel:
    """Serves the network that lies beside ``model.py``, under the contract of the model's name."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Open the network, and try it out on the shapes of its warm-up.

        The parameter ``threads`` says how many cores it may keep busy; 0 stands for all that the container has.

        Raises:
            TritonModelFailed: It breaks its contract; Triton then does not start.
        """
        self._network = _open(args)
        if shapes := _warmup_shapes(args):
            self._network.try_out(shapes)

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer the requests that Triton's batcher has put together, in one run where shapes agree."""
        answers = self._network.answer([_inputs(request) for request in requests])
        return [self._response(answer) for answer in answers]

    def finalize(self) -> None:
        """End the network's threads."""
        self._network.close()

    def _response(self, answer: Arrays | Exception) -> Any:
        if not isinstance(answer, Exception):
            return pb_utils.InferenceResponse([tensor_of(name, array) for name, array in answer.items()])
        # The caller only gets the message.
        pb_utils.Logger.log_error(f"{self._network.spec.name}: {''.join(traceback.format_exception(answer))}")
        return pb_utils.InferenceResponse(error=pb_utils.TritonError(f"{type(answer).__name__}: {answer}"))


def _open(args: Mapping[str, str]) -> ServedNetwork:
    settings = parameters(args)
    spec = contract_of(json.loads(args["model_config"])["name"], settings.get(BACKBONE_PARAMETER, ""))
    threads = int(settings[THREADS_PARAMETER]) or available_cores()
    if COMPILE_PARAMETER not in settings:
        from eacps.models.onnx_network import NETWORK_FILE, onnx_network

        return onnx_network(spec, version_folder(args) / NETWORK_FILE, threads)
    # Torch costs seconds and hundreds of megabytes in every process that imports it: graphs do without.
    import torch

    from eacps.models.torch_network import PROGRAM_FILE, torch_network

    torch.set_num_threads(threads)
    on_gpu = args["model_instance_kind"] == "GPU"
    device = torch.device(f"cuda:{args['model_instance_device_id']}" if on_gpu else "cpu")
    compiled = on_gpu and settings[COMPILE_PARAMETER] == "true"
    return torch_network(spec, version_folder(args) / PROGRAM_FILE, device=device, compiled=compiled)


def _warmup_shapes(args: Mapping[str, str]) -> dict[str, list[int]]:
    """Return the shapes of the warm-up's inputs, batch axis included; nothing where the configuration has none."""
    config = json.loads(args["model_config"])
    for request in config.get("model_warmup", ()):
        batch = [int(request["batch_size"])] if int(config.get("max_batch_size", 0)) else []
        return {name: [*batch, *map(int, entry["dims"])] for name, entry in request["inputs"].items()}
    return {}


def _inputs(request: Any) -> Arrays:
    return {tensor.name(): array_of(tensor) for tensor in request.inputs()}
