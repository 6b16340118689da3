"""What the diffusion transformer sees beside latents and timestep, and how two prompts guide it."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn.functional import pad

from eacps.models.backbones.qwen_image_edit.config import Config
from eacps.models.backbones.qwen_image_edit.rope import Grid, image_rope, text_rope
from eacps.models.checkpoint_config import ServedShapes
from eacps.models.denoising import away_from
from eacps.models.failures import InvalidInput

# Texts are padded, to a bucket of the engines or else to a multiple of this, and the padding masked, so that
# evaluations for prompts of slightly different length have equal shapes and Triton can merge them.
TEXT_BUCKET = 16


@dataclass(frozen=True)
class Scene:
    """What every evaluation of an edit sees beside the latents.

    Args:
        picture_latents: FP32 [tokens, C], the packed latents of all conditioning pictures.
        grids: (rows, columns) in tokens: the result's first, then each conditioning picture's.
    """

    picture_latents: torch.Tensor
    grids: Sequence[Grid]


def rescaled(wanted: torch.Tensor, unwanted: torch.Tensor, scale: float) -> torch.Tensor:
    """Guide as the pipeline does: away from the negative prompt, then back to the positive prediction's norm."""
    guided = away_from(wanted, unwanted, scale)
    norms = torch.norm(wanted, dim=-1, keepdim=True), torch.norm(guided, dim=-1, keepdim=True)
    result: torch.Tensor = guided * (norms[0] / norms[1])
    return result


def padded_length(texts: Sequence[torch.Tensor], pictures: int, shapes: ServedShapes) -> int:
    """Length to pad all of ``texts``, [L, text channels] each, to: that of the longest, in whole buckets.

    Args:
        texts: Of one evaluation and its guidance.
        pictures: Conditioning pictures that they show.
        shapes: What the networks take.

    Raises:
        InvalidInput: There is no bucket for so long a text.
    """
    return max(text_bucket(len(text), pictures, shapes) for text in texts)


def text_bucket(tokens: int, pictures: int, shapes: ServedShapes) -> int:
    """Length to pad a text of ``tokens`` to, its ``pictures`` included; raises as `padded_length` does."""
    if not shapes.fixed:
        return -(-tokens // TEXT_BUCKET) * TEXT_BUCKET
    lengths = [length for shown, length in shapes.texts if shown == pictures]
    fitting = [length for length in lengths if length >= tokens]
    if not fitting:
        most = max(lengths, default=0)
        raise InvalidInput([f"prompt: takes {tokens} tokens with its {pictures} pictures, at most {most} fit"])
    return min(fitting)


def fixed_inputs(config: Config, scene: Scene, embeddings: torch.Tensor, text_tokens: int) -> dict[str, torch.Tensor]:
    """One row of the inputs that depend on neither latents nor timestep.

    Args:
        config: Of the checkpoint.
        scene: Conditioning pictures.
        embeddings: FP32 [L, text channels] of the prompt.
        text_tokens: Length to pad the text to, at least L; see `padded_length`.
    """
    device = embeddings.device
    return {
        "picture_latents": scene.picture_latents,
        "encoder_hidden_states": pad(embeddings, (0, 0, 0, text_tokens - len(embeddings))),
        "encoder_hidden_states_mask": (torch.arange(text_tokens) < len(embeddings)).to(device),
        "img_rope": image_rope(scene.grids, config.rope_axes, config.rope_theta).to(device),
        "txt_rope": text_rope(text_tokens, scene.grids, config.rope_axes, config.rope_theta).to(device),
    }
