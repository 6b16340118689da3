"""Check dtypes and shapes of the tensors of a model against its contract in `eacps.tensors`.

One rule for all who check: the client, the exporter's parity gate, and the models in Triton.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from eacps.tensors import ModelSpec, TensorSpec

BATCH = "batch"


class Tensor(Protocol):
    """What is checked of an array; numpy's arrays are such tensors."""

    @property
    def dtype(self) -> object:
        """Its name is ``str(dtype)``, such as ``float32``."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of every axis."""


def violation(
    spec: TensorSpec, dtype: str, shape: Sequence[int | str | None], lengths: dict[str, int], *, batched: bool = False
) -> str | None:
    """Return how a tensor violates its specification; None if it does not.

    Args:
        spec: Of the tensor.
        dtype: Its dtype, as numpy names it.
        shape: Its axes; one that is no number is unknown and breaks nothing.
        lengths: Of the named axes known so far; those of this tensor are added.
        batched: Whether the model has a batch axis before those of the specification.
    """
    axes = (BATCH, *spec.axes) if batched else spec.axes
    if dtype != spec.dtype.numpy_name:
        return f"has dtype {dtype} instead of {spec.dtype.numpy_name}"
    wanted = [lengths.get(axis) if isinstance(axis, str) else axis for axis in axes]
    if len(shape) != len(axes) or any(
        isinstance(length, int) and want not in (length, None) for want, length in zip(wanted, shape, strict=True)
    ):
        known = [f"{axis}={lengths[axis]}" if axis in lengths else axis for axis in axes]
        return f"has shape {_in_words(shape)} instead of {_in_words(known)}"
    lengths.update(
        {
            axis: length
            for axis, length in zip(axes, shape, strict=True)
            if isinstance(axis, str) and isinstance(length, int)
        }
    )
    return None


def output_violations(
    model: ModelSpec,
    inputs: Mapping[str, Tensor],
    outputs: Mapping[str, Tensor],
    names: Collection[str] | None = None,
) -> list[str]:
    """Return which outputs of a model break its contract, and how.

    Args:
        model: The model.
        inputs: Of one run, by name, batch axis included; they bind the named axes.
        outputs: Of the same run, by name.
        names: Of the outputs that were asked for; None for all.
    """
    lengths, batched = _lengths(model, inputs), model.max_batch_size > 0
    found = []
    for spec in model.outputs if names is None else map(model.output, names):
        tensor = outputs.get(spec.name)
        wrong = (
            "is missing"
            if tensor is None
            else violation(spec, str(tensor.dtype), tensor.shape, lengths, batched=batched)
        )
        if wrong is not None:
            found.append(f"output {spec.name} {wrong}")
    return found


def declaration_violations(
    model: ModelSpec, specs: Sequence[TensorSpec], declared: Mapping[str, tuple[str, Sequence[int | str | None]]]
) -> list[str]:
    """Return which inputs or outputs a network declares otherwise than its contract.

    Args:
        model: The network.
        specs: Its inputs, or its outputs.
        declared: Dtype and shape by name; axes that vary are no numbers.
    """
    kind = "input" if specs == model.inputs else "output"
    batched = model.max_batch_size > 0
    found = [
        f"{kind} {spec.name} {wrong}"
        for spec in specs
        if (
            wrong := violation(spec, *declared[spec.name], {}, batched=batched)
            if spec.name in declared
            else "is missing"
        )
    ]
    known = {spec.name for spec in specs}
    return [*found, *(f"{kind} {name} is unknown" for name in declared if name not in known)]


def _lengths(model: ModelSpec, inputs: Mapping[str, Tensor]) -> dict[str, int]:
    """Return the lengths of the named axes that the inputs bind; of inputs that disagree, the first counts."""
    lengths: dict[str, int] = {}
    for spec in model.inputs:
        if spec.name not in inputs:
            continue
        axes = (BATCH, *spec.axes) if model.max_batch_size else spec.axes
        for axis, length in zip(axes, inputs[spec.name].shape, strict=False):
            if isinstance(axis, str):
                lengths.setdefault(axis, length)
    return lengths


def _in_words(axes: Sequence[int | str | None]) -> str:
    return f"[{', '.join('?' if axis is None else str(axis) for axis in axes)}]"
