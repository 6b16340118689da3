"""Eyes, brows, nose, mouth, beard and marks: the parts a face is told by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from studio_mini.world.canvas import Canvas, Points, circle, closed_curve, darker, mix, open_curve
from studio_mini.world.head import chin_height, head_outline
from studio_mini.world.identity import Color, Identity
from studio_mini.world.prompts import Expression


@dataclass(frozen=True)
class Pose:
    """What an expression does, as factors and shifts on the identity's own shapes (face units)."""

    mouth_width: float
    corner_lift: float
    opening: float
    teeth: float
    eye_open: float
    brow_lift: float
    brow_inner: float


POSES = {
    Expression.NEUTRAL: Pose(1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0),
    Expression.SMILE: Pose(1.42, 0.15, 0.13, 1.0, 0.8, 0.01, 0.0),
    Expression.SURPRISED: Pose(0.74, -0.02, 0.34, 0.0, 1.3, 0.13, 0.02),
    Expression.SAD: Pose(0.95, -0.12, 0.0, 0.0, 0.76, 0.0, 0.12),
}


def nose_tip(identity: Identity) -> tuple[float, float]:
    """Return the nose tip in face units."""
    return 0.0, identity.eye_height + identity.nose_length


def mouth_center(identity: Identity) -> tuple[float, float]:
    """Return the middle of the closed mouth in face units."""
    return 0.0, min(nose_tip(identity)[1] + identity.mouth_height, chin_height(identity) - 0.3)


def mouth_corners(identity: Identity, expression: Expression) -> Points:
    """Return the mouth's corners [2, 2] in face units, the picture's left first."""
    pose = POSES[expression]
    half = identity.mouth_width * pose.mouth_width
    v = mouth_center(identity)[1] - pose.corner_lift * 0.75
    return np.array([(-half, v), (half, v)])


def landmarks(identity: Identity, expression: Expression) -> Points:
    """Return left eye, right eye, nose, left and right mouth corner [5, 2] in face units (left of the picture)."""
    eye = (identity.eye_spacing, identity.eye_height)
    return np.array([(-eye[0], eye[1]), eye, nose_tip(identity), *mouth_corners(identity, expression)])


def paint_features(canvas: Canvas, identity: Identity, expression: Expression) -> None:
    """Paint every feature of the face, from the skin up."""
    _paint_marks(canvas, identity)
    _paint_beard(canvas, identity)
    _paint_nose(canvas, identity)
    _paint_mouth(canvas, identity, POSES[expression])
    for side in (-1, 1):
        _paint_eye(canvas, identity, POSES[expression], side)
        _paint_brow(canvas, identity, POSES[expression], side)
    _paint_scar(canvas, identity)


def _paint_marks(canvas: Canvas, identity: Identity) -> None:
    if identity.freckles:
        rng = np.random.default_rng(identity.texture_seed)
        tone = mix(identity.skin, (150, 80, 44), 0.42)
        for u, v in zip(rng.normal(0, 0.4, 34), rng.normal(0.22, 0.12, 34), strict=True):
            canvas.fill(circle(u, v, 0.022), tone)
    for u, v, radius in identity.moles:
        canvas.fill(circle(u, v, radius), darker(identity.skin, 0.62))


def _paint_scar(canvas: Canvas, identity: Identity) -> None:
    light = mix(identity.skin, (255, 206, 196), 0.6)
    if identity.scar == "brow":
        u, v = identity.eye_spacing + 0.1, identity.eye_height
        canvas.stroke([(u - 0.06, v - 0.5), (u + 0.05, v - 0.18)], light, 0.05)
    elif identity.scar == "cheek":
        canvas.stroke(open_curve([(-0.66, 0.16), (-0.55, 0.34), (-0.4, 0.5)]), light, 0.045)
        canvas.stroke(open_curve([(-0.63, 0.17), (-0.52, 0.35), (-0.38, 0.5)]), darker(identity.skin, 0.25), 0.015)


