"""Trains the held-out verifier: people, loss and spoilt pictures of its own, nothing shared with the recognizer."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from studio_mini.faces.alignment import RECOGNIZER_SIZE, crop
from studio_mini.faces.verifier import COSINE_MARGIN, CosFaceHead, Verifier
from studio_mini.train.faces_loop import TimedLoop
from studio_mini.train.memory_format import channels_last
from studio_mini.train.reconstructions import Reconstructions
from studio_mini.world.pool import FacePool

BATCH: Final = 64
PEAK_RATE: Final = 4e-3
MARGIN_RISE: Final = (0.1, 0.4)  # parts of the training between which the margin grows
LANDMARK_ERROR: Final = 2.0  # standard deviation of what the detector may be off, pixels of a 128-pixel picture


def train_verifier(pool: FacePool, seen: Reconstructions, state_file: Path, *, minutes: float, seed: int) -> Verifier:
    """Train for ``minutes`` (counted through stops), or return the finished network of ``state_file``.

    Args:
        pool: Faces of people whom no other network meets.
        seen: Some of them through the autoencoder; those are shown half the time in its form.
        state_file, minutes, seed: As everywhere.
    """
    torch.manual_seed(seed)
    people, identity = np.unique(pool.people, return_inverse=True)
    network, head = channels_last(Verifier()), CosFaceHead(len(people))
    trained = {"verifier": network, "head": head}
    loop = TimedLoop("verifier", state_file, trained, minutes=minutes, peak_rate=PEAK_RATE)
    start, end = MARGIN_RISE
    for step in loop.steps():
        rng = np.random.default_rng([seed, 5, step])
        chosen = rng.integers(0, len(identity), BATCH)
        crops = spoil(_crops(pool, seen, chosen, rng), rng)
        margin = COSINE_MARGIN * float(np.clip((loop.progress - start) / (end - start), 0, 1))
        loop.descend(head(network(crops), torch.from_numpy(identity[chosen]), margin))
    return network.eval()


def _crops(pool: FacePool, seen: Reconstructions, chosen: np.ndarray, rng: np.random.Generator) -> Tensor:
    """Aligned crops [B, 3, 112, 112] in [0, 1], as the detector's error may place them."""
    crops = []
    for index in map(int, chosen):
        picture = seen.get(index) if rng.random() < 0.5 else None
        landmarks = pool.landmarks[index] + rng.normal(0, LANDMARK_ERROR * rng.random(), (5, 2))
        crops.append(crop(np.array(pool.pictures[index]) if picture is None else picture, landmarks, RECOGNIZER_SIZE))
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 255


def spoil(crops: Tensor, rng: np.random.Generator) -> Tensor:
    """Change gamma, mix the color channels a little, pixelate, add noise, black out a bar.

    Args:
        crops: [B, 3, 112, 112] in [0, 1].
        rng: Source of the choices.

    Returns:
        The network's input, [B, 3, 112, 112] around [-1, 1].
    """
    count = len(crops)
    gamma = torch.from_numpy(np.exp(rng.normal(0, 0.2, (count, 1, 1, 1)))).float()
    mixing = torch.from_numpy(np.eye(3) + rng.normal(0, 0.06, (count, 3, 3))).float()
    mixed = torch.einsum("bij,bjhw->bihw", mixing, crops.clamp(1e-3, 1) ** gamma)
    factor = float(rng.uniform(0.3, 0.9))
    small = F.interpolate(mixed, scale_factor=factor, mode="area")
    coarse = F.interpolate(small, size=mixed.shape[2:], mode="bicubic", align_corners=False)
    coarsened = torch.from_numpy(rng.random((count, 1, 1, 1)) < 0.4)
    grain = torch.from_numpy(rng.standard_normal(crops.shape, dtype=np.float32))
    strength = torch.from_numpy(rng.uniform(0, 0.04, (count, 1, 1, 1))).float()
    noisy = torch.where(coarsened, coarse, mixed) + strength * grain
    top = int(rng.integers(0, RECOGNIZER_SIZE - 16))
    noisy[: count // 8, :, top : top + 16] = 0.0
    return (noisy * 2 - 1).contiguous(memory_format=torch.channels_last)
