"""Soft light over the flat drawing: the head as an ellipsoid with bumps, lit from one side."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from studio_mini.world.canvas import Canvas
from studio_mini.world.features import nose_tip
from studio_mini.world.identity import Identity
from studio_mini.world.nuisance import PICTURE_SIZE

Field = NDArray[np.float32]

_ROWS, _COLUMNS = np.mgrid[0:PICTURE_SIZE, 0:PICTURE_SIZE].astype(np.float32) + np.float32(0.5)
_PIXELS: Final = np.stack([_COLUMNS, _ROWS], axis=-1)


def shade(canvas: Canvas, identity: Identity, flat: Field, skin: Field, hair: Field) -> Field:
    """Return the lit picture [128, 128, 3] in [0, 255].

    Args:
        canvas: Where the head lies.
        flat: The flat drawing [128, 128, 3], 0 to 255.
        skin, hair: Coverage [128, 128] in [0, 1].
    """
    face = canvas.unplace(_PIXELS).astype(np.float32)
    u, v = face[..., 0], face[..., 1]
    nuisance = canvas.nuisance
    light = _light_in_face(canvas)
    slope_u, slope_v, blush = _bumps(identity, u - nuisance.yaw * 0.6, v - nuisance.pitch * 0.6)
    skin_gain, gloss = _lambert(u / 1.12, (v + 0.02) / 1.42, slope_u, slope_v, light, nuisance.light_strength)
    hair_gain, _ = _lambert(u / 1.45, (v + 0.1) / 1.8, 0.0, 0.0, light, nuisance.light_strength * 1.3)
    sheen = 0.2 * np.exp(-(((np.hypot(u, v + 0.1) - 1.08 + 0.25 * light[0] * u) / 0.14) ** 2)) * np.clip(-v, 0, 1)
    cloth_gain = 1 + 0.14 * nuisance.light_strength * np.tanh(u * light[0])
    below = np.clip((v - 0.85) * 1.2, 0, 1)  # the neck is not part of the ellipsoid: it takes plain light
    skin_gain = skin_gain * (1 - below) + cloth_gain * below
    other = 1 - skin - hair
    body = other * (1 + (cloth_gain - 1) * below)  # a soft start, since the background is in it too
    gain = skin * skin_gain + hair * (hair_gain + sheen) + body
    tinted = gain[..., None] * np.array(nuisance.light_color, dtype=np.float32)
    rosy = (skin * (1 - below) * blush)[..., None] * np.array((6.0, -9.0, -6.0), dtype=np.float32)
    shine = (skin * (1 - below) * gloss)[..., None] * np.array((255, 246, 236), dtype=np.float32)
    return np.asarray(flat * tinted + rosy * identity.blush + shine, dtype=np.float32)


def _light_in_face(canvas: Canvas) -> NDArray[np.float64]:
    """The light's direction turned into the head's frame."""
    x, y, z = canvas.nuisance.light
    cos, sin = np.cos(canvas.nuisance.roll), np.sin(canvas.nuisance.roll)
    return np.array([cos * x + sin * y, -sin * x + cos * y, z])


def _lambert(
    nx: Field, ny: Field, slope_u: Field | float, slope_v: Field | float, light: NDArray[np.float64], strength: float
) -> tuple[Field, Field]:
    """Diffuse gain around 1 and additive gloss of an ellipsoid with surface slopes."""
    nz = np.sqrt(np.clip(1 - nx**2 - ny**2, 0.12, 1))
    sx, sy = nx - slope_u, ny - slope_v
    norm = np.sqrt(sx**2 + sy**2 + nz**2)
    cosine = np.clip((sx * light[0] + sy * light[1] + nz * light[2]) / norm, 0, 1)
    gain = 1 + 0.72 * strength * (cosine - 0.72)
    return np.asarray(gain, np.float32), np.asarray(0.13 * strength * cosine**14, np.float32)


def _bumps(identity: Identity, u: Field, v: Field) -> tuple[Field, Field, Field]:
    """Slopes of nose, cheeks, brow and chin, and where the cheeks are rosy."""
    _, tip = nose_tip(identity)
    eye, s = identity.eye_height, identity.eye_spacing
    bridge = identity.nose_bridge
    bumps = [  # height, center u, center v, radius u, radius v
        (0.13 * bridge, 0.0, (eye + tip) / 2, 0.12, 0.32),
        (0.12, 0.0, tip, 0.75 * identity.nose_width + 0.05, 0.12),
        (-0.06, -s, eye - 0.08, 0.26, 0.2),
        (-0.06, s, eye - 0.08, 0.26, 0.2),
        (0.07, -0.52, tip + 0.02, 0.3, 0.26),
        (0.07, 0.52, tip + 0.02, 0.3, 0.26),
        (0.06, 0.0, 1.0 * identity.head_length, 0.22, 0.16),
    ]
    slope_u, slope_v, blush = np.zeros_like(u), np.zeros_like(u), np.zeros_like(u)
    for k, (height, cu, cv, ru, rv) in enumerate(bumps):
        du, dv = (u - cu) / ru, (v - cv) / rv
        bell = np.exp(-(du**2) - dv**2)
        slope_u -= (2 * height / ru) * du * bell
        slope_v -= (2 * height / rv) * dv * bell
        if k in (1, 4, 5):
            blush += bell
    return slope_u, slope_v, blush
