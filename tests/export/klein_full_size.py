"""Configurations of FLUX.2 klein 4B at its published size, without weights.

Blocks, widths and text encoder as in the makers' own ``Klein4BParams`` (github.com/black-forest-labs/flux2) and in
Qwen3-4B's ``config.json``.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKLFlux2, Flux2Transformer2DModel
from transformers import Qwen3Config

from studio_mini.tokenizer import train_tokenizer
from tests.models.klein import CHAT, scheduler

TRANSFORMER = {
    "num_layers": 5,
    "num_single_layers": 20,
    "num_attention_heads": 24,
    "joint_attention_dim": 3 * 2560,
    "guidance_embeds": False,
}
TEXT = {
    "vocab_size": 151936,
    "hidden_size": 2560,
    "intermediate_size": 9728,
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "tie_word_embeddings": True,
}


def write_configurations(folder: Path) -> Path:
    """Write a checkpoint without weights; only its tokenizer is small."""
    folder.mkdir()
    with torch.device("meta"):
        Flux2Transformer2DModel(**TRANSFORMER).save_config(folder / "transformer")
        AutoencoderKLFlux2().save_config(folder / "vae")
    Qwen3Config(**TEXT).save_pretrained(folder / "text_encoder")
    scheduler().save_pretrained(folder / "scheduler")
    tokenizer = train_tokenizer()
    tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(folder / "tokenizer")
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "Flux2KleinPipeline", "is_distilled": True}))
    return folder
