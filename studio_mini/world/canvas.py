"""Where face units become pixels: a supersampled canvas that follows the head's position, size, roll and turn."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from studio_mini.world.identity import Color
from studio_mini.world.nuisance import PICTURE_SIZE, Nuisance

Points = NDArray[np.float64]

SUPERSAMPLING: Final = 3
_SIDE: Final = PICTURE_SIZE * SUPERSAMPLING
_UNIT_CIRCLE: Final = np.stack(
    [np.cos(np.linspace(0, 2 * np.pi, 28, endpoint=False)), np.sin(np.linspace(0, 2 * np.pi, 28, endpoint=False))], 1
)
_SPLINE_STEPS: Final = 6
_T: Final = np.arange(_SPLINE_STEPS)[:, None] / _SPLINE_STEPS
# Catmull-Rom basis, rows by step, columns by the four control points around a segment.
_BASIS: Final = 0.5 * np.concatenate(
    [-(_T**3) + 2 * _T**2 - _T, 3 * _T**3 - 5 * _T**2 + 2, -3 * _T**3 + 4 * _T**2 + _T, _T**3 - _T**2], axis=1
)


def closed_curve(knots: Points | list[tuple[float, float]]) -> Points:
    """Return a smooth closed curve through ``knots`` [K, 2]; [6 K, 2]."""
    p = np.asarray(knots, dtype=np.float64)
    control = np.stack([np.roll(p, 1, 0), p, np.roll(p, -1, 0), np.roll(p, -2, 0)], axis=1)
    return np.asarray(np.einsum("sc,kcd->ksd", _BASIS, control).reshape(-1, 2))


def open_curve(knots: Points | list[tuple[float, float]]) -> Points:
    """Return a smooth curve from the first of ``knots`` [K, 2] to the last; [6 (K - 1) + 1, 2]."""
    p = np.asarray(knots, dtype=np.float64)
    padded = np.concatenate([2 * p[:1] - p[1:2], p, 2 * p[-1:] - p[-2:-1]])
    control = np.stack([padded[:-3], padded[1:-2], padded[2:-1], padded[3:]], axis=1)
    return np.concatenate([np.einsum("sc,kcd->ksd", _BASIS, control).reshape(-1, 2), p[-1:]])


def circle(u: float, v: float, radius_u: float, radius_v: float | None = None, tilt: float = 0.0) -> Points:
    """Return an ellipse around (u, v), turned clockwise by ``tilt`` radians; [28, 2]."""
    points = _UNIT_CIRCLE * (radius_u, radius_u if radius_v is None else radius_v)
    cos, sin = np.cos(tilt), np.sin(tilt)
    return np.asarray(points @ np.array([[cos, sin], [-sin, cos]]) + (u, v))


def relief(points: Points) -> NDArray[np.float64]:
    """Return how far a point of the face stands out toward the viewer, in [0, 1]; the nose stands out most."""
    u, v = points[..., 0], points[..., 1]
    bulge = np.sqrt(np.clip(1 - 0.75 * u**2 - 0.3 * v**2, 0, 1))
    nose = np.exp(-((u / 0.22) ** 2) - ((v - 0.24) / 0.22) ** 2)
    return np.asarray(0.62 * bulge + 0.38 * nose)


class Canvas:
    """A picture being drawn in face units, with masks of where skin and hair were painted.

    Colors are 8-bit RGB. With ``on_face`` points slide with the head's yaw and pitch by their relief; outlines
    of head and hair do not.
    """

    def __init__(self, nuisance: Nuisance, background: Image.Image) -> None:
        self.nuisance = nuisance
        self.image = background.resize((_SIDE, _SIDE), Image.Resampling.BILINEAR)
        self.skin = Image.new("L", (_SIDE, _SIDE))
        self.hair = Image.new("L", (_SIDE, _SIDE))
        self._draw = ImageDraw.Draw(self.image)
        self._masks = {"skin": ImageDraw.Draw(self.skin), "hair": ImageDraw.Draw(self.hair)}
        cos, sin = np.cos(nuisance.roll), np.sin(nuisance.roll)
        self._rotation = np.array([[cos, sin], [-sin, cos]]) * nuisance.scale

    def place(self, points: Points | list[tuple[float, float]], on_face: bool = True) -> Points:
        """Return ``points`` [K, 2] in face units as pixels [K, 2] of the final picture."""
        p = np.asarray(points, dtype=np.float64)
        if on_face:
            p = p + relief(p)[:, None] * (self.nuisance.yaw, self.nuisance.pitch)
        return np.asarray(p @ self._rotation + self.nuisance.center)

    def unplace(self, pixels: Points) -> Points:
        """Return final-picture pixels [..., 2] in face units, without yaw and pitch."""
        return np.asarray((pixels - self.nuisance.center) @ np.linalg.inv(self._rotation))

    def fill(
        self, points: Points | list[tuple[float, float]], color: Color, on_face: bool = True, kind: str = ""
    ) -> None:
        """Fill a polygon. ``kind`` "skin" or "hair" marks it in that mask and erases it from the other."""
        outline = self._flat(points, on_face)
        self._draw.polygon(outline, fill=color)
        for name, mask in self._masks.items():
            if kind:
                mask.polygon(outline, fill=255 if name == kind else 0)

    def stroke(
        self, points: Points | list[tuple[float, float]], color: Color, width: float, on_face: bool = True
    ) -> None:
        """Draw a line of ``width`` face units."""
        pixels = max(1, round(width * self.nuisance.scale * SUPERSAMPLING))
        self._draw.line(self._flat(points, on_face), fill=color, width=pixels, joint="curve")

    def _flat(self, points: Points | list[tuple[float, float]], on_face: bool) -> list[float]:
        return [float(x) for x in (self.place(points, on_face) * SUPERSAMPLING).ravel()]


def mix(one: Color, other: Color, share: float) -> Color:
    """Return the color ``share`` of the way from ``one`` to ``other``; shares outside [0, 1] extrapolate."""
    r, g, b = (int(min(255, max(0, p + (q - p) * share))) for p, q in zip(one, other, strict=True))
    return r, g, b


def darker(color: Color, share: float) -> Color:
    """Return ``color`` darkened by ``share`` in [0, 1]; lightened where ``share`` is negative."""
    return mix(color, (16, 8, 12), share) if share >= 0 else mix(color, (255, 250, 244), -share)
