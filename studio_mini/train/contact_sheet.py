"""A look at the denoiser: prior, samples of several seeds, truth, for people it has never seen."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from export.backbones.qwen_image_edit.checkpoint import encode_prompt, load_pipeline
from studio_mini.architecture import DEFAULT_STEPS, PICTURE_SIZE
from studio_mini.world.tasks import Split, task


def contact_sheet(
    checkpoint: Path, *, tasks: range, seeds: int, steps: int = DEFAULT_STEPS, with_character: bool = False
) -> Image.Image:
    """Run the pipeline itself on held-out tasks; one row a task: scene, prior, samples, truth, character."""
    pipeline = load_pipeline(checkpoint)
    rows = []
    for number in tasks:
        example = task(number, Split.HELD_OUT)
        shown = [Image.fromarray(example.prior)]
        if with_character:
            shown.append(Image.fromarray(example.character.picture))
        embeds, mask = encode_prompt(pipeline, shown, example.prompt)
        samples = [
            pipeline(
                image=shown,
                prompt_embeds=embeds,
                prompt_embeds_mask=mask,
                height=PICTURE_SIZE,
                width=PICTURE_SIZE,
                num_inference_steps=steps,
                true_cfg_scale=1.0,
                generator=torch.Generator("cpu").manual_seed(seed),
                output_type="np",
            ).images[0]
            for seed in range(seeds)
        ]
        painted = [(sample * 255).round().astype(np.uint8) for sample in samples]
        print(f"task {number}: {example.prompt!r}", flush=True)
        rows.append(
            np.concatenate(
                [example.scene.picture, example.prior, *painted, example.truth.picture, example.character.picture], 1
            )
        )
    return Image.fromarray(np.concatenate(rows))


def main() -> None:
    """Write a contact sheet."""
    parser = argparse.ArgumentParser(description="Draw prior, samples and truth for held-out tasks.")
    parser.add_argument("--checkpoint", type=Path, default=Path("studio_mini/checkpoint"))
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--tasks", type=int, default=8)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--steps", type=int, default=DEFAULT_STEPS)
    parser.add_argument("--with-character", action="store_true")
    arguments = parser.parse_args()
    sheet = contact_sheet(
        arguments.checkpoint,
        tasks=range(arguments.first, arguments.first + arguments.tasks),
        seeds=arguments.seeds,
        steps=arguments.steps,
        with_character=arguments.with_character,
    )
    sheet.save(arguments.output)


if __name__ == "__main__":
    main()
