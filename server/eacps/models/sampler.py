"""The sampling loop: a pure function of noise, schedule, first step and velocity.

It knows nothing of prompts, pictures, Triton or batches: ``velocity`` is handed in, and so is the question whether the
caller is still there.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import torch

from eacps.models.failures import SamplingCancelled
from eacps.models.schedule import Schedule

# (latents [N, T, C], timestep scalar in (0, 1]) -> velocity [N, T, C]
Velocity = Callable[[torch.Tensor, torch.Tensor], Awaitable[torch.Tensor]]


@dataclass(frozen=True)
class KeptLatents:
    """What an edit mask holds in place.

    Args:
        scene: FP32 [1, T, C], the scene's latents.
        free: FP32 [1, T, C], 1 where the latents may change, else 0.
        to_the_end: Whether the scene is put back after the last step of the schedule, too.
    """

    scene: torch.Tensor
    free: torch.Tensor
    to_the_end: bool = False

    def blend(self, latents: torch.Tensor, noise: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        """Put the scene, noised to ``sigma`` with each candidate's own noise, back where nothing may change."""
        noised = sigma * noise + (1.0 - sigma) * self.scene
        return (1 - self.free) * noised + self.free * latents


async def sample(
    schedule: Schedule,
    noise: torch.Tensor,
    velocity: Velocity,
    *,
    start: int = 0,
    latents: torch.Tensor | None = None,
    kept: KeptLatents | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> torch.Tensor:
    """Run the Euler steps of a flow-matching trajectory to its end.

    Args:
        schedule: Of the steps.
        noise: FP32 [N, T, C], each candidate's own.
        velocity: Evaluates the diffusion transformer.
        start: First step to run; above 0 finished pictures are restarted.
        latents: FP32 [N, T, C] of those pictures, noised to the level of ``start``; None begins with the noise.
        kept: Holds what an edit mask protects.
        cancelled: Asked before each step.

    Returns:
        FP32 [N, T, C], the latents of the pictures.

    Raises:
        SamplingCancelled: ``cancelled`` answered yes.
    """
    z = noise
    if latents is not None:
        sigma = schedule.sigmas[start]
        z = sigma * noise + (1.0 - sigma) * latents
    for step in range(start, schedule.steps):
        if cancelled():
            raise SamplingCancelled(step, schedule.steps)
        v = await velocity(z, schedule.timesteps[step])
        sigma, next_sigma = schedule.sigmas[step], schedule.sigmas[step + 1]
        z = z + (next_sigma - sigma) * v
        if kept is not None and (kept.to_the_end or step + 1 < schedule.steps):
            z = kept.blend(z, noise, next_sigma)
    return z
