"""What the programs in Triton must know of the checkpoint: facts, tokenizer, rows of the language head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from safetensors import safe_open
from transformers import Qwen2Tokenizer

from eacps.models.facts import (
    FACTS_FILE,
    JUDGE_HEAD_FILE,
    TOKENIZER_FILE,
    CheckpointFacts,
    ScheduleFacts,
    ServedShapes,
    UnsupportedCheckpoint,
    VisionFacts,
)
from eacps.models.prompt import NO, YES
from export.checkpoint import CheckpointSettings, EditPipeline

# Names of the language head's weights, and of the embeddings that stand for it where the two are tied.
HEAD_WEIGHTS = ("lm_head.weight",)
TIED_WEIGHTS = ("model.embed_tokens.weight", "model.language_model.embed_tokens.weight")


def read_facts(
    pipeline: EditPipeline, settings: CheckpointSettings, version: str, shapes: ServedShapes
) -> CheckpointFacts:
    """Read the facts off a pipeline, with weights or without.

    Args:
        pipeline: As `export.checkpoint` puts it together.
        settings: What the checkpoint says of itself.
        version: Digest of what decides its pictures.
        shapes: That its networks are exported for.

    Raises:
        UnsupportedCheckpoint: The scheduler does what the sampler cannot.
    """
    rope = pipeline.transformer.pos_embed
    return CheckpointFacts(
        name=settings.name,
        version=version,
        vae_scale=pipeline.vae_scale_factor,
        latent_depth=pipeline.latent_channels,
        condition_image_area=settings.condition_image_area,
        vae_image_area=settings.vae_image_area,
        default_steps=settings.default_steps,
        rope_axes=tuple(rope.axes_dim),
        rope_theta=rope.theta,
        edit_template=pipeline.prompt_template_encode,
        template_tokens=pipeline.prompt_template_encode_start_idx,
        vision=vision_facts(pipeline),
        schedule=ScheduleFacts.from_scheduler_config(dict(pipeline.scheduler.config)),
        shapes=shapes,
    )


def write_program_assets(folder: Path, pipeline: EditPipeline, facts: CheckpointFacts) -> None:
    """Write what ``eacps.models.facts`` names into the assets folder of a program."""
    folder.mkdir()
    (folder / FACTS_FILE).write_text(facts.to_json(), encoding="utf-8")
    pipeline.tokenizer.backend_tokenizer.save(str(folder / TOKENIZER_FILE))


def write_judge_head(folder: Path, checkpoint: Path, tokenizer: Qwen2Tokenizer) -> None:
    """Write the language head's rows for the first tokens of the two answers.

    Only those rows are read: the head of the full-size checkpoint takes two gigabytes.
    """
    first = {name: tokenizer(word)["input_ids"][0] for name, word in (("yes", YES), ("no", NO))}
    files = sorted((checkpoint / "text_encoder").glob("*.safetensors"))
    np.savez(folder / JUDGE_HEAD_FILE, **_head_rows(files, first))


def _head_rows(files: Sequence[Path], rows: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Read rows of the language head, or of the token embeddings where the two are one."""
    for names in (HEAD_WEIGHTS, TIED_WEIGHTS):
        for file in files:
            with safe_open(file, "pt") as weights:
                found = next((name for name in names if name in weights.keys()), None)  # noqa: SIM118  # no mapping
                if found is not None:
                    head = weights.get_slice(found)
                    return {name: head[row : row + 1][0].float().numpy() for name, row in rows.items()}
    raise UnsupportedCheckpoint("the text encoder has neither a language head nor token embeddings")


def vision_facts(pipeline: EditPipeline) -> VisionFacts:
    """Read off how pictures become patches."""
    pictures, tower = pipeline.processor.image_processor, pipeline.text_encoder.config.vision_config
    return VisionFacts(
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
