"""Arrays to Triton's request tensors and back, held to the contract in `eacps.tensors` in both directions.

A request that breaks the contract is a bug of ours (`ValueError`); a response that breaks it is the server's fault
(`TritonModelFailed`). Either way nothing of the wrong shape travels on.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from tritonclient.grpc import InferInput, InferResult

from eacps.arrays import Array
from eacps.contract import violation
from eacps.errors import TritonModelFailed
from eacps.tensors import ModelSpec, TensorSpec

Axes = dict[str, int]


def encode(model: ModelSpec, arrays: Mapping[str, Array]) -> tuple[list[InferInput], Axes]:
    """Build the inputs of one request.

    Args:
        model: Whose inputs.
        arrays: By tensor name, of the dtype and shape the contract says. Optional inputs may be left out.

    Returns:
        The inputs in the contract's order, and the length of every named axis.

    Raises:
        ValueError: An array is missing, unknown, or breaks the contract.
    """
    if unknown := sorted(set(arrays) - {spec.name for spec in model.inputs}):
        raise ValueError(f"{model.name} takes no input {', '.join(unknown)}")
    inputs, axes = [], Axes()
    for spec in model.inputs:
        array = arrays.get(spec.name)
        if array is None:
            if not spec.optional:
                raise ValueError(f"{model.name} needs the input {spec.name}")
            continue
        if wrong := violation(spec, str(array.dtype), array.shape, axes):
            raise ValueError(f"input {spec.name} of {model.name} {wrong}")
        item = InferInput(spec.name, list(array.shape), spec.dtype.value)
        item.set_data_from_numpy(array)
        inputs.append(item)
    return inputs, axes


def outputs_of(model: ModelSpec, result: InferResult, axes: Mapping[str, int]) -> dict[str, Array]:
    """Read all outputs of one response.

    Args:
        model: Whose outputs.
        result: Triton's response.
        axes: Lengths of the request's named axes; outputs that share a name must agree.

    Returns:
        Arrays by tensor name, read-only.

    Raises:
        TritonModelFailed: An output is missing or breaks the contract.
    """
    known = dict(axes)
    return {spec.name: _decode_one(model, spec, result, known) for spec in model.outputs}


def _decode_one(model: ModelSpec, spec: TensorSpec, result: InferResult, axes: Axes) -> Array:
    try:
        array = result.as_numpy(spec.name)
    except ValueError as exc:  # fewer bytes than the shape promises
        raise TritonModelFailed(f"output {spec.name} of {model.name} cannot be read: {exc}") from exc
    if array is None:
        raise TritonModelFailed(f"{model.name} answered without its output {spec.name}")
    if wrong := violation(spec, str(array.dtype), array.shape, axes):
        raise TritonModelFailed(f"output {spec.name} of {model.name} {wrong}")
    return np.asarray(array)


def utf8(value: str) -> npt.NDArray[np.uint8]:
    """Return a text as Triton's models take it: UTF-8 in a UINT8 tensor."""
    return np.frombuffer(value.encode("utf-8"), np.uint8)
