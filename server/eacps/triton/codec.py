"""Arrays to Triton's request tensors and back, held to the contract in `eacps.tensors` in both directions.

A request that breaks the contract is a bug of ours (`ValueError`); a response that breaks it is the server's fault
(`TritonModelFailed`). Either way nothing of the wrong shape travels on.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from tritonclient.grpc import InferInput, InferResult

from eacps.errors import TritonModelFailed
from eacps.tensors import ModelSpec, TensorSpec

Array = npt.NDArray[Any]
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
        if fault := _fault(spec, array.dtype, array.shape, axes):
            raise ValueError(f"input {spec.name} of {model.name} {fault}")
        item = InferInput(spec.name, list(array.shape), spec.dtype.value)
        item.set_data_from_numpy(array)
        inputs.append(item)
    return inputs, axes


def decode(model: ModelSpec, result: InferResult, axes: Mapping[str, int]) -> dict[str, Array]:
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
    if fault := _fault(spec, array.dtype, array.shape, axes):
        raise TritonModelFailed(f"output {spec.name} of {model.name} {fault}")
    return np.asarray(array)


def _fault(spec: TensorSpec, dtype: np.dtype[Any], shape: tuple[int, ...], axes: Axes) -> str | None:
    """Say what breaks ``spec``, or None; binds named axes that were not bound yet."""
    if dtype != np.dtype(spec.dtype.numpy_name):
        return f"has dtype {dtype}, not {spec.dtype}"
    if len(shape) != len(spec.axes):
        return f"has {len(shape)} axes, not {len(spec.axes)}"
    for axis, length in zip(spec.axes, shape, strict=True):
        wanted = axes.setdefault(axis, length) if isinstance(axis, str) else axis
        if length != wanted:
            return f"has shape {list(shape)}: axis {axis!r} must measure {wanted}"
    return None


def text(value: str) -> npt.NDArray[np.uint8]:
    """Give a text as Triton's models take it: UTF-8 in a UINT8 tensor."""
    return np.frombuffer(value.encode("utf-8"), np.uint8)
