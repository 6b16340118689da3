"""The classes studio-mini is made of, in numbers: the one place that holds them.

Every ``build_*`` returns the real diffusers or transformers class with random weights drawn from ``seed``; training
starts from these, and tests build variants. ``python -m studio_mini.architecture --output DIR`` writes a whole
checkpoint of random weights, which everything downstream can load, export and run.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from diffusers import (
    AutoencoderKLQwenImage,
    FlowMatchEulerDiscreteScheduler,
    QwenImageEditPlusPipeline,
    QwenImageTransformer2DModel,
)
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Tokenizer,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from export.backbones.qwen_image_edit.checkpoint import CheckpointSettings, assemble_pipeline
from export.backbones.qwen_image_edit.processor import EditProcessor
from studio_mini.tokenizer import train_tokenizer

PICTURE_SIZE = 128
VAE_SCALE = 8
LATENT_DEPTH = 16
LATENT_SIZE = PICTURE_SIZE // VAE_SCALE
TOKEN_GRID = LATENT_SIZE // 2
LATENT_TOKENS = TOKEN_GRID**2
PACKED_CHANNELS = 4 * LATENT_DEPTH
TEXT_CHANNELS = 128
VISION_PATCH = 16
DEFAULT_STEPS = 8
DENOISER_LAYERS = 8
"""Of a new denoiser; training that goes on from one of fewer layers adds the others."""

SETTINGS = CheckpointSettings(
    name="studio-mini",
    condition_image_area=PICTURE_SIZE**2,
    vae_image_area=PICTURE_SIZE**2,
    default_steps=DEFAULT_STEPS,
    face_pack="faces",
    face_detection_size=PICTURE_SIZE,
)

_Module = TypeVar("_Module", bound=torch.nn.Module)


def build_vae(seed: int = 0) -> AutoencoderKLQwenImage:
    """Build the autoencoder: (1, 3, 1, 128, 128) in [-1, 1] to latents (1, 16, 1, 16, 16) and back."""
    return _seeded(
        seed,
        lambda: AutoencoderKLQwenImage(
            base_dim=8,
            z_dim=LATENT_DEPTH,
            dim_mult=[1, 2, 4, 4],
            num_res_blocks=1,
            attn_scales=[],
            temperal_downsample=[False, True, True],
            latents_mean=[0.0] * LATENT_DEPTH,
            latents_std=[1.0] * LATENT_DEPTH,
        ),
    )


def build_transformer(
    seed: int = 0, *, zero_cond_t: bool = True, layers: int = DENOISER_LAYERS
) -> QwenImageTransformer2DModel:
    """Build the denoiser; ``zero_cond_t`` true as in Edit-2511, false as in Edit-2509."""
    return _seeded(
        seed,
        lambda: QwenImageTransformer2DModel(
            patch_size=2,
            in_channels=PACKED_CHANNELS,
            out_channels=LATENT_DEPTH,
            num_layers=layers,
            attention_head_dim=32,
            num_attention_heads=4,
            joint_attention_dim=TEXT_CHANNELS,
            axes_dims_rope=(8, 12, 12),
            zero_cond_t=zero_cond_t,
        ),
    )


def text_encoder_config(tokenizer: PreTrainedTokenizerFast) -> Qwen2_5_VLConfig:
    """Return the Qwen2.5-VL configuration; token ids come from ``tokenizer``."""
    ids: dict[str, int] = dict(zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True))
    vision = {
        "depth": 4,
        "hidden_size": 128,
        "intermediate_size": 256,
        "num_heads": 4,
        "patch_size": VISION_PATCH,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "window_size": 4 * VISION_PATCH,
        "out_hidden_size": TEXT_CHANNELS,
        "fullatt_block_indexes": [1, 3],
    }
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": TEXT_CHANNELS,
        "intermediate_size": 256,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 6, 6]},
        "bos_token_id": ids["<|endoftext|>"],
        "eos_token_id": ids["<|im_end|>"],
        "pad_token_id": ids["<|endoftext|>"],
    }
    return Qwen2_5_VLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
    )


def build_text_encoder(tokenizer: PreTrainedTokenizerFast, seed: int = 0) -> Qwen2_5_VLForConditionalGeneration:
    """Build text encoder and judge in one."""
    config = text_encoder_config(tokenizer)
    return _seeded(seed, lambda: Qwen2_5_VLForConditionalGeneration(config))


def build_scheduler() -> FlowMatchEulerDiscreteScheduler:
    """Build the sampler's schedule: Qwen-Image's shift, its range moved to the miniature's 64 tokens."""
    return FlowMatchEulerDiscreteScheduler(
        use_dynamic_shifting=True,
        base_image_seq_len=LATENT_TOKENS,
        max_image_seq_len=16 * LATENT_TOKENS,
        base_shift=0.5,
        max_shift=0.9,
        time_shift_type="exponential",
    )


