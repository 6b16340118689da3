"""The velocity of a batch of candidates: the diffusion transformer under one prompt, or two with true CFG."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn.functional import pad

from eacps.models.facts import CheckpointFacts, ServedShapes
from eacps.models.failures import InvalidInput
from eacps.models.networks import Network, chunks
from eacps.models.rope import Grid, image_rope, text_rope

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


class PromptedDenoiser:
    """The diffusion transformer with everything fixed but latents and timestep.

    Inputs that stay the same over the steps are laid out once; rows are sent in chunks of the largest batch.

    Args:
        denoise: The network ``tensors.DENOISER``.
        facts: Of its checkpoint.
        scene: Conditioning pictures.
        embeddings: FP32 [L, text channels] of the prompt.
        count: Candidates.
        text_tokens: Length to pad the text to, at least L; see `padded_length`.
    """

    def __init__(
        self,
        denoise: Network,
        facts: CheckpointFacts,
        scene: Scene,
        embeddings: torch.Tensor,
        *,
        count: int,
        text_tokens: int,
    ) -> None:
        self._denoise, self._count = denoise, count
        self._pictures = scene.picture_latents
        rows, columns = scene.grids[0]
        self._tokens = rows * columns
        fixed = _fixed_inputs(facts, scene, embeddings, text_tokens)
        self._most = facts.shapes.max_batch
        size = min(count, self._most)
        self._fixed = {name: row.expand(size, *row.shape).contiguous() for name, row in fixed.items()}

    async def __call__(self, latents: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        """Velocity [N, T, C] of latents [N, T, C]."""
        parts = await asyncio.gather(
            *(self._evaluate(latents[rows], timestep) for rows in chunks(self._count, self._most))
        )
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    async def _evaluate(self, latents: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        count = len(latents)
        inputs = {name: rows[:count] for name, rows in self._fixed.items()}
        inputs["hidden_states"] = torch.cat([latents, self._pictures.expand(count, -1, -1)], dim=1)
        inputs["timestep"] = timestep.to(latents.device).expand(count, 1).contiguous()
        return (await self._denoise(inputs))[:, : self._tokens]


class GuidedDenoiser:
    """True CFG as the pipeline does it: away from the negative prompt, rescaled to the positive prediction's norm.

    Args:
        positive, negative: The same scene and candidates under the two prompts.
        scale: Above 1.
    """

    def __init__(self, positive: PromptedDenoiser, negative: PromptedDenoiser, scale: float) -> None:
        self._positive, self._negative, self._scale = positive, negative, scale

    async def __call__(self, latents: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        """Velocity [N, T, C] of latents [N, T, C]; two evaluations, in flight together."""
        wanted, unwanted = await asyncio.gather(self._positive(latents, timestep), self._negative(latents, timestep))
        guided = unwanted + self._scale * (wanted - unwanted)
        norms = torch.norm(wanted, dim=-1, keepdim=True), torch.norm(guided, dim=-1, keepdim=True)
        rescaled: torch.Tensor = guided * (norms[0] / norms[1])
        return rescaled


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


def _fixed_inputs(
    facts: CheckpointFacts, scene: Scene, embeddings: torch.Tensor, text_tokens: int
) -> dict[str, torch.Tensor]:
    """One row of the inputs that depend on neither latents nor timestep."""
    device = embeddings.device
    rows, columns = scene.grids[0]
    conditioning = torch.ones(len(scene.picture_latents), dtype=torch.int64)
    return {
        "encoder_hidden_states": pad(embeddings, (0, 0, 0, text_tokens - len(embeddings))),
        "encoder_hidden_states_mask": (torch.arange(text_tokens) < len(embeddings)).to(device),
        "img_rope": image_rope(scene.grids, facts.rope_axes, facts.rope_theta).to(device),
        "txt_rope": text_rope(text_tokens, scene.grids, facts.rope_axes, facts.rope_theta).to(device),
        "modulate_index": torch.cat([torch.zeros(rows * columns, dtype=torch.int64), conditioning]).to(device),
    }
