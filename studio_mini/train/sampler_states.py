"""The states that the sampler meets, at no cost beside training: many trajectories, each carried on when it is trained.

A training step visits some of them; the velocity that it predicts anyway takes each one step of the sampler on, and
one that has arrived starts again from noise with another task. States are as old as a trajectory's last visits, a few
dozen updates of the weights, which is little. Carrying fresh noise to a random step would cost several evaluations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from studio_mini.architecture import LATENT_TOKENS, PACKED_CHANNELS


@dataclass(frozen=True, eq=False)
class Visit:
    """Trajectories that one training step looks at; the first axis counts them.

    Attributes:
        slots: Their indices among all.
        rows, texts: Task and paraphrase of each.
        state: Packed noisy latents (count, 64, 64).
        sigma: Noise levels (count,).
    """

    slots: Tensor
    rows: Tensor
    texts: Tensor
    state: Tensor
    sigma: Tensor


class SamplerStates(nn.Module):
    """Trajectories of the sampler, kept in buffers, so that they are saved and restored as weights are.

    Args:
        slots: How many.
        sigmas: Noise levels at which the sampler asks the denoiser, from 1 downwards.
        paraphrases: Texts of each task.
    """

    rows: Tensor
    texts: Tensor
    steps: Tensor
    latents: Tensor
    sigmas: Tensor

    def __init__(self, slots: int, sigmas: Sequence[float], paraphrases: int) -> None:
        super().__init__()
        self._paraphrases, self._arrived = paraphrases, len(sigmas)
        self.register_buffer("rows", torch.zeros(slots, dtype=torch.long))
        self.register_buffer("texts", torch.zeros(slots, dtype=torch.long))
        self.register_buffer("steps", torch.full((slots,), self._arrived))
        self.register_buffer("latents", torch.zeros(slots, LATENT_TOKENS, PACKED_CHANNELS))
        self.register_buffer("sigmas", torch.tensor([*sigmas, 0.0]))

    def visit(self, count: int, usable: NDArray[np.int64], rng: np.random.Generator) -> Visit:
        """Pick ``count`` trajectories; those that have arrived start again with one of the ``usable`` tasks."""
        slots = torch.from_numpy(rng.choice(len(self.steps), count, replace=False)).to(self.steps.device)
        fresh = slots[self.steps[slots] == self._arrived]
        noise = rng.standard_normal((len(fresh), *self.latents.shape[1:]), dtype=np.float32)
        self.rows[fresh] = torch.from_numpy(rng.choice(usable, len(fresh))).to(fresh)
        self.texts[fresh] = torch.from_numpy(rng.integers(self._paraphrases, size=len(fresh))).to(fresh)
        self.latents[fresh] = torch.from_numpy(noise).to(self.latents)
        self.steps[fresh] = 0
        sigma = self.sigmas[self.steps[slots]]
        return Visit(slots, self.rows[slots], self.texts[slots], self.latents[slots], sigma)

    @torch.no_grad()
    def advance(self, visit: Visit, velocity: Tensor) -> None:
        """Carry the visited trajectories one step on along ``velocity`` (count, 64, 64)."""
        following = self.sigmas[self.steps[visit.slots] + 1]
        self.latents[visit.slots] = visit.state + (following - visit.sigma)[:, None, None] * velocity
        self.steps[visit.slots] += 1
