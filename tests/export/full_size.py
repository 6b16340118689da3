"""Configurations of Qwen-Image-Edit-2511 at its published size, without weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderKLQwenImage, FlowMatchEulerDiscreteScheduler, QwenImageTransformer2DModel
from transformers import Qwen2_5_VLConfig
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from export.prepared import PreparedCheckpoint, prepare
from export.request import ExportRequest, gather

TEXT = {
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "vocab_size": 152064,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0, "mrope_section": [16, 24, 24]},
}
VISION = {
    "depth": 32,
    "hidden_size": 1280,
    "intermediate_size": 3420,
    "num_heads": 16,
    "patch_size": 14,
    "window_size": 112,
    "out_hidden_size": 3584,
    "fullatt_block_indexes": [7, 15, 23, 31],
}


def write_configurations(folder: Path, checkpoint: Path) -> None:
    """Write a checkpoint without weights; tokenizer and model index are those of ``checkpoint``, studio-mini."""
    folder.mkdir()
    with torch.device("meta"):
        QwenImageTransformer2DModel(zero_cond_t=True).save_config(folder / "transformer")
        AutoencoderKLQwenImage().save_config(folder / "vae")
    # The tokenizer numbers the tokens of pictures.
    small = json.loads((checkpoint / "text_encoder" / "config.json").read_text(encoding="utf-8"))
    ids = {key: number for key, number in small.items() if key.endswith("_token_id")}
    Qwen2_5_VLConfig(text_config=TEXT, vision_config=VISION, **ids).save_pretrained(folder / "text_encoder")
    FlowMatchEulerDiscreteScheduler().save_pretrained(folder / "scheduler")
    shutil.copytree(checkpoint / "processor", folder / "processor")
    Qwen2VLImageProcessorPil(size={"shortest_edge": 3136, "longest_edge": 12845056}).save_pretrained(
        folder / "processor"
    )
    shutil.copy(checkpoint / "model_index.json", folder)


def planned(folder: Path, faces: Path, target: str) -> PreparedCheckpoint:
    """Prepare such a checkpoint for a target, with a face pack from elsewhere."""
    return prepare(gather(ExportRequest(str(folder), target=target, faces=str(faces)), weights=False))
