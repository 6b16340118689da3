"""``config.pbtxt`` of every model, written from the tensor contract."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from eacps.tensors import DENOISER, MODELS, DType, Kind, ModelSpec, TensorSpec

HEADER = "# Written by `python -m export.config`; the contract is server/eacps/tensors.py.\n"

# How long a request may wait for others to share its batch. A denoising step takes tens of milliseconds at least.
QUEUE_DELAY_US = {DENOISER.name: 2000}
DEFAULT_QUEUE_DELAY_US = 500

# Backend of the networks in the checked-in configurations.
EMBEDDED_BACKEND = "python"

# Parameters of the Python backend's networks; see eacps.models.onnx_adapter.
PYTHON_NETWORK_PARAMETERS = {"intra_op_num_threads": "2"}


@dataclass(frozen=True)
class ConfigDetails:
    """What a checkpoint adds to a model's configuration.

    Args:
        parameters: Strings handed to the model's ``initialize``.
        warmup: Shapes of the inputs, without batch axis, of a request of zeros that is run before the model is ready;
            empty for none.
    """

    parameters: Mapping[str, str] = field(default_factory=dict)
    warmup: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def render_config(spec: ModelSpec, network_backend: str, details: ConfigDetails | None = None) -> str:
    """Return the text of ``config.pbtxt`` for a model run by ``network_backend`` if it is a network."""
    details = details or ConfigDetails()
    backend = network_backend if spec.kind is Kind.NETWORK else "python"
    blocks = [f'name: "{spec.name}"\nbackend: "{backend}"\nmax_batch_size: {spec.max_batch_size}']
    blocks += [_tensor_block("input", tensor) for tensor in spec.inputs]
    blocks += [_tensor_block("output", tensor) for tensor in spec.outputs]
    if spec.dynamic_batching:
        delay = QUEUE_DELAY_US.get(spec.name, DEFAULT_QUEUE_DELAY_US)
        blocks.append(f"dynamic_batching {{\n  max_queue_delay_microseconds: {delay}\n}}")
    if spec.decoupled:
        blocks.append("model_transaction_policy {\n  decoupled: true\n}")
    blocks.append("instance_group [\n  {\n    kind: KIND_CPU\n    count: 1\n  }\n]")
    own = PYTHON_NETWORK_PARAMETERS if spec.kind is Kind.NETWORK and backend == "python" else {}
    for key, value in sorted({**own, **details.parameters}.items()):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        blocks.append(f'parameters {{\n  key: "{key}"\n  value {{ string_value: "{escaped}" }}\n}}')
    if details.warmup:
        blocks.append(_warmup_block(spec, details.warmup))
    return HEADER + "\n".join(blocks) + "\n"


def write_configs(folder: Path) -> None:
    """Write the checked-in configurations: those of the embedded target, before any checkpoint."""
    for spec in MODELS.values():
        path = folder / spec.name / "config.pbtxt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(render_config(spec, EMBEDDED_BACKEND), encoding="utf-8")


def _tensor_block(role: str, tensor: TensorSpec) -> str:
    lines = [f'name: "{tensor.name}"', f"data_type: {_data_type(tensor.dtype)}", f"dims: {list(tensor.dims)}"]
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


def _data_type(dtype: DType) -> str:
    return f"TYPE_{dtype.value}"


if __name__ == "__main__":
    write_configs(Path(__file__).resolve().parents[1] / "model_repository")
