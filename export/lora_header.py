"""PEFT's settings in the header of a LoRA file, as diffusers' ``save_lora_weights`` writes them."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from diffusers.loaders.lora_base import LORA_ADAPTER_METADATA_KEY
from peft import LoraConfig

PART = "transformer."
# Settings that decide what is added to the weights; they are passed to PEFT.
APPLIED = (
    "r",
    "lora_alpha",
    "rank_pattern",
    "alpha_pattern",
    "use_rslora",
    "use_dora",
    "lora_bias",
    "target_modules",
    "exclude_modules",
    "layers_to_transform",
    "layers_pattern",
)
SWITCHES = ("use_rslora", "use_dora", "lora_bias")
# Training settings and notes, which change nothing here. ``peft_type`` and ``init_lora_weights`` are checked.
WITHOUT_EFFECT = (
    "auto_mapping",
    "base_model_name_or_path",
    "inference_mode",
    "lora_dropout",
    "megatron_config",
    "megatron_core",
    "peft_version",
    "revision",
    "runtime_config",
    "task_type",
)
# Other initializations (PiSSA, OLoRA, LoftQ, ...) change the base weights.
PLAIN_INITIALIZATIONS = (True, False, None, "gaussian", "orthogonal")


class UnusableHeader(ValueError):
    """The header asks for something that is not supported, or cannot be read."""


def adapter_config(header: Mapping[str, str]) -> dict[str, Any] | None:
    """Read PEFT's settings from a safetensors header.

    Args:
        header: The file's ``__metadata__``.

    Returns:
        Settings by ``LoraConfig``'s names, those that have an effect; None where the header has none.

    Raises:
        UnusableHeader: A setting is malformed, or is one that is not supported.
    """
    text = header.get(LORA_ADAPTER_METADATA_KEY)
    if not text:
        return None
    settings = _settings_of_the_denoiser(text)
    if (kind := settings.pop("peft_type", None)) not in (None, "LORA"):
        raise UnusableHeader(f"its header says it is {kind}, not LoRA")
    if (initialization := settings.pop("init_lora_weights", None)) not in PLAIN_INITIALIZATIONS:
        raise UnusableHeader(f"its header says init_lora_weights={initialization!r}, which changes the base weights")
    defaults = {field.name: _default_of(field) for field in dataclasses.fields(LoraConfig)}
    unsupported = {
        name: value
        for name, value in settings.items()
        if name not in (*APPLIED, *WITHOUT_EFFECT) and value and value != defaults.get(name)
    }
    if unsupported:
        raise UnusableHeader(f"its header asks for {unsupported}, which is not supported")
    _check_values(settings)
    return {name: settings[name] for name in APPLIED if settings.get(name) is not None}


def _settings_of_the_denoiser(text: str) -> dict[str, Any]:
    try:
        settings = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnusableHeader(f"{LORA_ADAPTER_METADATA_KEY} in its header is not JSON: {error}") from error
    if not isinstance(settings, dict) or not settings:
        raise UnusableHeader(f"{LORA_ADAPTER_METADATA_KEY} in its header holds no settings")
    # save_lora_weights writes the part before each name, save_lora_adapter does not.
    if others := sorted(name for name in settings if "." in name and not name.startswith(PART)):
        raise UnusableHeader(f"its header has settings of another part than the denoiser: {', '.join(others)}")
    return {name.removeprefix(PART): value for name, value in settings.items()}


def _check_values(settings: Mapping[str, Any]) -> None:
    """Check that ranks and alphas are present and positive, and switches are on or off. JSON readers accept NaN."""
    for name in SWITCHES:
        if not isinstance(settings.get(name) or False, bool):
            raise UnusableHeader(f"its header has {name}={settings[name]!r}, which is neither true nor false")
    for name in ("r", "lora_alpha"):
        _check_number(name, settings.get(name))
    for name in ("rank_pattern", "alpha_pattern"):
        pattern = settings.get(name) or {}
        if not isinstance(pattern, dict):
            raise UnusableHeader(f"its header has {name}={pattern!r}, which is not a mapping")
        for module, value in pattern.items():
            _check_number(f"{name}[{module}]", value)


def check_alpha(settings: Mapping[str, Any], modules: Sequence[str]) -> None:
    """Check that it is one alpha that every module has.

    PEFT takes the first pattern that matches, and diffusers sorts them as it saves: which one was first in training is
    lost.

    Raises:
        UnusableHeader: Patterns with different alphas match a module.
    """
    try:
        forms = {key: re.compile(rf"(.*\.)?({key})") for key in settings.get("alpha_pattern") or {}}
    except re.error as error:
        raise UnusableHeader(f"its header has an alpha_pattern that is no regular expression: {error}") from error
    for module in modules:
        found = {key: settings["alpha_pattern"][key] for key, form in forms.items() if form.fullmatch(module)}
        if len(set(found.values())) > 1:
            raise UnusableHeader(f"its header has several values in alpha_pattern for {module}: {found}")


def _check_number(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise UnusableHeader(f"its header has {name}={value!r}, which is not a number above 0")


def _default_of(field: dataclasses.Field[Any]) -> object:
    return field.default if field.default is not dataclasses.MISSING else None
