"""Budgets end by steps or by minutes, and states survive an interruption."""

from pathlib import Path

import pytest
import torch

from studio_mini.train.pace import Pace, load_state, rate_scale, save_state


def test_steps_or_minutes_end_a_stage() -> None:
    assert Pace(steps=10, minutes=None).progress(5) == pytest.approx(0.5)
    assert Pace(steps=10, minutes=1.0, spent_s=59.9).progress(1) > 0.99
    assert Pace(steps=10, minutes=1.0, spent_s=61.0).progress(1) > 1


def test_rate_rises_then_falls() -> None:
    warm = [rate_scale(0.0, step, warmup=10) for step in range(10)]
    assert warm == sorted(warm)
    assert warm[-1] == 1.0
    falling = [rate_scale(p / 10, 1000) for p in range(12)]
    assert falling == sorted(falling, reverse=True)
    assert falling[-1] == pytest.approx(0.02)


def test_state_comes_back_and_absence_is_none(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "state.pt"
    assert load_state(path) is None
    save_state(path, {"step": 3, "weights": torch.ones(2)})
    state = load_state(path)
    assert state is not None
    assert state["step"] == 3
    assert [p.name for p in path.parent.iterdir()] == ["state.pt"]
