"""A network behind Triton's Python backend: requests of a batch are run as one, and answers are held to the contract.

Knows neither Triton, which `network_adapter` does, nor what runs the network.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eacps.arrays import Arrays
from eacps.contract import output_violations
from eacps.errors import TritonModelFailed
from eacps.tensors import DType, ModelSpec

# All inputs of the contract to its outputs, with batch axis where the model has one.
Run = Callable[[Arrays], Arrays]


class ServedNetwork:
    """A network of the contract.

    Args:
        spec: Its contract.
        run: Evaluates it once.
        close: Ends what ``run`` keeps going.
    """

    def __init__(self, spec: ModelSpec, run: Run, close: Callable[[], None] = lambda: None) -> None:
        self.spec, self._evaluate, self.close = spec, run, close

    def answer(self, requests: Sequence[Arrays]) -> list[Arrays | Exception]:
        """Answer requests in as few runs as their shapes allow.

        Args:
            requests: All inputs of the contract each, with batch axis where the model has one.

        Returns:
            For each request, in order, its outputs, or what went wrong with it or its batch.
        """
        answers: list[Arrays | Exception] = [{} for _ in requests]
        for members in self._alike(requests):
            try:
                parts = self._run([requests[k] for k in members])
            except Exception as error:  # the runtimes' errors have no base of their own
                answers_of: Sequence[Arrays | Exception] = [error] * len(members)
            else:
                answers_of = parts
            for k, answer in zip(members, answers_of, strict=True):
                answers[k] = answer
        return answers

    def try_out(self, shapes: Mapping[str, Sequence[int]]) -> None:
        """Run the network once on zeros, so that one that breaks its contract is not served at all.

        Args:
            shapes: Of all inputs of the contract, with batch axis where the model has one.

        Raises:
            TritonModelFailed: An answer breaks the contract.
        """
        self._run([{spec.name: np.zeros(shapes[spec.name], spec.dtype.numpy_name) for spec in self.spec.inputs}])

    def _held_to_contract(self, feeds: Arrays, outputs: Arrays) -> Arrays:
        if wrong := output_violations(self.spec, feeds, outputs):
            raise TritonModelFailed(f"{self.spec.name} breaks the contract: {'; '.join(wrong)}; export it anew")
        return outputs

    def _alike(self, requests: Sequence[Arrays]) -> list[list[int]]:
        """Group the numbers of requests that can share a run."""
        if self.spec.max_batch_size == 0:
            return [[k] for k in range(len(requests))]
        groups: dict[tuple[tuple[int, ...], ...], list[int]] = defaultdict(list)
        for k, request in enumerate(requests):
            groups[tuple(request[tensor.name].shape[1:] for tensor in self.spec.inputs)].append(k)
        return list(groups.values())

    def _run(self, requests: Sequence[Arrays]) -> list[Arrays]:
        feeds = {
            tensor.name: _joined([request[tensor.name] for request in requests], tensor.dtype)
            for tensor in self.spec.inputs
        }
        outputs = self._held_to_contract(feeds, self._evaluate(feeds))
        if len(requests) == 1:
            return [outputs]
        sizes = [len(request[self.spec.inputs[0].name]) for request in requests]
        ends = np.cumsum(sizes)
        return [
            {name: array[end - size : end] for name, array in outputs.items()}
            for size, end in zip(sizes, ends, strict=True)
        ]


def _joined(arrays: Sequence[NDArray[Any]], dtype: DType) -> NDArray[Any]:
    joined = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
    # Where DLPack has no booleans they come as bytes.
    return joined if joined.dtype == dtype.numpy_name else joined.view(dtype.numpy_name)
