"""LoRA weights, fused into the denoiser before it is exported, and the schedule that they were distilled for."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, QwenImageTransformer2DModel
from diffusers.loaders.lora_pipeline import QwenImageLoraLoaderMixin

from export.request import InvalidOption

# Qwen-Image-Lightning's 4- and 8-step weights were distilled at a constant shift of 3.
LIGHTNING_SCHEDULE: dict[str, Any] = {
    "base_image_seq_len": 256,
    "base_shift": math.log(3),
    "max_image_seq_len": 8192,
    "max_shift": math.log(3),
    "num_train_timesteps": 1000,
    "shift": 1.0,
    "shift_terminal": None,
    "time_shift_type": "exponential",
    "use_dynamic_shifting": True,
}
SCHEDULES = {"lightning": LIGHTNING_SCHEDULE}


class UnusableLora(Exception):
    """The file holds no LoRA of this denoiser."""


@dataclass(frozen=True)
class Lora:
    """One file of LoRA weights.

    Args:
        file: A safetensors file, in diffusers' naming or that of Qwen-Image-Lightning (``lora_down``, ``alpha``).
        scale: Factor on its effect.
    """

    file: Path
    scale: float = 1.0

    def fuse_into(self, transformer: QwenImageTransformer2DModel) -> None:
        """Add the weights to the denoiser's own, in the precision in which those are.

        Raises:
            UnusableLora: Nothing in the file fits, or no weight changed.
        """
        try:
            state = QwenImageLoraLoaderMixin.lora_state_dict(str(self.file.parent), weight_name=self.file.name)
            _check_all_fit(state, transformer, self.file.name)
            before = _sums(transformer)
            QwenImageLoraLoaderMixin.load_lora_into_transformer(state, transformer, adapter_name="fused")
            transformer.fuse_lora(lora_scale=self.scale, adapter_names=["fused"])
            transformer.unload_lora()
        except (KeyError, ValueError, RuntimeError, OSError) as error:
            raise UnusableLora(f"{self.file.name} cannot be fused: {error}") from error
        if _sums(transformer) == before:
            raise UnusableLora(f"{self.file.name} changes nothing in this denoiser")


def schedule_named(name: str) -> dict[str, Any]:
    """Give the settings of a schedule: ``lightning``, or the path of a scheduler's JSON configuration.

    Raises:
        InvalidOption: There is no such schedule.
    """
    if name in SCHEDULES:
        return dict(SCHEDULES[name])
    try:
        settings = json.loads(Path(name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidOption(
            f"no schedule {name!r}: {', '.join(SCHEDULES)}, or a scheduler's JSON file ({error})"
        ) from error
    if not isinstance(settings, dict):
        raise InvalidOption(f"{name} holds no scheduler's settings")
    return {key: value for key, value in settings.items() if not key.startswith("_")}


def scheduler_with(settings: dict[str, Any]) -> FlowMatchEulerDiscreteScheduler:
    """Build the sampler's scheduler from its settings."""
    return FlowMatchEulerDiscreteScheduler.from_config(settings)


def _check_all_fit(state: Mapping[str, torch.Tensor], transformer: QwenImageTransformer2DModel, name: str) -> None:
    """See that every weight of the file has its module: diffusers passes over the others with a line in its log.

    Raises:
        UnusableLora: Some have none.
    """
    modules = dict(transformer.named_modules())
    named = {key: key.removeprefix("transformer.").rpartition(".lora_")[0] for key in state}
    strange = sorted(key for key, module in named.items() if not module or module not in modules)
    if strange:
        raise UnusableLora(f"{name} has {len(strange)} weights that are not of this denoiser, such as {strange[0]}")


def _sums(transformer: QwenImageTransformer2DModel) -> list[float]:
    return [weight.detach().double().sum().item() for weight in transformer.parameters()]
