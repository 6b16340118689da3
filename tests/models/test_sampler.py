from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from eacps.models.checkpoint_config import ScheduleConfig
from eacps.models.failures import SamplingCancelled
from eacps.models.sampler import KeptLatents, sample
from eacps.models.schedule import make_schedule

SCHEDULE = make_schedule(ScheduleConfig(shift=2.0), 6, 0.0)
NOISE = torch.randn(3, 4, 8, generator=torch.Generator().manual_seed(1))


async def velocity(latents: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
    return torch.sin(3.0 * latents) + timestep


async def run(**options: Any) -> torch.Tensor:
    return await sample(SCHEDULE, NOISE, velocity, **options)


async def test_a_straight_path_arrives_at_its_end() -> None:
    target = torch.full_like(NOISE, 0.25)

    async def straight(_latents: torch.Tensor, _timestep: torch.Tensor) -> torch.Tensor:
        return NOISE - target

    torch.testing.assert_close(await sample(SCHEDULE, NOISE, straight), target, rtol=0, atol=1e-6)


async def test_what_a_mask_keeps_is_the_scene_under_the_candidates_own_noise() -> None:
    scene, free, seen = torch.full((1, 4, 8), 0.5), torch.zeros(1, 4, 8), []

    async def watched(latents: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        seen.append(latents)
        return await velocity(latents, timestep)

    await sample(SCHEDULE, NOISE, watched, kept=KeptLatents(scene, free))
    sigma = SCHEDULE.sigmas[3]
    assert torch.equal(seen[3], sigma * NOISE + (1 - sigma) * scene)


async def test_the_scene_is_put_back_after_the_last_step_only_where_the_pipeline_does_so() -> None:
    kept = KeptLatents(torch.full((1, 4, 8), 9.0), torch.zeros(1, 4, 8))
    assert (await run(kept=kept)).max() < 9.0
    assert torch.equal(await run(kept=replace(kept, to_the_end=True)), kept.scene.expand_as(NOISE))


async def test_a_restart_begins_where_diffusers_puts_a_picture_that_it_is_given() -> None:
    scheduler = FlowMatchEulerDiscreteScheduler(shift=2.0)
    scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / 6, 6))
    picture = torch.rand(3, 4, 8, generator=torch.Generator().manual_seed(2))
    seen: list[torch.Tensor] = []

    async def watched(latents: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        seen.append(latents)
        return await velocity(latents, timestep)

    await sample(SCHEDULE, NOISE, watched, start=4, latents=picture)
    noised = scheduler.scale_noise(picture, scheduler.timesteps[4].expand(3), NOISE)
    assert len(seen) == 2
    torch.testing.assert_close(seen[0], noised, rtol=0, atol=1e-6)


async def test_cancelling_is_seen_before_the_next_step() -> None:
    answers = iter([False, False, True])
    with pytest.raises(SamplingCancelled, match="cancelled at step 2 of 6"):
        await run(cancelled=lambda: next(answers))
