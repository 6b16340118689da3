"""Whether a checkpoint's files hold what its configuration describes.

The parity gate proves that a graph equals the module that it was made of. A module with random weights would pass it,
and that is what loaders make of files with missing tensors, with a line in their log. So the headers of all files are
compared with the modules before anything is computed, and every weight must be a finite number.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diffusers
import torch
from safetensors import safe_open
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from export.checkpoint import Part
from export.library_warnings import heard_warnings
from export.listing import listed
from export.weight_files import FLOATS, UnusableWeights, WeightFiles, find_weight_files

# Settings by which libraries mark weights that are stored in another form than they are computed with.
QUANTIZATION = ("quantization_config", "compression_config", "quantization")
ADAPTER_FILE = "adapter_config.json"
# Settings of published checkpoints that decide nothing: one that no release has used, and precisions.
WITHOUT_EFFECT = ("pooled_projection_dim", "force_upcast", "dtype", "torch_dtype")
Shapes = Mapping[str, tuple[int, ...]]


def check_configurations(checkpoint: Path, parts: Mapping[str, Part]) -> None:
    """Check that every part is of the class that is served, and is not quantized.

    Args:
        checkpoint: Its folder.
        parts: Those with weights, by name.

    Raises:
        UnusableWeights: One is not; the message names it.
    """
    for name, part in parts.items():
        file = checkpoint / name / "config.json"
        try:
            config = json.loads(file.read_text(encoding="utf-8"))
            found = config.get(part.class_key)
        except (OSError, ValueError, AttributeError) as error:
            raise UnusableWeights(f"{file} cannot be read: {error}") from error
        if found != part.class_name:
            raise UnusableWeights(f"{file} is of {found}; served is {part.class_name}")
        if (key := next((key for key in QUANTIZATION if config.get(key)), None)) is not None:
            raise UnusableWeights(f"{file}: the {name} is quantized ({_method(config[key])}), which is not supported")
        if unknown := _unknown_settings(config, part):
            raise UnusableWeights(f"{file} has settings that diffusers does not know and would ignore: {unknown}")
        if (checkpoint / name / ADAPTER_FILE).exists():
            raise UnusableWeights(f"{file.parent} holds an adapter ({ADAPTER_FILE}): fuse it, or name it with --lora")


def _unknown_settings(config: Mapping[str, Any], part: Part) -> dict[str, Any]:
    """Return settings that are set and that a class of diffusers does not take, though the model may depend on them.

    An earlier release ignored ``zero_cond_t`` of Qwen-Image-Edit-2511 with a warning, and made other pictures
    (huggingface/diffusers#12889).
    """
    if (cls := getattr(diffusers, part.class_name, None)) is None:
        return {}
    known = {*inspect.signature(cls.__init__).parameters, *WITHOUT_EFFECT}
    return {key: value for key, value in config.items() if value and not key.startswith("_") and key not in known}


def _method(settings: Any) -> str:
    named = settings if isinstance(settings, dict) else {}
    return str(named.get("quant_method") or named.get("method") or settings)


def check_headers(
    checkpoint: Path, modules: Mapping[str, nn.Module], parts: Mapping[str, Part]
) -> dict[str, WeightFiles]:
    """Compare the headers of all files with the modules.

    Args:
        checkpoint: Its folder.
        modules: The parts by name, without weights.
        parts: Their files, by name.

    Returns:
        The files of each part.

    Raises:
        UnusableWeights: Tensors are missing, unexpected, of another shape or quantized; the message names them.
    """
    found = {name: find_weight_files(checkpoint / name, part.stem) for name, part in parts.items()}
    for name, files in found.items():
        counters = {key for key, tensor in modules[name].state_dict().items() if not tensor.is_floating_point()}
        foreign = {
            key: one.dtype for key, one in files.tensors.items() if one.dtype not in FLOATS and key not in counters
        }
        if others := [f"{key} ({dtype})" for key, dtype in foreign.items()]:
            raise UnusableWeights(f"{files.folder}: the {name} is quantized, which is not supported: {listed(others)}")
        shapes = {key: one.shape for key, one in files.tensors.items()}
        module = modules[name]
        if isinstance(module, PreTrainedModel):
            differences = _differences_of_transformers(module, shapes)
        else:
            differences = _differences(module, shapes)
        if differences:
            raise UnusableWeights(f"{files.folder} does not hold the {name} that it describes: {differences}")
    return found


def check_values(files: WeightFiles) -> None:
    """Read every weight of a part, and check that it is a finite number.

    Raises:
        UnusableWeights: One is not; the message names its tensor.
    """
    broken = []
    by_file: dict[Path, list[str]] = {}
    for name, tensor in files.tensors.items():
        by_file.setdefault(tensor.file, []).append(name)
    for file, names in by_file.items():
        with safe_open(file, "pt") as opened:
            broken += [name for name in names if not _is_finite(opened.get_tensor(name))]
    if broken:
        raise UnusableWeights(f"{files.folder} holds NaN or infinity in {listed(broken)}")


def check_tied(files: WeightFiles, config: PretrainedConfig) -> None:
    """Check that a language head that the configuration ties to the embeddings equals them, where the files hold both.

    Raises:
        UnusableWeights: It is another.
    """
    pair = [name for name in files.tensors if name.endswith(("lm_head.weight", "embed_tokens.weight"))]
    if config.tie_word_embeddings and len(pair) == 2:
        first, second = (_read(files.tensors[name].file, name) for name in pair)
        if not torch.equal(first, second):
            raise UnusableWeights(
                f"{files.folder}: its configuration ties {' and '.join(sorted(pair))}, and its files hold two different"
            )


def _read(file: Path, name: str) -> torch.Tensor:
    with safe_open(file, "pt") as opened:
        return opened.get_tensor(name)


def _is_finite(tensor: torch.Tensor) -> bool:
    # A sum is not finite where a term is not, and needs no memory; only one that overflowed is checked in full.
    return bool(torch.isfinite(tensor.sum(dtype=torch.float64))) or bool(torch.isfinite(tensor).all())


def _differences(module: nn.Module, shapes: Shapes) -> str:
    """Return which tensors of a diffusers module are missing, unexpected or of another shape; empty for none."""
    expected = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    reshaped = {name: (shapes[name], shape) for name, shape in expected.items() if shapes.get(name, shape) != shape}
    return _report(expected.keys() - shapes.keys(), shapes.keys() - expected.keys(), reshaped)


def _differences_of_transformers(module: PreTrainedModel, shapes: Shapes) -> str:
    """Return the same for a module of transformers, from the library's loader, which renames tensors and ties some."""
    empty = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    with heard_warnings() as warned:
        loaded: Any = type(module).from_pretrained(
            None,
            config=module.config,
            state_dict=empty,
            device_map="meta",
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    _, info = loaded
    reshaped = {name: (tuple(stored), tuple(shape)) for name, stored, shape in info["mismatched_keys"]}
    return _report(info["missing_keys"], info["unexpected_keys"], reshaped) or "; ".join(warned)


def _report(missing: Any, unexpected: Any, reshaped: Mapping[str, tuple[Any, Any]]) -> str:
    shapes = [f"{name} {list(stored)} instead of {list(shape)}" for name, (stored, shape) in reshaped.items()]
    groups = (("missing", missing), ("unexpected", unexpected), ("of another shape", shapes))
    return "; ".join(f"{what}: {listed(names)}" for what, names in groups if names)
