"""Schedules that a checkpoint can be served with instead of its own."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from hypothesis import given, settings
from hypothesis import strategies as st

from eacps.models.checkpoint_config import ScheduleConfig
from eacps.models.schedule import linear_mu, make_schedule
from export.schedules import check_schedule, schedule_named, scheduler_with


def test_lightnings_schedule_shifts_by_three_whatever_the_size() -> None:
    checkpoint_config = ScheduleConfig.from_scheduler_config(dict(scheduler_with(schedule_named("lightning")).config))
    for tokens in (64, 4096, 8192):
        sigmas = make_schedule(checkpoint_config, 8, linear_mu(checkpoint_config, tokens)).sigmas[:-1]
        plain = torch.linspace(1.0, 1 / 8, 8)
        torch.testing.assert_close(sigmas, 3 * plain / (1 + 2 * plain))
    assert math.isclose(checkpoint_config.max_shift, math.log(3))


def test_a_schedule_may_come_from_a_file(tmp_path: Path) -> None:
    FlowMatchEulerDiscreteScheduler(shift=2.5).save_pretrained(tmp_path)
    loaded = schedule_named(str(tmp_path / "scheduler_config.json"))
    assert scheduler_with(loaded).config.shift == 2.5
    with pytest.raises(ValueError, match="no schedule 'none'"):
        schedule_named("none")


@pytest.mark.parametrize(
    ("field", "value", "moving"),
    [
        ("shift", 0.0, False),
        ("shift", -1.0, False),
        ("shift", math.nan, False),
        ("shift", math.inf, False),
        ("shift", 1e9, False),
        ("shift", 1e-9, False),
        ("base_shift", 1000.0, True),
        ("base_shift", math.nan, True),
        ("max_shift", -math.inf, True),
        ("max_image_seq_len", 256, True),
        ("max_image_seq_len", 255, True),
        ("shift_terminal", 1.0, False),
        ("shift_terminal", -0.5, True),
        ("shift_terminal", math.nan, True),
        ("num_train_timesteps", 0, False),
        ("time_shift_type", "cubic", True),
    ],
)
def test_settings_whose_sigmas_do_not_fall_are_refused_by_name(field: str, value: object, moving: bool) -> None:
    assert check_schedule({"use_dynamic_shifting": moving, field: value}) == f"holds no usable {field}"


@settings(deadline=None)
@given(
    shift=st.floats(1e-3, 1e3),
    terminal=st.none() | st.floats(0.01, 0.9),
    ends=st.tuples(st.floats(-6.9, 6.9), st.floats(-6.9, 6.9)),
    moving=st.booleans(),
    steps=st.integers(2, 60),
    tokens=st.integers(256, 4096),
    kind=st.sampled_from(["exponential", "linear"]),
)
def test_sigmas_fall_with_whatever_is_taken(
    shift: float,
    terminal: float | None,
    ends: tuple[float, float],
    moving: bool,
    steps: int,
    tokens: int,
    kind: str,
) -> None:
    base, largest = (math.exp(end) for end in ends) if kind == "linear" else ends
    config = ScheduleConfig(
        shift=shift,
        shift_terminal=terminal,
        base_shift=base,
        max_shift=largest,
        use_dynamic_shifting=moving,
        time_shift_type=kind,
    )
    assert config.violations() == []
    sigmas = make_schedule(config, steps, linear_mu(config, tokens)).sigmas.numpy()
    assert np.isfinite(sigmas).all()
    assert (np.diff(sigmas) < 0).all()
    assert (sigmas[0], sigmas[-1]) == (pytest.approx(1.0, abs=1e-4), 0.0)
