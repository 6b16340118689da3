"""Schedules that a checkpoint can be served with instead of its own."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from eacps.models.checkpoint_config import ScheduleConfig
from eacps.models.schedule import linear_mu, make_schedule
from export.schedules import schedule_named, scheduler_with


def test_lightnings_schedule_shifts_by_three_whatever_the_size() -> None:
    checkpoint_config = ScheduleConfig.from_scheduler_config(dict(scheduler_with(schedule_named("lightning")).config))
    for tokens in (64, 4096, 8192):
        sigmas = make_schedule(checkpoint_config, 8, linear_mu(checkpoint_config, tokens)).sigmas[:-1]
        plain = torch.linspace(1.0, 1 / 8, 8)
        torch.testing.assert_close(sigmas, 3 * plain / (1 + 2 * plain))
    assert math.isclose(checkpoint_config.max_shift, math.log(3))


def test_a_schedule_may_come_from_a_file(tmp_path: Path) -> None:
    FlowMatchEulerDiscreteScheduler(shift=2.5).save_pretrained(tmp_path)
    settings = schedule_named(str(tmp_path / "scheduler_config.json"))
    assert scheduler_with(settings).config.shift == 2.5
    with pytest.raises(ValueError, match="no schedule 'none'"):
        schedule_named("none")
