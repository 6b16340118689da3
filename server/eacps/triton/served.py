"""Reading a model's configuration as Triton serves it: does it keep the contract, and which checkpoint is it?

The exporter writes what is particular to a checkpoint into ``parameters`` of the sampler's ``config.pbtxt``.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tritonclient.grpc import model_config_pb2

from eacps.contract import declaration_violations
from eacps.errors import TritonModelFailed
from eacps.tensors import BACKBONE_PARAMETER, SAMPLER, DType, ModelSpec, TensorSpec
from eacps.triton.types import ServedCheckpoint

_FLAGS = {"true": True, "false": False}


def check(model: ModelSpec, config: Any) -> None:
    """Compare a served configuration (``ModelConfig``) with the contract.

    Raises:
        TritonModelFailed: Names, dtypes, shapes, or decoupling differ: repository and server are of different versions.
    """
    violations = [
        *_differences("input", model.inputs, config.input),
        *_differences("output", model.outputs, config.output),
    ]
    if config.model_transaction_policy.decoupled != model.decoupled:
        violations.append(f"decoupled is {config.model_transaction_policy.decoupled}")
    if config.max_batch_size != model.max_batch_size:
        violations.append(f"max_batch_size is {config.max_batch_size}")
    if violations:
        raise TritonModelFailed(
            f"{model.name} in Triton breaks the contract ({'; '.join(violations)}); export the model repository again"
        )


def check_network(network: ModelSpec, metadata: Any) -> None:
    """Compare Triton's metadata of a network (``ModelMetadataResponse``) with the contract, for any backend.

    A backend refuses a network that differs from its configuration, so this holds for the network itself.

    Raises:
        TritonModelFailed: Names, dtypes or shapes differ.
    """
    if violations := [
        *declaration_violations(network, network.inputs, _declared(metadata.inputs)),
        *declaration_violations(network, network.outputs, _declared(metadata.outputs)),
    ]:
        raise TritonModelFailed(
            f"{network.name} in Triton breaks the contract ({'; '.join(violations)}); export the model repository again"
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
            face_swap=_FLAGS[values["face_swap"]],
            build=values["build"],
            revision=values["revision"],
            target=values["target"],
            precision=values["precision"],
            backbone=values[BACKBONE_PARAMETER],
            guidance=values["guidance"],
            judge=_FLAGS[values["judge"]],
            own_judge=_FLAGS[values["own_judge"]],
        )
    except (KeyError, ValueError) as exc:
        raise TritonModelFailed(f"{SAMPLER.name} does not say which checkpoint it serves: {exc}") from exc


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


def _declared(tensors: Any) -> dict[str, tuple[str, Sequence[int | None]]]:
    """Return dtype and shape by name; -1 for an axis that varies."""
    known = {dtype.value: dtype.numpy_name for dtype in DType}
    return {
        tensor.name: (
            known.get(tensor.datatype, tensor.datatype),
            [None if length < 0 else length for length in tensor.shape],
        )
        for tensor in tensors
    }


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
