"""What the denoiser makes of held-out tasks: identity against the prior's, realism, and how far seeds differ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from diffusers import QwenImageEditPlusPipeline
from numpy.typing import NDArray
from PIL import Image

from export.checkpoint import encode_prompt
from export.studio_mini.architecture import DEFAULT_STEPS, PICTURE_SIZE
from export.studio_mini.faces.pack import FacePack
from export.studio_mini.measure.identity import cosine, drawn_swap, embedding
from export.studio_mini.measure.judge import Judge, p_natural
from export.studio_mini.world.tasks import Split, Task, task


@dataclass(frozen=True, eq=False)
class Attempt:
    """One held-out task: its number, the drawn task, the prior used, and pictures uint8 [S, 128, 128, 3] by seed."""

    number: int
    drawn: Task
    prior: NDArray[np.uint8]
    pictures: NDArray[np.uint8]


@dataclass(frozen=True)
class DenoiserFigures:
    """Means over tasks.

    Attributes:
        prior_cosine, cosine, truth_cosine: To the character: of the prior, of the generated, of the drawn truth.
        seed_deviation: Standard deviation of the cosine over the seeds of a task.
        prior_realism, realism: P(natural) of the prior and of the generated.
        face_found: Share of generated pictures in which the detector finds a face.
        truth_error: Mean absolute difference of the generated to the drawn truth, in 8-bit levels.
    """

    prior_cosine: float
    cosine: float
    truth_cosine: float
    seed_deviation: float
    prior_realism: float
    realism: float
    face_found: float
    truth_error: float


def attempt(pipeline: QwenImageEditPlusPipeline, pack: FacePack | None, number: int, seeds: int) -> Attempt:
    """Edit held-out task ``number`` from ``seeds`` seeds, with the pack's prior, or the drawn one without a pack."""
    drawn = task(number, Split.HELD_OUT)
    prior = drawn.prior
    if pack is not None:
        swapped = drawn_swap(pack, drawn.scene.picture, drawn.character.picture)
        prior = drawn.prior if swapped is None else swapped
    conditions = [Image.fromarray(prior), Image.fromarray(drawn.character.picture)]
    embeddings, mask = encode_prompt(pipeline, conditions, drawn.prompt)
    made = pipeline(
        image=conditions,
        prompt_embeds=embeddings,
        prompt_embeds_mask=mask,
        height=PICTURE_SIZE,
        width=PICTURE_SIZE,
        num_inference_steps=DEFAULT_STEPS,
        true_cfg_scale=1.0,
        num_images_per_prompt=seeds,
        generator=[torch.Generator("cpu").manual_seed(seed) for seed in range(seeds)],
        output_type="np",
    ).images
    return Attempt(number, drawn, prior, np.asarray((made * 255).round(), np.uint8))


def denoiser_figures(attempts: list[Attempt], pack: FacePack, judge: Judge) -> DenoiserFigures:
    """Measure attempts with the pack's recogniser and the judge."""
    rows = [_row(one, pack, judge) for one in attempts]
    return DenoiserFigures(*(float(value) for value in np.mean(rows, axis=0)))


def _row(one: Attempt, pack: FacePack, judge: Judge) -> tuple[float, ...]:
    wanted = embedding(pack, one.drawn.character.picture)
    seen = [embedding(pack, picture) for picture in one.pictures]
    cosines = [cosine(wanted, face) for face in seen]
    return (
        cosine(wanted, embedding(pack, one.prior)),
        float(np.mean(cosines)),
        cosine(wanted, embedding(pack, one.drawn.truth.picture)),
        float(np.std(cosines, ddof=1)),
        float(p_natural(judge, [one.prior])[0]),
        float(p_natural(judge, one.pictures).mean()),
        float(np.mean([face is not None for face in seen])),
        float(np.abs(one.pictures.astype(np.float32) - one.drawn.truth.picture).mean()),
    )


def contact_sheet(attempts: list[Attempt], seeds: int, scale: int = 1) -> Image.Image:
    """Lay out one task a row: scene, character, prior, ``seeds`` generated pictures, truth."""
    rows = [
        np.concatenate(
            [
                one.drawn.scene.picture,
                one.drawn.character.picture,
                one.prior,
                *one.pictures[:seeds],
                one.drawn.truth.picture,
            ],
            axis=1,
        )
        for one in attempts
    ]
    sheet = Image.fromarray(np.concatenate(rows))
    return sheet.resize((sheet.width * scale, sheet.height * scale), Image.Resampling.LANCZOS)
