"""LoRA weights, fused into the denoiser before it is exported, and the schedule that they were distilled for."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, QwenImageTransformer2DModel
from diffusers.loaders.lora_pipeline import QwenImageLoraLoaderMixin

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
            before = [weight.detach().float().sum().item() for weight in _attention_weights(transformer)]
            QwenImageLoraLoaderMixin.load_lora_into_transformer(state, transformer, adapter_name="fused")
            transformer.fuse_lora(lora_scale=self.scale, adapter_names=["fused"])
            transformer.unload_lora()
        except (KeyError, ValueError, RuntimeError, OSError) as error:
            raise UnusableLora(f"{self.file.name} cannot be fused: {error}") from error
        after = [weight.detach().float().sum().item() for weight in _attention_weights(transformer)]
        if before == after:
            raise UnusableLora(f"{self.file.name} changes nothing in this denoiser")


def schedule_named(name: str) -> dict[str, Any]:
    """Give the settings of a schedule: ``lightning``, or the path of a scheduler's JSON configuration.

    Raises:
        ValueError: There is no such schedule.
    """
    if name in SCHEDULES:
        return dict(SCHEDULES[name])
    try:
        settings = json.loads(Path(name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"no schedule {name!r}: {', '.join(SCHEDULES)}, or a scheduler's JSON file ({error})"
        ) from error
    if not isinstance(settings, dict):
        raise ValueError(f"{name} holds no scheduler's settings")  # noqa: TRY004  # as of any other unusable schedule
    return {key: value for key, value in settings.items() if not key.startswith("_")}


def scheduler_with(settings: dict[str, Any]) -> FlowMatchEulerDiscreteScheduler:
    """Build the sampler's scheduler from its settings."""
    return FlowMatchEulerDiscreteScheduler.from_config(settings)


def _attention_weights(transformer: QwenImageTransformer2DModel) -> list[torch.Tensor]:
    return [
        weight for name, weight in transformer.named_parameters() if weight.ndim == 2 and "transformer_blocks" in name
    ]
