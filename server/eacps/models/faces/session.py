"""ONNX Runtime's session interface over any network of the tensor contract, as far as InsightFace uses it.

InsightFace's model classes take a ``session`` and call ``run``, ``get_inputs`` and ``get_outputs``. This module
knows neither Triton nor InsightFace: the network itself is a function from named arrays to named arrays.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from eacps.arrays import Arrays
from eacps.contract import output_violations
from eacps.errors import TritonModelFailed
from eacps.tensors import MODELS, ModelSpec, TensorSpec

NetworkCall = Callable[[Arrays, Sequence[str]], Arrays]
"""Inputs by name and the names of the wanted outputs, to at least those outputs by name."""


@dataclass(frozen=True)
class Port:
    """One input or output as ONNX Runtime describes it: axes that vary are names, not numbers."""

    name: str
    shape: tuple[int | str, ...]
    type: str = "tensor(float)"


class Session(Protocol):
    """The part of ``onnxruntime.InferenceSession`` that InsightFace uses."""

    def get_inputs(self) -> Sequence[Port]:
        """Describe the inputs in order."""

    def get_outputs(self) -> Sequence[Port]:
        """Describe the outputs in order."""

    def run(self, output_names: Sequence[str] | None, feeds: Arrays) -> list[NDArray[Any]]:
        """Run the network; outputs in the order of their names (of the contract, if None)."""


SessionFactory = Callable[[str], Session]
"""Name of a model of the contract to a session on it."""


class NetworkSession:
    """A session on a network of the contract.

    Args:
        spec: The network's contract. Its order of inputs and outputs is the session's.
        network: What runs it. Called with FP32 arrays only.

    Raises:
        TritonModelFailed: from ``run``, where an answer breaks the contract.
    """

    def __init__(self, spec: ModelSpec, network: NetworkCall) -> None:
        self._spec, self._network = spec, network

    def get_inputs(self) -> list[Port]:
        """Describe the inputs, batch axis included."""
        return [Port(tensor.name, self._shape(tensor)) for tensor in self._spec.inputs]

    def get_outputs(self) -> list[Port]:
        """Describe the outputs, batch axis included."""
        return [Port(tensor.name, self._shape(tensor)) for tensor in self._spec.outputs]

    def run(self, output_names: Sequence[str] | None, feeds: Arrays) -> list[NDArray[Any]]:
        """Run the network in as many calls as its largest batch asks for."""
        names = list(output_names) if output_names is not None else [port.name for port in self.get_outputs()]
        inputs = {name: np.ascontiguousarray(value, dtype=np.float32) for name, value in feeds.items()}
        if self._spec.max_batch_size == 0:
            return self._call(names, inputs)
        size, chunk = max(len(value) for value in inputs.values()), self._spec.max_batch_size
        parts = [
            self._call(names, {name: value[start : start + chunk] for name, value in inputs.items()})
            for start in range(0, size, chunk)
        ]
        return [np.concatenate(pieces) for pieces in zip(*parts, strict=True)]

    def _call(self, names: Sequence[str], inputs: Arrays) -> list[NDArray[Any]]:
        outputs = self._network(inputs, names)
        if wrong := output_violations(self._spec, inputs, outputs, names):
            raise TritonModelFailed(f"{self._spec.name} breaks the contract: {'; '.join(wrong)}; export it anew")
        return [outputs[name] for name in names]

    def _shape(self, tensor: TensorSpec) -> tuple[int | str, ...]:
        return ("batch", *tensor.axes) if self._spec.max_batch_size else tensor.axes


def sessions_over(call: Callable[[str], NetworkCall]) -> SessionFactory:
    """Turn a way to call models by name into a source of sessions."""
    return lambda name: NetworkSession(MODELS[name], call(name))
