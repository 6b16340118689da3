"""Read a file of LoRA weights: every tensor in it must have a known role, or the file is refused.

Loaders skip tensors that they do not know, with a line in their log, so that the served model is not the one that the
file describes. Tensor names may be diffusers' and PEFT's (``lora_A``, with the scale in the header),
Qwen-Image-Lightning's and kohya's (``lora_down``, ``alpha``), ComfyUI's (``diffusion_model.``), LyCORIS' and
OneTrainer's prefixes, or older ones of diffusers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from export.listing import listed
from export.lora_header import UnusableHeader, adapter_config, check_alpha

A, B, BIAS, MAGNITUDE = "lora_A.weight", "lora_B.weight", "lora_B.bias", "lora_magnitude_vector.weight"
ALPHA, DORA_SCALE = "alpha", "dora_scale"
ROLES = (
    (re.compile(r"\.lora_A(\.default)?\.weight$"), A),
    (re.compile(r"\.lora_B(\.default)?\.weight$"), B),
    (re.compile(r"\.lora_B(\.default)?\.bias$"), BIAS),
    (re.compile(r"\.lora_down(\.default)?\.weight$"), A),
    (re.compile(r"\.lora_up(\.default)?\.weight$"), B),
    (re.compile(r"(\.lora|_lora|\.lora_linear_layer)\.down\.weight$"), A),
    (re.compile(r"(\.lora|_lora|\.lora_linear_layer)\.up\.weight$"), B),
    (re.compile(r"\.lora_magnitude_vector(\.default)?(\.weight)?$"), MAGNITUDE),
    (re.compile(r"\.dora_scale$"), DORA_SCALE),
    (re.compile(r"\.alpha$"), ALPHA),
)
PREFIXES = ("transformer.", "model.diffusion_model.", "diffusion_model.", "lora_unet_", "lycoris_", "lora_transformer_")
FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
# Trainers that save in the precision of training write an alpha that was given as an integer as one.
INTEGERS = (torch.int64, torch.int32)
# Other kinds of adapters in such files, by a part of the tensor's name.
OTHER_KINDS = (
    ("lokr_", "LoKr"),
    ("hada_", "LoHa"),
    ("oft_", "OFT"),
    ("lora_mid", "LoCon's lora_mid"),
    ("lora_embedding_", "embeddings"),
)
TEXT_ENCODERS = ("text_encoder", "lora_te", "text_model", "te.", "te1.", "clip")


class UnusableLora(Exception):
    """The file is not a LoRA of this denoiser, or holds something that would not be applied."""


@dataclass(frozen=True)
class LoraWeights:
    """What a file adds to the modules of a denoiser.

    Args:
        tensors: In FP32, by PEFT's names: ``<module>.lora_A.weight`` (rank, in), ``<module>.lora_B.weight`` (out,
            rank), and where the file has them ``.lora_B.bias`` and ``.lora_magnitude_vector.weight`` (out).
            An ``alpha`` per module is multiplied into ``lora_A``, as diffusers does.
        config: PEFT's settings from the header, by ``LoraConfig``'s names; None where the scale is 1.
        linear_scale: False for magnitudes in ``dora_scale``, where its authors and PEFT disagree on what a scale is.
    """

    tensors: Mapping[str, torch.Tensor]
    config: Mapping[str, Any] | None
    linear_scale: bool = True

    @property
    def modules(self) -> list[str]:
        """Names of the modules, sorted."""
        return sorted({name.removesuffix(f".{A}") for name in self.tensors if name.endswith(f".{A}")})


def read_lora(file: Path, denoiser: nn.Module) -> LoraWeights:
    """Read a file, and check that all of it can be applied.

    Args:
        file: A safetensors file.
        denoiser: May be on torch's ``meta`` device: only the names and shapes of its modules are used.

    Raises:
        UnusableLora: Some of it cannot; the message names what.
    """
    try:
        with safe_open(file, "pt") as opened:
            header = opened.metadata() or {}
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118  # no mapping
    except (SafetensorError, OSError) as error:
        raise UnusableLora(f"cannot be read: {error}") from error
    _check_values(tensors)
    linear = {name: module for name, module in denoiser.named_modules() if isinstance(module, nn.Linear)}
    by_module = _sorted_by_module(tensors, linear)
    for name, parts in by_module.items():
        _check_parts(name, parts, linear[name])
    _check_magnitudes(by_module)
    if not any(_changes(parts) for parts in by_module.values()):
        raise UnusableLora("changes nothing: of every pair lora_A or lora_B is zero")
    has_alpha = any(ALPHA in parts for parts in by_module.values())
    try:
        config = adapter_config(header)
        check_alpha(config or {}, sorted(by_module))
    except UnusableHeader as error:
        raise UnusableLora(str(error)) from error
    if config is not None and has_alpha:
        raise UnusableLora("states its scale twice: as alpha tensors, and in its header")
    merged = {f"{name}.{role}": part for name, parts in by_module.items() for role, part in _merged(parts).items()}
    return LoraWeights(merged, config, not any(DORA_SCALE in parts for parts in by_module.values()))


def _check_values(tensors: Mapping[str, torch.Tensor]) -> None:
    """Refuse quantized tensors, NaN and infinity."""
    if not tensors:
        raise UnusableLora("holds no tensors")
    others = {
        name: tensor.dtype
        for name, tensor in tensors.items()
        if tensor.dtype not in FLOATS and not (tensor.dtype in INTEGERS and name.endswith(f".{ALPHA}"))
    }
    if others:
        raise UnusableLora(
            f"is quantized, which is not supported: {listed(f'{name} ({dtype})' for name, dtype in others.items())}"
        )
    if broken := [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]:
        raise UnusableLora(f"holds NaN or infinity in {listed(broken)}")


def _sorted_by_module(
    tensors: Mapping[str, torch.Tensor], linear: Mapping[str, nn.Module]
) -> dict[str, dict[str, torch.Tensor]]:
    """Return the tensors by module and role."""
    names = {name: name for name in linear} | {name.replace(".", "_"): name for name in linear}
    by_module: dict[str, dict[str, torch.Tensor]] = {}
    strangers, twice = [], []
    for key, tensor in tensors.items():
        if key.startswith("base_model.model."):
            raise UnusableLora(
                f"is in PEFT's own layout ({key}), whose scale is in another file, adapter_config.json: "
                "save it with diffusers' save_lora_weights"
            )
        module, role = _module_and_role(key)
        if module not in names:
            strangers.append(key)
        elif role in by_module.setdefault(names[module], {}):
            twice.append(key)
        else:
            by_module[names[module]][role] = tensor
    if strangers:
        raise UnusableLora(_refusal_of(strangers))
    if twice:
        raise UnusableLora(f"holds weights of one module under two names: {listed(twice)}")
    return by_module


def _module_and_role(key: str) -> tuple[str, str]:
    """Split a tensor's name into module and role; both are empty if the role is unknown."""
    found = next(((match, role) for pattern, role in ROLES if (match := pattern.search(key))), None)
    if found is None:
        return "", ""
    match, role = found
    module = key[: match.start()]
    if "processor." in module:
        # In diffusers' oldest naming, to_out means its first layer.
        module = re.sub(r"\.to_out$", ".to_out.0", module.replace(".processor.", "."))
    for prefix in PREFIXES:
        if module.startswith(prefix):
            return module.removeprefix(prefix), role
    return module, role


