"""Pictures with the denoiser's own faults, graded: what the judge must tell from drawings, and from one another.

Three kinds, all from training tasks with the character shown. *Restarts* carry a noised truth on to the end: the higher
the noise, the more of the picture is the denoiser's, and the less natural it is called. *Drafts* have too few steps.
*Worse* ones come from weights that were shaken, as a denoiser in the middle of its training paints: eyes that differ,
mouths in pieces, doubled edges of hair.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from diffusers import QwenImageTransformer2DModel
from numpy.typing import NDArray
from torch import Tensor

from studio_mini.train.flat_transformer import velocity
from studio_mini.train.latent_cache import Encoders, Examples
from studio_mini.train.own_states import sampler_sigmas
from studio_mini.train.pace import load_state, save_state
from studio_mini.train.precision import autocast
from studio_mini.train.task_cache import TaskSet
from studio_mini.train.training_data import Gallery

STEPS_OF_DRAFTS: Final = (1, 2)
SHAKEN_BY: Final = 0.25
"""Standard deviation of the noise on each weight matrix, in parts of its own."""
WHOLE: Final = 0.1
"""How natural a picture is that the denoiser painted alone; a truth that was not noised counts 1."""
RECOGNIZABLE: Final = 0.4
"""Noise level up to which a restart shows the truth's look."""
BATCH: Final = 25


@dataclass(frozen=True, eq=False)
class Artifacts:
    """One row a picture.

    Attributes:
        pictures: uint8 [N, 128, 128, 3].
        tasks: Which task each shows, int64 [N].
        natural: 0 to 1, float32 [N].
        shows_look: Whether the truth's look can be seen, bool [N].
    """

    pictures: NDArray[np.uint8]
    tasks: NDArray[np.int64]
    natural: NDArray[np.float32]
    shows_look: NDArray[np.bool_]


def artifacts(build_dir: Path, checkpoint_dir: Path, examples: Examples, count: int, *, seed: int) -> Artifacts:
    """Return ``count`` pictures of the first ``count`` examples; paints them once and keeps them in ``build_dir``."""
    path = build_dir / f"artifacts_{count}.pt"
    if (known := load_state(path)) is not None:
        return Artifacts(**known)
    encoders = Encoders(checkpoint_dir)
    good = QwenImageTransformer2DModel.from_pretrained(checkpoint_dir, subfolder="transformer").float().eval()
    bad = shaken(good, seed)
    rng = np.random.default_rng([seed, 13])
    parts = [_batch(encoders, good, bad, examples, start, rng) for start in range(0, count, BATCH)]
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])}
    save_state(path, columns)
    return Artifacts(**columns)


def with_artifacts(pool: Gallery, painted: Artifacts, tasks: TaskSet) -> Gallery:
    """Add what a denoiser painted of ``tasks``."""
    return Gallery(
        pictures=np.concatenate([pool.pictures, painted.pictures]),
        looks=[*pool.looks, *(tasks.looks[k] for k in painted.tasks)],
        natural=np.concatenate([pool.natural, painted.natural]),
        shows_look=np.concatenate([pool.shows_look, painted.shows_look]),
    )


def shaken(model: QwenImageTransformer2DModel, seed: int) -> QwenImageTransformer2DModel:
    """Return a copy whose matrices carry Gaussian noise of ``SHAKEN_BY`` of their own standard deviation."""
    other = copy.deepcopy(model)
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in other.parameters():
            if weight.ndim == 2:
                weight += SHAKEN_BY * weight.std() * torch.randn(weight.shape, generator=draw)
    return other


def _batch(
    encoders: Encoders,
    good: QwenImageTransformer2DModel,
    bad: QwenImageTransformer2DModel,
    examples: Examples,
    start: int,
    rng: np.random.Generator,
) -> Artifacts:
    """One kind for a whole batch: restarts three times in five, drafts and worse weights once each."""
    rows = np.arange(start, min(start + BATCH, len(examples)))
    kind, first = int(rng.integers(5)), 0
    sigmas = sampler_sigmas(int(rng.choice(STEPS_OF_DRAFTS))) if kind == 3 else sampler_sigmas()
    if kind < 3:
        first = int(rng.integers(1, len(sigmas)))
    latents = paint(bad if kind == 4 else good, examples, rows, sigmas[first:], rng)
    natural = 1 - (1 - WHOLE) * sigmas[first] if kind < 3 else 0.0
    return Artifacts(
        pictures=encoders.pictures(latents),
        tasks=rows,
        natural=np.full(len(rows), natural, np.float32),
        shows_look=np.full(len(rows), kind < 3 and sigmas[first] <= RECOGNIZABLE),
    )


@torch.no_grad()
def paint(
    model: QwenImageTransformer2DModel,
    examples: Examples,
    rows: NDArray[np.int64],
    sigmas: list[float],
    rng: np.random.Generator,
) -> Tensor:
    """Carry the truths of ``rows``, noised to the first of ``sigmas``, along them to 0: latents (rows, 64, 64)."""
    chosen = torch.from_numpy(rows)
    truth = examples.truth[chosen].float()
    shown = torch.cat([examples.prior[chosen], examples.character[chosen]], dim=1).float()
    length = examples.length_two[chosen, 0]
    text = examples.text_two[chosen, 0][:, : int(length.max())].float()
    mask = torch.arange(text.shape[1])[None] < length[:, None]
    noise = torch.from_numpy(rng.standard_normal(truth.shape, dtype=np.float32))
    state = torch.lerp(truth, noise, sigmas[0])
    for sigma, following in zip(sigmas, [*sigmas[1:], 0.0], strict=True):
        with autocast():
            step = velocity(model, state, shown, text, mask, torch.full((len(rows),), sigma)).float()
        state = state + (following - sigma) * step
    return state