def build_processor(tokenizer: Qwen2Tokenizer) -> EditProcessor:
    """Build the processor: 16-pixel patches, pictures resized only to multiples of 32."""
    image_processor = Qwen2VLImageProcessorPil(
        patch_size=VISION_PATCH,
        merge_size=2,
        temporal_patch_size=2,
        size={"shortest_edge": (2 * VISION_PATCH) ** 2, "longest_edge": 1024**2},
    )
    return EditProcessor(image_processor, tokenizer)


def build_pipeline(seed: int = 0, *, zero_cond_t: bool = True) -> QwenImageEditPlusPipeline:
    """Build the whole pipeline with random weights; sets diffusers' area constants to the miniature's."""
    tokenizer = train_tokenizer()
    return assemble_pipeline(
        transformer=build_transformer(seed, zero_cond_t=zero_cond_t),
        vae=build_vae(seed),
        text_encoder=build_text_encoder(tokenizer, seed),
        scheduler=build_scheduler(),
        processor=build_processor(tokenizer),
        settings=SETTINGS,
    )


def save_static_parts(checkpoint: Path) -> Qwen2Tokenizer:
    """Write everything of a checkpoint that is not trained weights; return the tokenizer."""
    checkpoint.mkdir(parents=True, exist_ok=True)
    tokenizer = train_tokenizer()
    tokenizer.save_pretrained(checkpoint / "tokenizer")
    build_processor(tokenizer).save_pretrained(checkpoint / "processor")
    build_scheduler().save_pretrained(checkpoint / "scheduler")
    SETTINGS.write(checkpoint)
    _write_model_index(checkpoint)
    return tokenizer


def save_checkpoint(checkpoint: Path, seed: int = 0, *, zero_cond_t: bool = True) -> None:
    """Write a checkpoint of random weights in diffusers' layout (without the face pack)."""
    tokenizer = save_static_parts(checkpoint)
    build_vae(seed).save_pretrained(checkpoint / "vae")
    build_text_encoder(tokenizer, seed).save_pretrained(checkpoint / "text_encoder")
    build_transformer(seed, zero_cond_t=zero_cond_t).save_pretrained(checkpoint / "transformer")


def _write_model_index(checkpoint: Path) -> None:
    """Name the classes as Qwen's own checkpoints do."""
    index = {
        "_class_name": "QwenImageEditPlusPipeline",
        "_diffusers_version": "0.42.1",
        "processor": ["transformers", "Qwen2VLProcessor"],
        "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
        "text_encoder": ["transformers", "Qwen2_5_VLForConditionalGeneration"],
        "tokenizer": ["transformers", "Qwen2Tokenizer"],
        "transformer": ["diffusers", "QwenImageTransformer2DModel"],
        "vae": ["diffusers", "AutoencoderKLQwenImage"],
    }
    (checkpoint / "model_index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def _seeded(seed: int, build: Callable[[], _Module]) -> _Module:
    """Build with weights drawn from ``seed``, leaving the global generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build().eval()


def main() -> None:
    """Write a checkpoint of random weights."""
    parser = argparse.ArgumentParser(description="Write a studio-mini checkpoint of random weights.")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-zero-cond-t", action="store_true", help="as Edit-2509 instead of Edit-2511")
    arguments = parser.parse_args()
    save_checkpoint(arguments.output, arguments.seed, zero_cond_t=not arguments.no_zero_cond_t)
    print(f"wrote {arguments.output}")


if __name__ == "__main__":
    main()
