"""What the denoiser makes of held-out tasks: identity, realism, edits followed, detail, and how far seeds differ."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from diffusers import QwenImageEditPlusPipeline
from numpy.typing import NDArray
from PIL import Image

from export.backbones.qwen_image_edit.checkpoint import encode_prompt
from studio_mini.architecture import DEFAULT_STEPS, PICTURE_SIZE
from studio_mini.faces.figures import Embed
from studio_mini.faces.pack import FacePack
from studio_mini.measure.edits import accessory_followed, expression_followed, gradient_energy
from studio_mini.measure.identity import cosine, drawn_swap, embedding
from studio_mini.measure.judge import Judge, p_natural
from studio_mini.measure.verifier import HeldOutVerifier
from studio_mini.world.tasks import Split, Task, task


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
        prior_held_out, held_out, truth_held_out: The same by the held-out verifier.
        seed_deviation: Standard deviation of the cosine over the seeds of a task.
        prior_realism, realism: P(natural) of the prior and of the generated.
        face_found: Share of generated pictures in which the detector finds a face.
        truth_error: Mean absolute difference of the generated to the drawn truth, in 8-bit levels.
        expression_seen, accessory_seen: Share of generated pictures in which the judge sees what the prompt names, over
            the tasks whose prompt names an expression, an accessory; NaN where none does.
        gradient_share: Gradient energy of the generated faces in parts of the drawn truth's.
    """

    prior_cosine: float
    cosine: float
    truth_cosine: float
    prior_held_out: float
    held_out: float
    truth_held_out: float
    seed_deviation: float
    prior_realism: float
    realism: float
    face_found: float
    truth_error: float
    expression_seen: float
    accessory_seen: float
    gradient_share: float


def attempt(
    pipeline: QwenImageEditPlusPipeline,
    pack: FacePack,
    number: int,
    seeds: int,
    *,
    shows_character: bool = False,
    steps: int = DEFAULT_STEPS,
) -> Attempt:
    """Edit held-out task ``number`` from ``seeds`` seeds, conditioned as a search does by default.

    Args:
        pipeline, pack: The checkpoint's.
        number: Of the task; its prior is the pack's, the drawn one where the pack finds no face.
        seeds: 0 to ``seeds`` - 1.
        shows_character: Whether the character's picture is a second reference.
        steps: Of the sampler.
    """
    drawn = task(number, Split.HELD_OUT)
    swapped = drawn_swap(pack, drawn.scene.picture, drawn.character.picture)
    prior = drawn.prior if swapped is None else swapped
    conditions = [Image.fromarray(prior)] + [Image.fromarray(drawn.character.picture)] * shows_character
    embeddings, mask = encode_prompt(pipeline, conditions, drawn.prompt)
    made = pipeline(
        image=conditions,
        prompt_embeds=embeddings,
        prompt_embeds_mask=mask,
        height=PICTURE_SIZE,
        width=PICTURE_SIZE,
        num_inference_steps=steps,
        true_cfg_scale=1.0,
        num_images_per_prompt=seeds,
        generator=[torch.Generator("cpu").manual_seed(seed) for seed in range(seeds)],
        output_type="np",
    ).images
    return Attempt(number, drawn, prior, np.asarray((made * 255).round(), np.uint8))


def denoiser_figures(
    attempts: list[Attempt], pack: FacePack, verifier: HeldOutVerifier, judge: Judge
) -> DenoiserFigures:
    """Measure attempts with the pack's recognizer, the held-out verifier and the judge."""
    rows = [_row(one, pack, verifier, judge) for one in attempts]
    columns = (np.array(column) for column in zip(*rows, strict=True))
    return DenoiserFigures(*(_mean(column[~np.isnan(column)]) for column in columns))


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else math.nan


def _row(one: Attempt, pack: FacePack, verifier: HeldOutVerifier, judge: Judge) -> tuple[float, ...]:
    prior, made, truth = _cosines(partial(embedding, pack), one)
    held_out_prior, held_out_made, held_out_truth = _cosines(verifier.embedding, one)
    return (
        prior,
        float(np.mean(made)),
        truth,
        held_out_prior,
        float(np.mean(held_out_made)),
        held_out_truth,
        float(np.std(made, ddof=1)),
        float(p_natural(judge, [one.prior])[0]),
        float(p_natural(judge, one.pictures).mean()),
        float(np.mean([embedding(pack, picture) is not None for picture in one.pictures])),
        float(np.abs(one.pictures.astype(np.float32) - one.drawn.truth.picture).mean()),
        expression_followed(judge, one.pictures, one.drawn.edit),
        accessory_followed(judge, one.pictures, one.drawn.edit),
        _gradient_share(one),
    )


def _gradient_share(one: Attempt) -> float:
    box = one.drawn.truth.box
    made = np.mean([gradient_energy(picture, box) for picture in one.pictures])
    return float(made) / gradient_energy(one.drawn.truth.picture, box)


def _cosines(embed: Embed, one: Attempt) -> tuple[float, list[float], float]:
    """Cosines to the character: of the prior, of each generated picture, of the truth."""
    wanted = embed(one.drawn.character.picture)
    made = [cosine(wanted, embed(picture)) for picture in one.pictures]
    return cosine(wanted, embed(one.prior)), made, cosine(wanted, embed(one.drawn.truth.picture))


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
