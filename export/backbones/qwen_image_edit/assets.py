"""What the programs in Triton must know of the checkpoint: its configuration, tokenizer, rows of the language head."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors import safe_open
from transformers import Qwen2_5_VLConfig, Qwen2Tokenizer

from eacps.models.backbones.qwen_image_edit.config import JUDGE_HEAD_FILE, Config, VisionConfig
from eacps.models.backbones.qwen_image_edit.prompt import NO, YES
from eacps.models.checkpoint_config import CONFIG_FILE, TOKENIZER_FILE, Guidance, ScheduleConfig, ServedShapes
from export.backbones.qwen_image_edit.checkpoint import (
    JUDGE_PART,
    PARTS,
    CheckpointSettings,
    EditPipeline,
    has_judge,
)
from export.weight_files import UnusableWeights, find_weight_files

# Names of the language head's weights, and of the embeddings, which are the head too where the two are tied.
HEAD_WEIGHTS = "lm_head.weight"
TIED_WEIGHTS = ("model.embed_tokens.weight", "model.language_model.embed_tokens.weight")


def read_checkpoint_config(
    pipeline: EditPipeline, settings: CheckpointSettings, version: str, shapes: ServedShapes
) -> Config:
    """Read the configuration off a pipeline, with weights or without.

    Args:
        pipeline: As `export.checkpoint` puts it together.
        settings: What the checkpoint says of itself.
        version: Digest of what decides its pictures.
        shapes: That its networks are exported for.

    Raises:
        UnsupportedCheckpoint: The scheduler does what the sampler cannot.
    """
    rope = pipeline.transformer.pos_embed
    return Config(
        name=settings.name,
        version=version,
        vae_scale=pipeline.vae_scale_factor,
        latent_depth=pipeline.latent_channels,
        patch_size=pipeline.transformer.config.patch_size,
        guidance=Guidance.TRUE_CFG,
        condition_image_area=settings.condition_image_area,
        vae_image_area=settings.vae_image_area,
        default_steps=settings.default_steps,
        rope_axes=tuple(rope.axes_dim),
        rope_theta=rope.theta,
        edit_template=pipeline.prompt_template_encode,
        template_tokens=pipeline.prompt_template_encode_start_idx,
        vision=vision_config(pipeline),
        schedule=ScheduleConfig.from_scheduler_config(dict(pipeline.scheduler.config)),
        shapes=shapes,
        own_judge=hasattr(pipeline, JUDGE_PART),
    )


def write_program_assets(folder: Path, pipeline: EditPipeline, checkpoint_config: Config) -> None:
    """Write what the sampler reads into its assets folder, which is made."""
    folder.mkdir()
    (folder / CONFIG_FILE).write_text(checkpoint_config.to_json(), encoding="utf-8")
    write_tokenizer(folder, pipeline)


def write_tokenizer(folder: Path, pipeline: EditPipeline) -> None:
    """Write the checkpoint's fast tokenizer."""
    pipeline.tokenizer.backend_tokenizer.save(str(folder / TOKENIZER_FILE))


def write_judge_head(folder: Path, checkpoint: Path, tokenizer: Qwen2Tokenizer) -> None:
    """Write the language head's rows for the first tokens of the two answers: the judge's, or the text encoder's.

    Only those rows are read: the head of the full-size checkpoint takes two gigabytes.

    Raises:
        UnusableWeights: Its files have no language head, nor embeddings that are tied to it.
    """
    first = {name: tokenizer(word)["input_ids"][0] for name, word in (("yes", YES), ("no", NO))}
    part = JUDGE_PART if has_judge(checkpoint) else "text_encoder"
    files = find_weight_files(checkpoint / part, PARTS[part].stem)
    tied = TIED_WEIGHTS if Qwen2_5_VLConfig.from_pretrained(checkpoint / part).tie_word_embeddings else ()
    name = next((name for name in (HEAD_WEIGHTS, *tied) if name in files.tensors), None)
    if name is None:
        raise UnusableWeights(f"{checkpoint / part} holds no language head")
    with safe_open(files.tensors[name].file, "pt") as weights:
        head = weights.get_slice(name)
        rows = {answer: head[row : row + 1][0].float().numpy() for answer, row in first.items()}
    np.savez(folder / JUDGE_HEAD_FILE, **rows)


def vision_config(pipeline: EditPipeline) -> VisionConfig:
    """Read off how pictures become patches."""
    pictures, tower = pipeline.processor.image_processor, pipeline.text_encoder.config.vision_config
    return VisionConfig(
        patch_size=pictures.patch_size,
        temporal_patch_size=pictures.temporal_patch_size,
        merge_size=pictures.merge_size,
        image_mean=tuple(pictures.image_mean),
        image_std=tuple(pictures.image_std),
        min_pixels=pictures.size["shortest_edge"],
        max_pixels=pictures.size["longest_edge"],
        window_size=tower.window_size,
        head_width=tower.hidden_size // tower.num_heads,
        rope_theta=tower.rope_parameters["rope_theta"],
    )
