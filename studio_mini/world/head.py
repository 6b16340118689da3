"""Head, neck, ears and clothes: the large flat shapes under the shading."""

from __future__ import annotations

import numpy as np

from studio_mini.world.canvas import Canvas, Points, circle, closed_curve, darker, mix
from studio_mini.world.identity import Color, Identity


def chin_height(identity: Identity) -> float:
    """Return v of the chin's lowest point."""
    return 1.12 * identity.head_length


def head_outline(identity: Identity) -> Points:
    """Return the head's closed outline [K, 2], crown to chin."""
    chin = chin_height(identity)
    right = [
        (0.5, -1.1), (0.86, -0.72), (0.98, -0.28), (identity.cheek, 0.1), (0.5 * (identity.cheek + identity.jaw), 0.45),
        (identity.jaw, 0.68 * chin), (identity.chin, 0.94 * chin),
    ]  # fmt: skip
    left = [(-u, v) for u, v in reversed(right)]
    return closed_curve([(0.0, -1.2), *right, (0.0, chin), *left])


def paint_body(canvas: Canvas, identity: Identity) -> None:
    """Paint shoulders, neck and garment, with the head's shadow on the neck."""
    clothes = canvas.nuisance.clothes
    chin = chin_height(identity)
    width = 0.5 + 0.22 * (identity.jaw - 0.6) / 0.3
    canvas.fill(
        closed_curve([(-width - 0.9, chin + 0.62), (0, chin + 0.3), (width + 0.9, chin + 0.62), (2.3, chin + 1.1),
                      (2.6, 3.6), (-2.6, 3.6), (-2.3, chin + 1.1)]), clothes, on_face=False,
    )  # fmt: skip
    neck = [(-width, 0.3), (width, 0.3), (width * 0.98, chin + 0.25), (width + 0.2, chin + 0.52), (0.0, chin + 0.85),
            (-width - 0.2, chin + 0.52), (-width * 0.98, chin + 0.25)]  # fmt: skip
    canvas.fill(neck, darker(identity.skin, 0.12), on_face=False, kind="skin")
    shadow = [(-width, 0.5), (width, 0.5), (width * 0.98, chin + 0.1), (0.0, chin + 0.34), (-width * 0.98, chin + 0.1)]
    canvas.fill(closed_curve(shadow), darker(identity.skin, 0.3), on_face=False, kind="skin")
    _paint_collar(canvas, width, chin, clothes)


def _paint_collar(canvas: Canvas, width: float, chin: float, clothes: Color) -> None:
    edge = darker(clothes, 0.25)
    if canvas.nuisance.collar == "round":
        rim = [(-width - 0.22, chin + 0.42), (0, chin + 0.7), (width + 0.22, chin + 0.42)]
        low = [(width + 0.3, chin + 0.55), (0, chin + 1.1), (-width - 0.3, chin + 0.55)]
        canvas.fill(closed_curve([*rim, *low]), edge, on_face=False)
    elif canvas.nuisance.collar == "shirt":
        light = darker(clothes, -0.35)
        for side in (-1, 1):
            flap = [(side * (width + 0.12), chin + 0.28), (side * 0.02, chin + 0.78), (side * 0.42, chin + 1.12),
                    (side * (width + 0.4), chin + 0.62)]  # fmt: skip
            canvas.fill(flap, light, on_face=False)
            canvas.stroke([flap[1], flap[2], flap[3]], edge, 0.03, on_face=False)


def paint_head(canvas: Canvas, identity: Identity) -> None:
    """Paint ears and head in flat skin color."""
    size = identity.ear_size
    for side in (-1, 1):
        u = side * (identity.cheek + 0.03) - canvas.nuisance.yaw * 0.35
        tilt = side * 0.16
        canvas.fill(circle(u, 0.02, 0.15 * size, 0.25 * size, tilt), identity.skin, on_face=False, kind="skin")
        inner = mix(darker(identity.skin, 0.22), (150, 60, 50), 0.15)
        canvas.fill(circle(u + side * 0.02, 0.02, 0.075 * size, 0.15 * size, tilt), inner, on_face=False, kind="skin")
    canvas.fill(head_outline(identity), identity.skin, on_face=False, kind="skin")


def face_box(canvas: Canvas, identity: Identity) -> Points:
    """Return the face's box (x1, y1, x2, y2), pixels: cheek to cheek, mid-forehead to chin, hair or none."""
    outline = head_outline(identity)
    face = canvas.place(outline[outline[:, 1] > -0.85], on_face=False)
    return np.concatenate([face.min(0), face.max(0)])
