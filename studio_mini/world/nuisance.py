"""What is not the person: where the head is, how it is lit, what it wears, what stands behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from studio_mini.world.identity import Color

PICTURE_SIZE: Final = 128
"""Side of every picture, pixels."""


@dataclass(frozen=True)
class Nuisance:
    """One situation.

    Attributes:
        center: Face center (x, y), pixels.
        scale: Half the face's width, pixels (29 to 41, so the face is 45 to 64% of the picture's width).
        roll: Head roll, radians, positive clockwise.
        yaw, pitch: How far the features slide to the right and down on the head, face units at the nose.
        light: Direction toward the light (x right, y down, z to the viewer), unit length.
        light_strength: 0 is flat light, 1 strong modeling.
        light_color: Gain per RGB channel, about 1.
        background: Two or three colors of a soft gradient.
        background_seed: Where the gradient's spots lie.
        clothes: Color of the garment; ``collar`` one of "round", "v", "shirt".
    """

    center: tuple[float, float]
    scale: float
    roll: float
    yaw: float
    pitch: float
    light: tuple[float, float, float]
    light_strength: float
    light_color: tuple[float, float, float]
    background: tuple[Color, ...]
    background_seed: int
    clothes: Color
    collar: str


def _soft_color(rng: np.random.Generator, low: float, high: float) -> Color:
    base = rng.uniform(low, high)
    channels = np.clip(base + rng.normal(0, 0.14, 3), 0.08, 0.97) * 255
    return int(channels[0]), int(channels[1]), int(channels[2])


def draw_nuisance(rng: np.random.Generator) -> Nuisance:
    """Draw a situation. The face always lies within the picture."""
    scale = rng.uniform(29.0, 41.0)
    slack = (41.0 - scale) * 0.6
    warmth = rng.normal(0, 0.06)
    direction = np.array([rng.uniform(-0.8, 0.8), rng.uniform(-0.75, 0.05), rng.uniform(0.6, 1.0)])
    direction /= np.linalg.norm(direction)
    return Nuisance(
        center=(
            64 + float(np.clip(rng.normal(0, 3.5), -8, 8)) + rng.uniform(-slack, slack),
            67 + float(np.clip(rng.normal(0, 2.0), -4, 4)) + rng.uniform(-slack, slack) * 0.7,
        ),
        scale=scale,
        roll=float(np.clip(rng.normal(0, 0.13), -0.4, 0.4)),
        yaw=float(np.clip(rng.normal(0, 0.1), -0.24, 0.24)),
        pitch=float(np.clip(rng.normal(0, 0.05), -0.12, 0.12)),
        light=(float(direction[0]), float(direction[1]), float(direction[2])),
        light_strength=rng.uniform(0.35, 0.9),
        light_color=(1.0 + warmth, 1.0, 1.0 - warmth),
        background=tuple(_soft_color(rng, 0.25, 0.85) for _ in range(int(rng.integers(2, 4)))),
        background_seed=int(rng.integers(2**31)),
        clothes=_soft_color(rng, 0.12, 0.8),
        collar=str(rng.choice(("round", "v", "shirt"))),
    )
