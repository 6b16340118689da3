from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from eacps.models.checkpoint_config import ScheduleConfig
from eacps.models.failures import SamplingCancelled
from eacps.models.sampler import KeptLatents, Sample, Trajectory, sample
from eacps.models.schedule import make_schedule

SCHEDULE = make_schedule(ScheduleConfig(shift=2.0), 6, 0.0)
NOISE = torch.randn(3, 4, 8, generator=torch.Generator().manual_seed(1))


async def velocity(latents: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
    return torch.sin(3.0 * latents) + timestep


async def run(start: int, stop: int, **options: object) -> Sample:
    return await sample(Trajectory(SCHEDULE, start, stop), NOISE, velocity, **options)


async def test_a_straight_path_arrives_at_its_end_from_every_preview() -> None:
    target = torch.full_like(NOISE, 0.25)

    async def straight(_latents: torch.Tensor, _timestep: torch.Tensor) -> torch.Tensor:
        return NOISE - target

    for stop in range(1, SCHEDULE.steps + 1):
        result = await sample(Trajectory(SCHEDULE, 0, stop), NOISE, straight)
        torch.testing.assert_close(result.x0, target, rtol=0, atol=1e-6)


@pytest.mark.parametrize("cut", range(1, 6))
@pytest.mark.parametrize("masked", [False, True])
async def test_two_ranges_are_one_run(cut: int, masked: bool) -> None:
    kept = KeptLatents(torch.zeros(1, 4, 8), torch.ones(1, 4, 8).tril()) if masked else None
    whole = await run(0, 6, kept=kept)
    first = await run(0, cut, kept=kept)
    second = await run(cut, 6, kept=kept, latents=first.latents)
    assert torch.equal(second.latents, whole.latents)
    assert torch.equal(second.x0, whole.x0)


async def test_the_last_preview_is_the_final_picture() -> None:
    result = await run(0, 6)
    assert torch.equal(result.x0, result.latents)


async def test_what_a_mask_keeps_is_the_scene_under_the_candidates_own_noise() -> None:
    scene, free = torch.full((1, 4, 8), 0.5), torch.zeros(1, 4, 8)
    result = await run(0, 3, kept=KeptLatents(scene, free))
    sigma = SCHEDULE.sigmas[3]
    assert torch.equal(result.latents, sigma * NOISE + (1 - sigma) * scene)


async def test_the_scene_is_put_back_after_the_last_step_only_where_the_pipeline_does_so() -> None:
    kept = KeptLatents(torch.full((1, 4, 8), 9.0), torch.zeros(1, 4, 8))
    assert (await run(0, 6, kept=kept)).latents.max() < 9.0
    to_the_end = await run(0, 6, kept=replace(kept, to_the_end=True))
    assert torch.equal(to_the_end.latents, kept.scene.expand_as(NOISE))
    assert torch.equal(to_the_end.x0, to_the_end.latents)


async def test_a_restart_begins_where_diffusers_puts_a_picture_that_it_is_given() -> None:
    scheduler = FlowMatchEulerDiscreteScheduler(shift=2.0)
    scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / 6, 6))
    picture = torch.rand(3, 4, 8, generator=torch.Generator().manual_seed(2))
    noised = scheduler.scale_noise(picture, scheduler.timesteps[4].expand(3), NOISE)
    restarted = await sample(Trajectory(SCHEDULE, 4, 6, restart=True), NOISE, velocity, latents=picture)
    went_on = await run(4, 6, latents=noised)
    torch.testing.assert_close(restarted.latents, went_on.latents, rtol=0, atol=1e-6)


async def test_cancelling_is_seen_before_the_next_step() -> None:
    answers = iter([False, False, True])
    with pytest.raises(SamplingCancelled, match="cancelled at step 2 of 6"):
        await run(0, 6, cancelled=lambda: next(answers))
