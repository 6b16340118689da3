"""What is put on: glasses, sunglasses, a hat."""

from __future__ import annotations

import numpy as np

from studio_mini.world.canvas import Canvas, circle, closed_curve, darker, open_curve
from studio_mini.world.identity import Identity
from studio_mini.world.prompts import Accessory

_FRAME = (34, 30, 36)


def paint_accessory(canvas: Canvas, identity: Identity, accessory: Accessory) -> None:
    """Paint ``accessory`` over the finished head."""
    if accessory is Accessory.GLASSES:
        _paint_glasses(canvas, identity)
    elif accessory is Accessory.SUNGLASSES:
        _paint_sunglasses(canvas, identity)
    elif accessory is Accessory.HAT:
        _paint_hat(canvas)


def _paint_bridge(canvas: Canvas, identity: Identity, inner: float, outer: float, width: float) -> None:
    v = identity.eye_height
    canvas.stroke(open_curve([(-inner, v - 0.02), (0, v - 0.1), (inner, v - 0.02)]), _FRAME, width)
    for side in (-1, 1):
        canvas.stroke([(side * outer, v - 0.06), (side * (identity.cheek + 0.06), v - 0.1)], _FRAME, width)


def _paint_glasses(canvas: Canvas, identity: Identity) -> None:
    s, v, radius = identity.eye_spacing, identity.eye_height, 0.31
    for side in (-1, 1):
        ring = circle(side * (s + 0.03), v + 0.03, radius, radius * 0.86)
        canvas.stroke(np.concatenate([ring, ring[:2]]), _FRAME, 0.055)
    _paint_bridge(canvas, identity, s - 0.27, s + 0.33, 0.055)


def _paint_sunglasses(canvas: Canvas, identity: Identity) -> None:
    s, v = identity.eye_spacing, identity.eye_height
    for side in (-1, 1):
        lens = np.array([(-0.33, -0.19), (0.08, -0.23), (0.4, -0.19), (0.36, 0.12), (0.06, 0.28), (-0.26, 0.14)])
        canvas.fill(closed_curve(lens * (side, 1) + (side * s, v)), (26, 26, 34))
        glare = np.array([(0.12, -0.14), (0.28, -0.12), (0.08, 0.14), (-0.04, 0.12)])
        canvas.fill(np.array((side * s, v)) + glare, (66, 70, 86))
    _paint_bridge(canvas, identity, s - 0.28, s + 0.36, 0.07)


def _paint_hat(canvas: Canvas) -> None:
    """A felt hat: crown, band, brim. Its color goes with the garment, so it is the situation's, not the person's."""
    felt = darker(canvas.nuisance.clothes, 0.12)
    crown = [
        (-0.98, -0.78),
        (-0.95, -1.3),
        (-0.66, -1.66),
        (-0.1, -1.6),
        (0.1, -1.6),
        (0.66, -1.66),
        (0.95, -1.3),
        (0.98, -0.78),
    ]
    canvas.fill(closed_curve(crown), felt, on_face=False, kind="hair")
    band = open_curve([(-1.0, -0.98), (0, -0.84), (1.0, -0.98)])
    canvas.stroke(band, darker(felt, 0.5), 0.17, on_face=False)
    brim = [
        (-1.5, -0.82),
        (-0.8, -0.86),
        (0, -0.8),
        (0.8, -0.86),
        (1.5, -0.82),
        (0.85, -0.6),
        (0, -0.54),
        (-0.85, -0.6),
    ]
    canvas.fill(closed_curve(brim), darker(felt, 0.18), on_face=False, kind="hair")
