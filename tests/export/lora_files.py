"""LoRA files of every kind, and what diffusers itself makes of them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import QwenImageEditPlusPipeline, QwenImageTransformer2DModel
from diffusers.training_utils import _collate_lora_metadata
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file

Tensors = dict[str, torch.Tensor]
MODULES = tuple(
    f"transformer_blocks.{block}.{name}"
    for block in range(2)
    for name in ("attn.to_q", "attn.to_out.0", "attn.add_q_proj", "attn.to_add_out", "img_mlp.net.2", "txt_mod.1")
)
TOP_LEVEL = ("img_in", "proj_out", "norm_out.linear", "time_text_embed.timestep_embedder.linear_1")


def save_as_diffusers(folder: Path, transformer: QwenImageTransformer2DModel, **settings: Any) -> Path:
    """Train nothing, but save as diffusers' training scripts do: random weights of an adapter with these settings."""
    trained = copy.deepcopy(transformer)
    torch.manual_seed(5)
    trained.add_adapter(LoraConfig(init_lora_weights=False, **settings))
    state = get_peft_model_state_dict(trained)
    for name, tensor in state.items():
        # Magnitudes begin as the norms of the plain weights, and a DoRA has moved them.
        tensor.mul_(1 + 0.2 * torch.rand_like(tensor)) if "magnitude" in name else tensor.normal_(std=0.3)
    QwenImageEditPlusPipeline.save_lora_weights(
        folder, transformer_lora_layers=state, **_collate_lora_metadata({"transformer": trained})
    )
    return folder / "pytorch_lora_weights.safetensors"


def pairs(
    transformer: QwenImageTransformer2DModel, modules: tuple[str, ...] = MODULES, *, ranks: tuple[int, ...] = (4, 2)
) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Return random (down, up) by module, the ranks by turns."""
    generator = torch.Generator().manual_seed(1)
    drawn = {}
    for index, name in enumerate(modules):
        rows, columns = transformer.get_submodule(name).weight.shape
        rank = ranks[index % len(ranks)]
        drawn[name] = (
            torch.randn(rank, columns, generator=generator),
            torch.randn(rows, rank, generator=generator) * 0.1,
        )
    return drawn


def save_named(
    path: Path,
    drawn: Mapping[str, tuple[torch.Tensor, torch.Tensor]],
    name: str,
    down: str,
    up: str,
    alpha: str | None,
    dtype: torch.dtype = torch.float32,
) -> Path:
    """Write pairs under the names of some trainer.

    Args:
        path: File.
        drawn: (down, up) by module.
        name: Of a module, with ``{dotted}`` or ``{flat}``.
        down, up, alpha: What follows it; None for no alpha.
        dtype: Of the weights.
    """
    state: Tensors = {}
    for index, (module, (a, b)) in enumerate(drawn.items()):
        key = name.format(dotted=module, flat=module.replace(".", "_"))
        state |= {key + down: a.to(dtype), key + up: b.to(dtype)}
        if alpha is not None:
            state[key + alpha] = torch.tensor(1.0 + index, dtype=dtype)
    save_file(state, path)
    return path


def fused_by_diffusers(transformer: QwenImageTransformer2DModel, file: Path, scale: float = 1.0) -> Tensors:
    """Return the parameters after diffusers' own load_lora_weights and fuse_lora. ``transformer`` is not modified."""
    own = copy.deepcopy(transformer)
    parts = dict.fromkeys(("scheduler", "vae", "text_encoder", "tokenizer", "processor"))
    pipeline = QwenImageEditPlusPipeline(**parts, transformer=own)
    pipeline.load_lora_weights(str(file.parent), weight_name=file.name)
    pipeline.fuse_lora(lora_scale=scale)
    pipeline.unload_lora_weights()
    return parameters(own)


def parameters(transformer: QwenImageTransformer2DModel) -> Tensors:
    """Return copies of all parameters by name."""
    return {name: weight.detach().clone() for name, weight in transformer.named_parameters()}
