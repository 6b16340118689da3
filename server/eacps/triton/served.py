"""Reading a model's configuration as Triton serves it: does it keep the contract, and which checkpoint is it?

The exporter writes what is particular to a checkpoint into ``parameters`` of the sampler's ``config.pbtxt``.
"""

import json
from collections.abc import Mapping
from typing import Any

from tritonclient.grpc import model_config_pb2

from eacps.errors import TritonModelFailed
from eacps.tensors import QWEN_EDIT, ModelSpec, TensorSpec
from eacps.triton.types import ServedCheckpoint


def check(model: ModelSpec, config: Any) -> None:
    """Compare a served configuration (``ModelConfig``) with the contract.

    Raises:
        TritonModelFailed: Names, dtypes, shapes, or decoupling differ: repository and server are of different versions.
    """
    faults = [
        *_differences("input", model.inputs, config.input),
        *_differences("output", model.outputs, config.output),
    ]
    if config.model_transaction_policy.decoupled != model.decoupled:
        faults.append(f"decoupled is {config.model_transaction_policy.decoupled}")
    if config.max_batch_size != model.max_batch_size:
        faults.append(f"max_batch_size is {config.max_batch_size}")
    if faults:
        raise TritonModelFailed(
            f"{model.name} in Triton breaks the contract ({'; '.join(faults)}); export the model repository anew"
        )


def describe(config: Any, *, triton_version: str) -> ServedCheckpoint:
    """Read which checkpoint the sampler serves from its configuration (``ModelConfig``).

    Raises:
        TritonModelFailed: The configuration does not say.
    """
    values = {name: parameter.string_value for name, parameter in config.parameters.items()}
    try:
        channels, height, width = (int(length) for length in values["latent_shape"].split(","))
        return ServedCheckpoint(
            name=values["checkpoint"],
            fingerprint=values["fingerprint"],
            width=int(values["width"]),
            height=int(values["height"]),
            default_steps=int(values["default_steps"]),
            latent_shape=(channels, height, width),
            noise_version=values["noise_version"],
            triton_version=triton_version,
            calibration=_calibration(values.get("calibration")),
            sizes=_sizes(values),
            max_pictures=int(values["max_pictures"]),
            build=values["build"],
            revision=values["revision"],
            target=values["target"],
            precision=values["precision"],
        )
    except (KeyError, ValueError) as exc:
        raise TritonModelFailed(f"{QWEN_EDIT.name} does not say which checkpoint it serves: {exc}") from exc


def _calibration(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    data = json.loads(text)
    if not isinstance(data, dict):
        raise ValueError("its calibration is no JSON object")  # noqa: TRY004  # as of any other unreadable parameter
    return data


def _sizes(values: Mapping[str, str]) -> tuple[tuple[int, int], ...]:
    """Read "WIDTHxHEIGHT,..."; the first must be the default size."""
    default = int(values["width"]), int(values["height"])
    text = values.get("sizes", f"{default[0]}x{default[1]}")
    sizes = []
    for one in text.split(","):
        width, height = (int(side) for side in one.split("x"))
        if min(width, height) < 1:
            raise ValueError(f"its sizes hold {one}")
        sizes.append((width, height))
    if sizes[0] != default:
        raise ValueError(f"its sizes {text} do not begin with its default one, {default[0]}x{default[1]}")
    return tuple(sizes)


def _differences(kind: str, specs: tuple[TensorSpec, ...], served: Any) -> list[str]:
    wanted = {spec.name: (f"TYPE_{spec.dtype}", spec.dims, spec.optional) for spec in specs}
    found = {
        tensor.name: (
            model_config_pb2.DataType.Name(tensor.data_type),
            tuple(tensor.dims),
            bool(getattr(tensor, "optional", False)),
        )
        for tensor in served
    }
    return [
        f"{kind} {name} is {found.get(name, 'absent')}, not {wanted.get(name, 'known')}"
        for name in sorted(wanted.keys() | found.keys())
        if wanted.get(name) != found.get(name)
    ]