def _paint_beard(canvas: Canvas, identity: Identity) -> None:
    if identity.beard == "none":
        return
    hair = darker(identity.hair_color, 0.12)
    _, mouth = mouth_center(identity)
    chin = chin_height(identity)
    if identity.beard in ("full", "stubble"):
        color = hair if identity.beard == "full" else mix(identity.skin, hair, 0.26)
        outline = head_outline(identity)
        jaw = outline[outline[:, 1] > 0.12] * (1.0, 1.03 if identity.beard == "full" else 1.0)
        rim = open_curve([(-0.86, 0.1), (-0.72, 0.42), (-0.42, mouth - 0.2), (0, mouth - 0.17), (0.42, mouth - 0.2),
                          (0.72, 0.42), (0.86, 0.1)])  # fmt: skip
        right = jaw[jaw[:, 0] > 0]
        left = jaw[jaw[:, 0] <= 0]
        canvas.fill(np.concatenate([rim, right, left]), color, on_face=False)
    if identity.beard in ("moustache", "goatee"):
        w = identity.mouth_width
        knots = [(-w * 1.15, mouth + 0.02), (-w * 0.6, mouth - 0.15), (0, mouth - 0.17), (w * 0.6, mouth - 0.15),
                 (w * 1.15, mouth + 0.02), (w * 0.5, mouth - 0.04), (0, mouth - 0.06),
                 (-w * 0.5, mouth - 0.04)]  # fmt: skip
        canvas.fill(closed_curve(knots), hair)
    if identity.beard == "goatee":
        canvas.fill(circle(0, (mouth + chin) / 2 + 0.07, 0.24, (chin - mouth) / 2 - 0.02), hair)


def _paint_nose(canvas: Canvas, identity: Identity) -> None:
    _, tip = nose_tip(identity)
    width = identity.nose_width
    shade = mix(darker(identity.skin, 0.3), (150, 50, 40), 0.12)
    under = [(-width * 1.05, tip + 0.05), (-width * 0.5, tip + 0.12), (0, tip + 0.15), (width * 0.5, tip + 0.12),
             (width * 1.05, tip + 0.05), (0, tip + 0.09)]  # fmt: skip
    canvas.fill(closed_curve(under), mix(identity.skin, shade, 0.75))
    for side in (-1, 1):
        canvas.fill(circle(side * width * 0.48, tip + 0.085, 0.052, 0.03, side * 0.4), darker(identity.skin, 0.6))
        wing = [(side * width * 0.8, tip - 0.08), (side * width * 1.12, tip), (side * width * 0.95, tip + 0.09)]
        canvas.stroke(open_curve(wing), mix(identity.skin, shade, 0.8), 0.03)


def _paint_mouth(canvas: Canvas, identity: Identity, pose: Pose) -> None:
    _, v = mouth_center(identity)
    half = identity.mouth_width * pose.mouth_width
    corner = v - pose.corner_lift * 0.75
    sag = v + pose.corner_lift * 0.25  # the middle of the mouth line moves against its corners
    up, low = identity.lip_upper, identity.lip_lower
    top, bottom = sag - pose.opening * 0.3, sag + pose.opening * 0.7
    upper = closed_curve([
        (-half, corner), (-half * 0.5, (corner + top) / 2 - up * 0.75), (-half * 0.16, top - up), (0, top - up * 0.7),
        (half * 0.16, top - up), (half * 0.5, (corner + top) / 2 - up * 0.75), (half, corner),
        (half * 0.5, bottom * 0.55 + corner * 0.45), (0, bottom), (-half * 0.5, bottom * 0.55 + corner * 0.45),
    ])  # fmt: skip
    lower = closed_curve([
        (-half * 0.97, corner), (-half * 0.45, bottom * 0.8 + corner * 0.2), (0, bottom),
        (half * 0.45, bottom * 0.8 + corner * 0.2),
        (half * 0.97, corner), (half * 0.5, bottom * 0.75 + corner * 0.25 + low * 0.85), (0, bottom + low),
        (-half * 0.5, bottom * 0.75 + corner * 0.25 + low * 0.85),
    ])  # fmt: skip
    canvas.fill(upper, darker(identity.lip_color, 0.14))
    canvas.fill(lower, identity.lip_color)
    if pose.opening:
        _paint_open_mouth(canvas, pose, half, corner, top, bottom)
    else:
        line = open_curve(
            [
                (-half, corner),
                (-half * 0.45, sag * 0.85 + corner * 0.15),
                (0, sag),
                (half * 0.45, sag * 0.85 + corner * 0.15),
                (half, corner),
            ]
        )
        canvas.stroke(line, darker(identity.lip_color, 0.6), 0.035)
    shine = mix(identity.lip_color, (255, 240, 236), 0.28)
    canvas.fill(circle(0, bottom + low * 0.52, half * 0.3, low * 0.2), shine)


def _paint_open_mouth(canvas: Canvas, pose: Pose, half: float, corner: float, top: float, bottom: float) -> None:
    w = half * 0.9
    rim = closed_curve([
        (-w, corner), (-w * 0.5, top * 0.7 + corner * 0.3), (0, top), (w * 0.5, top * 0.7 + corner * 0.3), (w, corner),
        (w * 0.6, bottom * 0.72 + corner * 0.28), (0, bottom), (-w * 0.6, bottom * 0.72 + corner * 0.28),
    ])  # fmt: skip
    canvas.fill(rim, (74, 20, 26))
    if pose.teeth:
        canvas.fill(rim * (0.93, 0.8) + (0, 0.2 * top), (246, 242, 234))
    else:
        canvas.fill(circle(0, bottom - 0.07, w * 0.55, 0.06), (190, 84, 88))


