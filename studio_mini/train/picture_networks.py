"""Networks that look at pictures while the denoiser learns: whose face it is, and what it shows.

Pictures are (batch, 3, 128, 128) in [-1, 1].
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from insightface.utils.face_align import arcface_dst
from torch import Tensor, nn

from studio_mini.architecture import PICTURE_SIZE
from studio_mini.faces.alignment import RECOGNIZER_SIZE, similarity
from studio_mini.world.prompts import Accessory, Expression

LANDMARK_JITTER = 1.2
"""Standard deviation of the crop's landmarks in pixels: a network that pays for one exact crop would be fooled."""
GAIN, GRAIN = 0.12, 0.04


def face_crops(pictures: Tensor, landmarks: Tensor, rng: np.random.Generator) -> Tensor:
    """Cut out aligned faces as the recognizer takes them, each moved, lit and grained a little at random.

    Args:
        pictures: (batch, 3, 128, 128) in [-1, 1].
        landmarks: (batch, 5, 2) in pixels.
        rng: Source of the changes.

    Returns:
        (batch, 3, 112, 112); gradients flow to ``pictures``.
    """
    points = landmarks.cpu().numpy() + rng.normal(0, LANDMARK_JITTER, landmarks.shape)
    grids = torch.from_numpy(np.stack([_grid(one) for one in points])).to(pictures)
    crops = F.grid_sample(pictures, grids, align_corners=False)
    gain = torch.from_numpy(rng.normal(1, GAIN, (len(crops), 1, 1, 1))).to(crops)
    grain = torch.from_numpy(rng.standard_normal(crops.shape, dtype=np.float32)).to(crops)
    return crops * gain + GRAIN * float(rng.random()) * grain


def _grid(points: np.ndarray) -> np.ndarray:
    """Sampling positions (112, 112, 2) in [-1, 1] of the crop around ``points``."""
    forward = np.vstack([similarity(points, np.asarray(arcface_dst, np.float64)), (0, 0, 1)])
    matrix = np.linalg.inv(forward)[:2]  # not the fit the other way round, which is a little smaller
    rows, columns = np.mgrid[:RECOGNIZER_SIZE, :RECOGNIZER_SIZE]
    places = np.stack([columns, rows], -1) @ matrix[:, :2].T + matrix[:, 2]
    return ((2 * places + 1) / PICTURE_SIZE - 1).astype(np.float32)


class LookNetwork(nn.Module):
    """Logits of the four expressions and of the four accessories, (batch, 4) each."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(_down(3, 24), _down(24, 48), _down(48, 96), _down(96, 128), _down(128, 128))
        self.head = nn.Linear(16 * 128, len(Expression) + len(Accessory))

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.head(self.body(pictures).flatten(1)).float()
        return logits[:, : len(Expression)], logits[:, len(Expression) :]


def _down(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, 2, 1), nn.GroupNorm(8, outputs), nn.SiLU())
