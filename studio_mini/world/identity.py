"""Who a drawn person is: every trait that stays when pose, light, expression and clothes change.

Lengths are in face units: 1 is half the width of the face at the cheekbones; v grows downwards from the face's center.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

Color = tuple[int, int, int]

HAIR_STYLES: Final = (
    "bald", "buzz", "side_part", "quiff", "curly", "bob", "long_straight", "long_wavy", "bun", "mohawk",
)  # fmt: skip
BEARDS: Final = ("none", "stubble", "moustache", "goatee", "full")

_SKIN: Final[tuple[Color, ...]] = (
    (250, 222, 205), (246, 209, 186), (238, 194, 165), (229, 178, 143), (214, 158, 119), (196, 138, 98),
    (172, 116, 80), (146, 95, 64), (118, 75, 50), (92, 58, 40),
)  # fmt: skip
_HAIR: Final[tuple[Color, ...]] = (
    (34, 28, 30), (58, 40, 32), (92, 60, 40), (128, 82, 50), (150, 62, 34), (186, 92, 44), (206, 162, 92),
    (236, 210, 150), (164, 162, 164), (226, 224, 222), (204, 84, 128), (52, 110, 168), (42, 138, 128), (122, 76, 158),
)  # fmt: skip
_HAIR_WEIGHT: Final = (12, 11, 10, 9, 7, 7, 9, 8, 6, 5, 4, 4, 4, 4)
_IRIS: Final[tuple[Color, ...]] = (
    (70, 44, 28), (112, 72, 38), (142, 108, 52), (76, 122, 70), (58, 116, 168), (112, 150, 180), (104, 112, 122),
    (110, 84, 150),
)  # fmt: skip
_LIPS: Final[tuple[Color, ...]] = (
    (0, 0, 0),
    (176, 60, 70),
    (200, 88, 98),
    (150, 52, 82),
    (188, 84, 60),
)  # first entry stands for "unpainted"


@dataclass(frozen=True)
class Identity:
    """One person. Colors are 8-bit RGB; lengths and positions in face units, angles in radians."""

    skin: Color
    head_length: float
    cheek: float
    jaw: float
    chin: float
    hair_style: str
    hair_color: Color
    hair_volume: float
    parting: float
    fringe: bool
    eye_spacing: float
    eye_height: float
    eye_width: float
    eye_open: float
    eye_tilt: float
    iris: Color
    lashes: float
    brow_lift: float
    brow_thickness: float
    brow_arch: float
    brow_tilt: float
    nose_length: float
    nose_width: float
    nose_bridge: float
    mouth_height: float
    mouth_width: float
    lip_upper: float
    lip_lower: float
    lip_color: Color
    ear_size: float
    blush: float
    beard: str
    moles: tuple[tuple[float, float, float], ...]
    freckles: bool
    scar: str
    texture_seed: int


def _jitter(rng: np.random.Generator, color: Color, spread: float) -> Color:
    moved = np.clip(np.array(color) + rng.normal(0.0, spread, 3), 8, 252)
    return int(moved[0]), int(moved[1]), int(moved[2])


def _lip_color(rng: np.random.Generator, skin: Color, feminine: bool) -> Color:
    """Unpainted lips are the skin's color, darker and redder; painted ones come from the palette."""
    if feminine and rng.random() < 0.6:
        return _jitter(rng, _LIPS[rng.integers(1, len(_LIPS))], 8)
    red, green, blue = skin
    return _jitter(rng, (int(red * 0.84), int(green * 0.62), int(blue * 0.62)), 5)


def _hair_style(rng: np.random.Generator, feminine: bool) -> str:
    weights = (1, 1, 2, 1, 3, 5, 5, 5, 4, 1) if feminine else (4, 4, 6, 5, 4, 1, 1, 1, 1, 2)
    return str(rng.choice(HAIR_STYLES, p=np.array(weights) / sum(weights)))


def _moles(rng: np.random.Generator) -> tuple[tuple[float, float, float], ...]:
    spots = ((0.45, 0.45), (-0.5, 0.5), (0.28, 0.78), (-0.3, 0.82), (0.6, 0.2), (-0.62, 0.15), (0.2, -0.62))
    count = int(rng.choice(3, p=(0.6, 0.3, 0.1)))
    chosen = rng.choice(len(spots), count, replace=False)
    return tuple(
        (spots[i][0] + rng.normal(0, 0.05), spots[i][1] + rng.normal(0, 0.05), rng.uniform(0.03, 0.05)) for i in chosen
    )


def draw_identity(rng: np.random.Generator) -> Identity:
    """Draw a person. The same generator state gives the same person; equal persons compare equal."""
    feminine = bool(rng.random() < 0.5)
    skin = _jitter(rng, _SKIN[rng.integers(len(_SKIN))], 4)
    hair_color = _jitter(rng, _HAIR[rng.choice(len(_HAIR), p=np.array(_HAIR_WEIGHT) / sum(_HAIR_WEIGHT))], 6)
    beard = "none" if feminine else str(rng.choice(BEARDS, p=(0.42, 0.14, 0.14, 0.13, 0.17)))
    return Identity(
        skin=skin,
        head_length=rng.uniform(0.92, 1.14),
        cheek=rng.uniform(0.95, 1.05),
        jaw=rng.uniform(0.62, 0.78) if feminine else rng.uniform(0.7, 0.9),
        chin=rng.uniform(0.24, 0.36) if feminine else rng.uniform(0.3, 0.5),
        hair_style=_hair_style(rng, feminine),
        hair_color=hair_color,
        hair_volume=rng.uniform(0.6, 1.4),
        parting=float(rng.choice((-1, 1))) * rng.uniform(0.05, 0.45),
        fringe=bool(rng.random() < 0.4),
        eye_spacing=rng.uniform(0.36, 0.46),
        eye_height=rng.uniform(-0.16, -0.04),
        eye_width=rng.uniform(0.19, 0.26) * (1.06 if feminine else 0.96),
        eye_open=rng.uniform(0.1, 0.175) * (1.08 if feminine else 0.94),
        eye_tilt=rng.uniform(-0.12, 0.24),
        iris=_jitter(rng, _IRIS[rng.integers(len(_IRIS))], 6),
        lashes=rng.uniform(0.6, 1.0) if feminine else rng.uniform(0.0, 0.35),
        brow_lift=rng.uniform(0.24, 0.34),
        brow_thickness=rng.uniform(0.035, 0.06) if feminine else rng.uniform(0.055, 0.1),
        brow_arch=rng.uniform(0.02, 0.12),
        brow_tilt=rng.uniform(-0.2, 0.1),
        nose_length=rng.uniform(0.34, 0.5),
        nose_width=rng.uniform(0.13, 0.23),
        nose_bridge=rng.uniform(0.6, 1.4),
        mouth_height=rng.uniform(0.28, 0.36),
        mouth_width=rng.uniform(0.26, 0.4),
        lip_upper=rng.uniform(0.035, 0.085),
        lip_lower=rng.uniform(0.055, 0.12),
        lip_color=_lip_color(rng, skin, feminine),
        ear_size=rng.uniform(0.8, 1.25),
        blush=rng.uniform(0.0, 1.0),
        beard=beard,
        moles=_moles(rng),
        freckles=bool(rng.random() < 0.16),
        scar=str(rng.choice(("none", "brow", "cheek"), p=(0.86, 0.07, 0.07))),
        texture_seed=int(rng.integers(2**31)),
    )
