"""The sampling loop: a pure function of noise, schedule, range of steps and velocity.

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
        to_the_end: Whether the scene is put back after the last step of the schedule, too, and into ``x0``.
    """

    scene: torch.Tensor
    free: torch.Tensor
    to_the_end: bool = False

    def blend(self, latents: torch.Tensor, noise: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        """Put the scene, noised to ``sigma`` with each candidate's own noise, back where nothing may change."""
        noised = sigma * noise + (1.0 - sigma) * self.scene
        return (1 - self.free) * noised + self.free * latents


@dataclass(frozen=True)
class Trajectory:
    """A range of a schedule.

    Args:
        schedule: The full schedule.
        start, stop: Steps [start, stop) are run; 0 <= start < stop <= schedule.steps.
        restart: Whether it begins with a picture, noised to the level of ``start``, instead of where one stopped.
    """

    schedule: Schedule
    start: int
    stop: int
    restart: bool = False


@dataclass(frozen=True)
class Sample:
    """Where a trajectory stopped.

    Args:
        latents: FP32 [N, T, C] at ``stop``; a later range goes on from them.
        x0: FP32 [N, T, C], ``z - sigma v`` of the last velocity computed; at the schedule's end equal to ``latents``.
    """

    latents: torch.Tensor
    x0: torch.Tensor


async def sample(
    trajectory: Trajectory,
    noise: torch.Tensor,
    velocity: Velocity,
    *,
    latents: torch.Tensor | None = None,
    kept: KeptLatents | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Sample:
    """Run the Euler steps of a flow-matching trajectory.

    Args:
        trajectory: Which steps of which schedule.
        noise: FP32 [N, T, C], each candidate's own.
        velocity: Evaluates the diffusion transformer.
        latents: FP32 [N, T, C] at ``trajectory.start``, of a restart those of the picture; None starts from the noise.
        kept: Holds what an edit mask protects.
        cancelled: Asked before each step.

    Raises:
        SamplingCancelled: ``cancelled`` answered yes.
    """
    schedule = trajectory.schedule
    z = noise if latents is None else latents
    if trajectory.restart:
        sigma = schedule.sigmas[trajectory.start]
        z = sigma * noise + (1.0 - sigma) * z
    x0 = z
    for step in range(trajectory.start, trajectory.stop):
        if cancelled():
            raise SamplingCancelled(step, schedule.steps)
        v = await velocity(z, schedule.timesteps[step])
        sigma, next_sigma = schedule.sigmas[step], schedule.sigmas[step + 1]
        x0 = z - sigma * v
        z = z + (next_sigma - sigma) * v
        if kept is not None and (kept.to_the_end or step + 1 < schedule.steps):
            z = kept.blend(z, noise, next_sigma)
    if kept is not None and kept.to_the_end:
        x0 = kept.blend(x0, noise, torch.zeros(()))
    return Sample(latents=z, x0=x0)