def _refusal_of(strangers: list[str]) -> str:
    if texts := [key for key in strangers if key.startswith(TEXT_ENCODERS)]:
        return f"has weights for the text encoder, which are not fused: {listed(texts)}"
    for part, kind in OTHER_KINDS:
        if found := [key for key in strangers if part in key]:
            return f"holds {kind}, which is not supported: {listed(found)}"
    return f"has {len(strangers)} weights that are not of this denoiser: {listed(strangers)}"


def _check_parts(name: str, parts: Mapping[str, torch.Tensor], module: nn.Linear) -> None:
    """Check that a module's tensors are complete and fit it."""
    missing = [role for role in (A, B) if role not in parts]
    if missing:
        raise UnusableLora(f"is incomplete: {name} has no {' and no '.join(missing)}")
    rank = parts[A].shape[0] if parts[A].dim() == 2 else 0
    expected: dict[str, tuple[tuple[int, ...], ...]] = {
        A: ((rank, module.in_features),),
        B: ((module.out_features, rank),),
        BIAS: ((module.out_features,),),
        MAGNITUDE: ((module.out_features,), (module.out_features, 1)),
        DORA_SCALE: ((module.out_features, 1), (module.out_features,)),
        ALPHA: ((), (1,)),
    }
    for role, shapes in expected.items():
        if role in parts and (rank == 0 or tuple(parts[role].shape) not in shapes):
            raise UnusableLora(
                f"does not fit: {name}.{role} has shape {list(parts[role].shape)}, the module {module.in_features} "
                f"inputs and {module.out_features} outputs, lora_A rank {rank}"
            )
    if BIAS in parts and module.bias is None:
        raise UnusableLora(f"does not fit: {name} has a bias in the file and none in the denoiser")
    if ALPHA in parts and not (alpha := parts[ALPHA].item()) > 0:
        raise UnusableLora(f"has alpha {alpha:g} for {name}; it must be above 0")


def _changes(parts: Mapping[str, torch.Tensor]) -> bool:
    """Return whether a module's tensors can change its weights."""
    others = [part for role, part in parts.items() if role not in (A, B, ALPHA)]
    return bool(parts[A].any() and parts[B].any()) or any(bool(part.any()) for part in others)


def _check_magnitudes(by_module: Mapping[str, Mapping[str, torch.Tensor]]) -> None:
    """Check that all modules have DoRA magnitudes or none: PEFT would compute its own for the others."""
    with_magnitude = {name for name, parts in by_module.items() if MAGNITUDE in parts or DORA_SCALE in parts}
    if with_magnitude and (without := by_module.keys() - with_magnitude):
        raise UnusableLora(f"is incomplete: DoRA magnitudes are missing for {listed(without)}")
    if both := [name for name, parts in by_module.items() if MAGNITUDE in parts and DORA_SCALE in parts]:
        raise UnusableLora(f"states its DoRA magnitudes twice for {listed(both)}")


def _merged(parts: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return a module's tensors in FP32 by PEFT's roles."""
    merged = {role: part.float() for role, part in parts.items() if role in (A, B, BIAS)}
    if ALPHA in parts:
        merged[A] = merged[A] * (parts[ALPHA].item() / merged[A].shape[0])
    for role in (MAGNITUDE, DORA_SCALE):
        if role in parts:
            merged[MAGNITUDE] = parts[role].float().reshape(-1)
    return merged
