"""`sampler`: conditioning, noise, trajectory and decoding of one request, whatever the backbone."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from eacps.models.backbones.backbone import BaseBackbone
from eacps.models.mask import composite, feathered
from eacps.models.noise import recipe_noise
from eacps.models.pixels import to_uint8
from eacps.models.request import EditRequest
from eacps.models.sampler import KeptLatents, sample


@dataclass(frozen=True)
class Edited:
    """Result of a request.

    Args:
        pictures: UINT8 [N, H, W, 3].
        latents: FP32 [N, tokens, channels] of them.
    """

    pictures: torch.Tensor
    latents: torch.Tensor


class Editor:
    """Edits pictures with the networks of one checkpoint, behind its backbone."""

    def __init__(self, backbone: BaseBackbone[Any]) -> None:
        self._backbone = backbone

    async def edit(self, request: EditRequest, cancelled: Callable[[], bool] = lambda: False) -> Edited:
        """Run one request.

        Raises:
            InvalidInput: The prompt is too long, or the pictures have a size the networks were not exported for.
            SamplingCancelled: ``cancelled`` answered yes before a step.
            NetworkFailed: A network did.
        """
        velocity, kept = await asyncio.gather(self._backbone.velocity(request), self._kept(request))
        noise = recipe_noise(request.recipes, self._backbone.config.noise_shape(*request.size))
        schedule = self._backbone.schedule(request.steps, noise.shape[1])
        latents = await sample(
            schedule,
            noise,
            velocity,
            start=request.start,
            latents=request.latents,
            kept=kept,
            cancelled=cancelled,
        )
        return Edited(pictures=await self._pictures(latents, request), latents=latents)

    async def _kept(self, request: EditRequest) -> KeptLatents | None:
        if request.edit_mask is None or request.scene is None:
            return None
        return KeptLatents(
            scene=(await self._backbone.scene_latents(request.scene))[None],
            free=self._backbone.free_latents(request.edit_mask),
            to_the_end=self._backbone.keeps_to_the_end,
        )

    async def _pictures(self, latents: torch.Tensor, request: EditRequest) -> torch.Tensor:
        pictures = to_uint8(await self._backbone.decode(latents, *request.size))
        if request.edit_mask is None or request.scene is None:
            return pictures
        return composite(request.scene, pictures, feathered(request.edit_mask))