def _paint_eye(canvas: Canvas, identity: Identity, pose: Pose, side: int) -> None:
    w, h = identity.eye_width, identity.eye_open * pose.eye_open
    lift = identity.eye_tilt * w * 0.5

    def at(points: list[tuple[float, float]]) -> Points:
        """Eye frame (inner corner at -1, outer at 1, up at -1) to face units."""
        local = np.array(points, dtype=np.float64)
        u = local[:, 0] * w
        v = local[:, 1] * h - lift * local[:, 0]
        return np.stack([side * (identity.eye_spacing + u), identity.eye_height + v], axis=1)

    upper = open_curve(at([(-1, 0.15), (-0.55, -0.72), (0.05, -1.0), (0.6, -0.72), (1.02, -0.05)]))
    lower = open_curve(at([(1.02, -0.05), (0.5, 0.68), (0, 0.78), (-0.5, 0.62), (-1, 0.15)]))
    socket = mix(identity.skin, darker(identity.skin, 0.34), 0.55)
    canvas.fill(
        closed_curve(at([(-1.05, -0.1), (-0.4, -1.55), (0.4, -1.75), (1.15, -0.8), (1.1, 0.1), (0, -0.6)])), socket
    )
    canvas.fill(np.concatenate([upper, lower]), (244, 242, 240))
    _paint_iris(canvas, identity, side)
    # Lids are painted over what of the iris stands above or below the eye's opening.
    canvas.fill(np.concatenate([upper, at([(1.15, -0.8), (0.5, -1.45), (-0.4, -1.3)])]), socket)
    canvas.fill(np.concatenate([lower, at([(-1, 0.6), (-0.4, 1.75), (0.4, 1.75), (1.1, 0.6)])]), identity.skin)
    lash = (36, 24, 24) if identity.lashes > 0.5 else darker(identity.skin, 0.78)
    canvas.stroke(upper, lash, 0.032 + 0.035 * identity.lashes)
    canvas.stroke(lower, darker(identity.skin, 0.36), 0.018)
    if identity.lashes > 0.5:
        canvas.stroke(at([(0.92, -0.1), (1.32, -0.75)]), lash, 0.035)


def _paint_iris(canvas: Canvas, identity: Identity, side: int) -> None:
    u, v = side * identity.eye_spacing, identity.eye_height
    radius = 0.09 + 0.22 * (identity.eye_open - 0.09)
    canvas.fill(circle(u, v, radius), darker(identity.iris, 0.45))
    canvas.fill(circle(u, v, radius * 0.84), identity.iris)
    canvas.fill(circle(u, v + radius * 0.35, radius * 0.5, radius * 0.35), mix(identity.iris, (255, 250, 230), 0.22))
    canvas.fill(circle(u, v, radius * 0.45), (14, 12, 14))
    glint = -1 if canvas.nuisance.light[0] < 0 else 1
    canvas.fill(circle(u + glint * radius * 0.36, v - radius * 0.4, radius * 0.25), (255, 255, 255))


def _paint_brow(canvas: Canvas, identity: Identity, pose: Pose, side: int) -> None:
    thick = identity.brow_thickness
    base = identity.eye_height - identity.brow_lift - pose.brow_lift
    inner = base - pose.brow_inner + 0.3 * identity.brow_tilt
    outer = base + 0.5 * pose.brow_inner + 0.06 - 0.3 * identity.brow_tilt
    middle = base - identity.brow_arch
    s, w = identity.eye_spacing, identity.eye_width
    curve = open_curve(
        [(s - 1.12 * w, inner), (s + 0.15 * w, (middle + inner) / 2), (s + 0.75 * w, middle), (s + 1.45 * w, outer)]
    )
    taper = thick * np.interp(np.linspace(0, 1, len(curve)), (0, 0.2, 0.6, 1), (0.75, 1, 0.85, 0.15))
    edge = np.concatenate(
        [curve - np.stack([0 * taper, taper], 1), (curve + np.stack([0 * taper, 0.6 * taper], 1))[::-1]]
    )
    canvas.fill(edge * (side, 1), _brow_color(identity))


def _brow_color(identity: Identity) -> Color:
    """Brows are darker than the hair, and never as light as the skin."""
    return mix(darker(identity.hair_color, 0.4), darker(identity.skin, 0.6), 0.3)
