"""Trajectories follow the sampler's schedule to its end, start again, and can be saved on the way."""

import numpy as np
import torch

from studio_mini.train.own_states import sampler_sigmas
from studio_mini.train.sampler_states import SamplerStates

SIGMAS = sampler_sigmas()
USABLE = np.array([3, 5])


def test_states_walk_down_the_noise_levels_and_arrive() -> None:
    states, rng = SamplerStates(2, SIGMAS, 2), np.random.default_rng(0)
    truth = torch.full((64, 64), 0.25)
    for sigma in SIGMAS:
        visit = states.visit(2, USABLE, rng)
        torch.testing.assert_close(visit.sigma, torch.full((2,), sigma))
        assert set(visit.rows.tolist()) <= set(USABLE.tolist())
        states.advance(visit, (visit.state - truth) / visit.sigma[:, None, None])
    torch.testing.assert_close(states.latents, truth.expand(2, 64, 64), atol=1e-5, rtol=0)
    again = states.visit(2, USABLE, rng)
    assert again.sigma.tolist() == [1.0, 1.0]
    assert 0.9 < float(again.state.std()) < 1.1


def test_only_visited_states_move() -> None:
    states, rng = SamplerStates(4, SIGMAS, 2), np.random.default_rng(0)
    states.advance(states.visit(4, USABLE, rng), torch.ones(4, 64, 64))
    before = states.latents.clone()
    visit = states.visit(1, USABLE, rng)
    states.advance(visit, torch.ones(1, 64, 64))
    moved = (states.latents != before).flatten(1).any(1)
    assert moved.nonzero().flatten().tolist() == visit.slots.tolist()


def test_saved_states_go_on_as_if_never_stopped() -> None:
    whole, saved = SamplerStates(3, SIGMAS, 2), SamplerStates(3, SIGMAS, 2)
    whole.advance(whole.visit(2, USABLE, np.random.default_rng(1)), torch.ones(2, 64, 64))
    saved.load_state_dict(whole.state_dict())
    one, other = (states.visit(3, USABLE, np.random.default_rng(2)) for states in (whole, saved))
    for name in ("slots", "rows", "texts", "state", "sigma"):
        assert torch.equal(getattr(one, name), getattr(other, name))
