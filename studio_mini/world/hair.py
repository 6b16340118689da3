"""Hair styles: what lies behind the head, what lies on it, and the strands that give it texture."""

from __future__ import annotations

import numpy as np

from studio_mini.world.canvas import Canvas, Points, circle, closed_curve, darker, mix, open_curve
from studio_mini.world.identity import Color, Identity

_LONG = ("bob", "long_straight", "long_wavy")


def paint_hair_behind(canvas: Canvas, identity: Identity) -> None:
    """Paint the mass of hair behind head and neck."""
    color = darker(identity.hair_color, 0.22)
    volume = identity.hair_volume
    if identity.hair_style in _LONG:
        low = 0.95 if identity.hair_style == "bob" else 2.4
        wide = 1.16 + 0.14 * volume
        mass = [(0, -1.3), (0.8, -1.1), (wide, -0.3), (wide + 0.06, low * 0.5), (wide, low), (0.4, low + 0.06)]
        knots = np.array(mass + [(-u, v) for u, v in reversed(mass[1:])])
        if identity.hair_style == "long_wavy":
            curve = closed_curve(knots)
            curve[:, 0] += 0.09 * np.sin(curve[:, 1] * 7) * np.sign(curve[:, 0])
            canvas.fill(curve, color, on_face=False, kind="hair")
        else:
            canvas.fill(closed_curve(knots), color, on_face=False, kind="hair")
    elif identity.hair_style == "curly":
        for u, v, radius in _curls(identity, behind=True):
            canvas.fill(circle(u, v, radius), identity.hair_color, on_face=False, kind="hair")
            canvas.fill(circle(u, v, 0.45 * radius), darker(identity.hair_color, -0.06), on_face=False, kind="hair")
    elif identity.hair_style == "bun":
        canvas.fill(circle(0.05, -1.42, 0.34 + 0.1 * volume), identity.hair_color, on_face=False, kind="hair")


def paint_hair(canvas: Canvas, identity: Identity) -> None:
    """Paint the hair that lies on the head and frames the face."""
    style = identity.hair_style
    if style == "bald":
        return
    if style in ("buzz", "mohawk"):
        stubble = mix(identity.skin, identity.hair_color, 0.62 if style == "buzz" else 0.3)
        canvas.fill(_cap(0.03, _receding(-0.76)), stubble, on_face=False, kind="hair")
    if style == "mohawk":
        crest = [
            (-0.2, -0.74),
            (-0.3, -1.2),
            (-0.2, -1.6),
            (0.0, -1.72),
            (0.2, -1.6),
            (0.3, -1.2),
            (0.2, -0.74),
            (0, -0.66),
        ]
        canvas.fill(closed_curve(crest), identity.hair_color, on_face=False, kind="hair")
    elif style == "curly":
        canvas.fill(_cap(0.14, _receding(-0.7)), identity.hair_color, on_face=False, kind="hair")
        for u, v, radius in _curls(identity, behind=False):
            canvas.fill(circle(u, v, radius), identity.hair_color, on_face=False, kind="hair")
            canvas.fill(circle(u, v, 0.5 * radius), darker(identity.hair_color, 0.07), on_face=False, kind="hair")
    elif style != "buzz":
        canvas.fill(_front(identity), identity.hair_color, on_face=False, kind="hair")
        _paint_strands(canvas, identity)


def _receding(height: float) -> list[tuple[float, float]]:
    """A plain hairline, from the picture's right to its left."""
    return [
        (0.97, -0.22),
        (0.84, -0.5),
        (0.6, height),
        (0.0, height - 0.07),
        (-0.6, height),
        (-0.84, -0.5),
        (-0.97, -0.22),
    ]


def _cap(volume: float, hairline: list[tuple[float, float]], sides: float = -0.1, crest: float = 0.0) -> Points:
    """The band between the crown's outline, ``volume`` outside the skull, and the ``hairline``."""
    out = 1 + volume * 0.6
    crown = [
        (-1.0 * out, sides), (-1.02 * out, -0.45), (-0.86 * out, -0.88 - volume * 0.5),
        (-0.52, -1.16 - volume - crest * 0.9),
        (0.0, -1.25 - volume - crest), (0.52, -1.16 - volume - crest * 0.9), (0.86 * out, -0.88 - volume * 0.5),
        (1.02 * out, -0.45), (1.0 * out, sides),
    ]  # fmt: skip
    return np.concatenate([open_curve(crown), open_curve(hairline)])


def _front(identity: Identity) -> Points:
    style, volume, part = identity.hair_style, identity.hair_volume, identity.parting
    if style == "quiff":
        line = [(0.97, -0.2), (0.86, -0.55), (0.62, -0.86), (0.1, -0.78), (-0.62, -0.86), (-0.86, -0.55), (-0.97, -0.2)]
        return _cap(0.06, line, crest=0.2 + 0.14 * volume)
    if style == "bun":
        return _cap(0.05, _receding(-0.84), sides=-0.02)
    if style == "side_part":
        side = np.sign(part)
        line = [
            (0.97, -0.15),
            (0.88, -0.52),
            (0.6, -0.7),
            (0.25, -0.66),
            (-0.35, -0.92),
            (-0.72, -0.74),
            (-0.9, -0.5),
            (-0.97, -0.15),
        ]
        mirrored = line if side > 0 else [(-u, v) for u, v in reversed(line)]
        return _cap(0.08 + 0.09 * volume, mirrored, sides=-0.05)
    low = 0.7 if style == "bob" else 1.5
    if identity.fringe:
        line = [
            (0.86, low),
            (0.92, 0.1),
            (0.84, -0.42),
            (0.45, -0.5),
            (0, -0.52),
            (-0.45, -0.5),
            (-0.84, -0.42),
            (-0.92, 0.1),
            (-0.86, low),
        ]
    else:
        line = [
            (0.84, low),
            (0.95, 0.1),
            (0.86, -0.36),
            (0.55, -0.74),
            (part, -1.0),
            (-0.55, -0.74),
            (-0.86, -0.36),
            (-0.95, 0.1),
            (-0.84, low),
        ]
    return _cap(0.08 + 0.08 * volume, line, sides=low)


def _curls(identity: Identity, behind: bool) -> list[tuple[float, float, float]]:
    """Centers and radii of the curls around the crown."""
    rng = np.random.default_rng(identity.texture_seed)
    reach = 1.12 + 0.2 * identity.hair_volume if behind else 1.06
    span = 1.12 if behind else 0.78
    angles = np.linspace(-span, span, 13 if behind else 9) * np.pi / 2
    size = 0.24 + 0.08 * identity.hair_volume if behind else 0.19
    return [
        (float(np.sin(a) * reach * 0.95), float(-0.12 - np.cos(a) * reach), float(size * rng.uniform(0.85, 1.15)))
        for a in angles
    ]


def _paint_strands(canvas: Canvas, identity: Identity) -> None:
    """Lighter and darker strands along the crown, from the parting outwards."""
    rng = np.random.default_rng(identity.texture_seed)
    for k in range(9):
        reach = 0.25 + 0.085 * k
        tone: Color = darker(identity.hair_color, float(rng.uniform(-0.2, 0.2)))
        side = 1 if k % 2 else -1
        knots = [
            (identity.parting * 0.6, -1.18),
            (side * reach * 0.8, -1.16 + 0.18 * reach),
            (side * (reach + 0.1), -0.98 + 0.22 * reach),
        ]
        canvas.stroke(open_curve(knots), tone, 0.03, on_face=False)
