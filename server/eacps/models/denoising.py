"""Velocities of a batch of candidates: the denoiser under one conditioning, and guidance by a second one."""

import asyncio
from collections.abc import Callable, Mapping

import torch

from eacps.models.networks import Network, chunks
from eacps.models.sampler import Velocity


class ConditionedDenoiser:
    """The denoiser under one conditioning.

    Inputs that stay the same over the steps are laid out once; rows are sent in chunks of the largest batch.

    Args:
        denoise: The network; it takes ``latents``, ``timestep`` and the fixed inputs.
        fixed: One row of the inputs that depend on neither latents nor timestep, without batch axis, by name.
        count: Candidates.
        max_batch: Most rows of one call.
    """

    def __init__(self, denoise: Network, fixed: Mapping[str, torch.Tensor], *, count: int, max_batch: int) -> None:
        self._denoise, self._count, self._most = denoise, count, max_batch
        size = min(count, max_batch)
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
        inputs["latents"] = latents
        inputs["timestep"] = timestep.to(latents.device).expand(count, 1).contiguous()
        return await self._denoise(inputs)


def away_from(wanted: torch.Tensor, unwanted: torch.Tensor, scale: float) -> torch.Tensor:
    """Classifier-free guidance: from the negative prompt's prediction past the positive one's."""
    return unwanted + scale * (wanted - unwanted)


class GuidedDenoiser:
    """True CFG: two evaluations a step.

    Args:
        positive, negative: The same candidates under the two prompts.
        scale: Above 1.
        combine: Of both predictions and the scale makes the velocity; pipelines differ in it.
    """

    def __init__(
        self,
        positive: Velocity,
        negative: Velocity,
        scale: float,
        combine: Callable[[torch.Tensor, torch.Tensor, float], torch.Tensor] = away_from,
    ) -> None:
        self._positive, self._negative, self._scale, self._combine = positive, negative, scale, combine

    async def __call__(self, latents: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        """Velocity [N, T, C] of latents [N, T, C]; both evaluations are in flight together."""
        wanted, unwanted = await asyncio.gather(self._positive(latents, timestep), self._negative(latents, timestep))
        return self._combine(wanted, unwanted, self._scale)
