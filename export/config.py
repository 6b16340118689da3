"""``config.pbtxt`` of every model, written from the tensor contract."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from eacps.tensors import MODELS, DType, Kind, ModelSpec, TensorSpec
from export.targets import EMBEDDED, Placement

HEADER = "# Written by `python -m export.config`; the contract is server/eacps/tensors.py.\n"

# How long a request may wait for others to share its batch. A denoising step takes tens of milliseconds at least.
QUEUE_DELAY_US = {"denoiser": 2000}
DEFAULT_QUEUE_DELAY_US = 500

# Programs keep their tensors on the host: what they do with them is small beside the networks.
PROGRAM = Placement("python", "KIND_CPU")


@dataclass(frozen=True)
class ConfigDetails:
    """What a checkpoint adds to a model's configuration.

    Args:
        parameters: Strings handed to the model's ``initialize``.
        warmup: Shapes of the inputs, without batch axis, of a request of zeros that is run before the model is ready;
            empty for none.
        max_batch: Largest batch, for models that have one; None for the contract's.
        dims: Shapes of inputs and outputs where they are more than the contract says, batch axis included.
        profiles: Optimization profiles of its engine, all served by one instance: the weights are loaded once.
    """

    parameters: Mapping[str, str] = field(default_factory=dict)
    warmup: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    max_batch: int | None = None
    profiles: int = 0
    dims: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def render_config(spec: ModelSpec, network: Placement, details: ConfigDetails | None = None) -> str:
    """Return the text of ``config.pbtxt`` for a model that is run as ``network`` says if it is one."""
    details = details or ConfigDetails()
    placement = network if spec.kind is Kind.NETWORK else PROGRAM
    blocks = [_head(spec, placement, details)]
    batch_axes = 1 if spec.max_batch_size else 0
    dims = {name: shape[batch_axes:] for name, shape in details.dims.items()}
    blocks += [_tensor_block("input", tensor, dims) for tensor in spec.inputs]
    blocks += [_tensor_block("output", tensor, dims) for tensor in spec.outputs]
    if spec.dynamic_batching:
        delay = QUEUE_DELAY_US.get(spec.name, DEFAULT_QUEUE_DELAY_US)
        blocks.append(f"dynamic_batching {{\n  max_queue_delay_microseconds: {delay}\n}}")
    if spec.decoupled:
        blocks.append("model_transaction_policy {\n  decoupled: true\n}")
    blocks.append(_instance_block(placement, details))
    for key, value in sorted({**placement.parameters, **details.parameters}.items()):
        blocks.append(f'parameters {{\n  key: "{key}"\n  value {{ string_value: "{_escaped(value)}" }}\n}}')
    if details.warmup:
        blocks.append(_warmup_block(spec, details.warmup))
    return HEADER + "\n".join(blocks) + "\n"


def write_configs(folder: Path) -> None:
    """Write the checked-in configurations: those of the embedded target, before any checkpoint."""
    for spec in MODELS.values():
        path = folder / spec.name / "config.pbtxt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(render_config(spec, EMBEDDED.where), encoding="utf-8")


def _head(spec: ModelSpec, placement: Placement, details: ConfigDetails) -> str:
    largest = min(spec.max_batch_size, details.max_batch or spec.max_batch_size)
    lines = [f'name: "{spec.name}"', f'backend: "{placement.backend}"', f"max_batch_size: {largest}"]
    if placement.file:
        lines.append(f'default_model_filename: "{placement.file}"')
    return "\n".join(lines)


def _instance_block(placement: Placement, details: ConfigDetails) -> str:
    lines = [f"kind: {placement.kind}", "count: 1"]
    if details.profiles:
        numbers = ", ".join(f'"{number}"' for number in range(details.profiles))
        lines.append(f"profile: [ {numbers} ]")
    body = "\n".join(f"    {line}" for line in lines)
    return f"instance_group [\n  {{\n{body}\n  }}\n]"


def _tensor_block(role: str, tensor: TensorSpec, dims: Mapping[str, tuple[int, ...]]) -> str:
    shape = list(dims.get(tensor.name, tensor.dims))
    lines = [f'name: "{tensor.name}"', f"data_type: {_data_type(tensor.dtype)}", f"dims: {shape}"]
    if tensor.optional:
        lines.append("optional: true")
    body = "\n".join(f"    {line}" for line in lines)
    return f"{role} [\n  {{\n{body}\n  }}\n]"


def _warmup_block(spec: ModelSpec, shapes: Mapping[str, tuple[int, ...]]) -> str:
    lines = ['  name: "zeros"', f"  batch_size: {1 if spec.max_batch_size else 0}"]
    for name, shape in shapes.items():
        dtype = _data_type(spec.input(name).dtype)
        lines.append(
            f'  inputs {{\n    key: "{name}"\n'
            f"    value {{ data_type: {dtype} dims: {list(shape)} zero_data: true }}\n  }}"
        )
    return "model_warmup {\n" + "\n".join(lines) + "\n}"


def _escaped(value: str) -> str:
    """Write a string as protobuf's text format takes it between quotes."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _data_type(dtype: DType) -> str:
    return f"TYPE_{dtype.value}"


if __name__ == "__main__":
    write_configs(Path(__file__).resolve().parents[1] / "model_repository")
