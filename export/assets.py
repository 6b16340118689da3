"""What the programs in Triton must know of the checkpoint: facts, tokenizer, rows of the language head."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from diffusers import QwenImageEditPlusPipeline
from diffusers.pipelines.qwenimage.pipeline_qwenimage_edit_plus import calculate_dimensions
from PIL import Image

from eacps.models.facts import (
    FACTS_FILE,
    JUDGE_HEAD_FILE,
    TOKENIZER_FILE,
    CheckpointFacts,
    ScheduleFacts,
    VisionFacts,
)
from eacps.models.prompt import NO, YES
from export.checkpoint import CheckpointSettings
from export.networks.text_encoder import VisionGrid
from export.processor import EditProcessor


def condition_grid(processor: EditProcessor, settings: CheckpointSettings) -> VisionGrid:
    """Return the grid of a square condition picture, as the processor itself cuts it."""
    width, height = calculate_dimensions(settings.condition_image_area, 1.0)
    cut = processor.image_processor(images=[Image.new("RGB", (width, height))], return_tensors="np")
    _, rows, columns = (int(side) for side in cut["image_grid_thw"][0])
    return VisionGrid(rows, columns)


def read_facts(pipeline: QwenImageEditPlusPipeline, settings: CheckpointSettings, version: str) -> CheckpointFacts:
    """Read the facts off a loaded pipeline; ``version`` is the digest of its files.

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
        vision=_vision_facts(pipeline.processor, settings),
        schedule=ScheduleFacts.from_scheduler_config(dict(pipeline.scheduler.config)),
    )


def write_program_assets(folder: Path, pipeline: QwenImageEditPlusPipeline, facts: CheckpointFacts) -> None:
    """Write what ``eacps.models.facts`` names into the assets folder of a program."""
    folder.mkdir()
    (folder / FACTS_FILE).write_text(facts.to_json(), encoding="utf-8")
    pipeline.tokenizer.backend_tokenizer.save(str(folder / TOKENIZER_FILE))


def write_judge_head(folder: Path, pipeline: QwenImageEditPlusPipeline) -> None:
    """Write the language head's rows for the first tokens of the two answers."""
    head = pipeline.text_encoder.lm_head.weight
    first = {name: pipeline.tokenizer(word)["input_ids"][0] for name, word in (("yes", YES), ("no", NO))}
    rows = {name: head[token].detach().float().numpy() for name, token in first.items()}
    np.savez(folder / JUDGE_HEAD_FILE, **rows)


def _vision_facts(processor: EditProcessor, settings: CheckpointSettings) -> VisionFacts:
    pictures = processor.image_processor
    grid = condition_grid(processor, settings)
    return VisionFacts(
        patch_size=pictures.patch_size,
        temporal_patch_size=pictures.temporal_patch_size,
        merge_size=pictures.merge_size,
        image_mean=tuple(pictures.image_mean),
        image_std=tuple(pictures.image_std),
        min_pixels=pictures.size["shortest_edge"],
        max_pixels=pictures.size["longest_edge"],
        grids=((grid.height, grid.width),),
    )
