"""From a person, a situation and a look to a picture with its ground truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from studio_mini.world.accessories import paint_accessory
from studio_mini.world.canvas import SUPERSAMPLING, Canvas, circle
from studio_mini.world.features import landmarks, mouth_center, paint_features
from studio_mini.world.hair import paint_hair, paint_hair_behind
from studio_mini.world.head import face_box, paint_body, paint_head
from studio_mini.world.identity import Identity
from studio_mini.world.nuisance import PICTURE_SIZE, Nuisance
from studio_mini.world.prompts import Accessory, Look
from studio_mini.world.shading import shade

_BACKGROUND_SIDE: Final = 24
# Hair that would stand out above a hat is left out under one.
_PILED_UP: Final = ("mohawk", "quiff", "bun")
_GRID: Final = np.stack(np.meshgrid(*[np.linspace(0, 1, _BACKGROUND_SIDE)] * 2), -1)


@dataclass(frozen=True, eq=False)
class RenderedFace:
    """A drawn face and what is true of it.

    Attributes:
        picture: uint8 [128, 128, 3], RGB.
        box: float32 [4], x1 y1 x2 y2 in pixels, cheek to cheek and mid-forehead to chin.
        landmarks: float32 [5, 2], pixels (x, y): left eye, right eye, nose, left and right mouth corner, left being
            the picture's left, as InsightFace orders them.
        inner_face: uint8 [128, 128], 255 inside brows, cheeks and mouth, feathered over a few pixels.
    """

    picture: NDArray[np.uint8]
    box: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    inner_face: NDArray[np.uint8]


def render(identity: Identity, nuisance: Nuisance, look: Look | None = None) -> RenderedFace:
    """Draw ``identity`` in the situation ``nuisance`` with ``look`` (neutral and bare where left out)."""
    look = look or Look()
    canvas = Canvas(nuisance, _background(nuisance))
    hatted = look.accessory is Accessory.HAT
    if not (hatted and identity.hair_style in _PILED_UP):
        paint_hair_behind(canvas, identity)
    paint_body(canvas, identity)
    paint_head(canvas, identity)
    paint_features(canvas, identity, look.expression)
    if not (hatted and identity.hair_style in _PILED_UP):
        paint_hair(canvas, identity)
    paint_accessory(canvas, identity, look.accessory)
    flat = np.asarray(canvas.image.reduce(SUPERSAMPLING), dtype=np.float32)
    skin, hair = (np.asarray(m.reduce(SUPERSAMPLING), np.float32) / np.float32(255) for m in (canvas.skin, canvas.hair))
    lit = shade(canvas, identity, flat, skin, hair)
    return RenderedFace(
        picture=np.clip(lit + 0.5, 0, 255).astype(np.uint8),
        box=face_box(canvas, identity).astype(np.float32),
        landmarks=canvas.place(landmarks(identity, look.expression)).astype(np.float32),
        inner_face=_inner_face(canvas, identity),
    )


def _background(nuisance: Nuisance) -> Image.Image:
    """A soft gradient with one or two blurred spots."""
    rng = np.random.default_rng(nuisance.background_seed)
    colors = np.array(nuisance.background, dtype=np.float64)
    angle = rng.uniform(0, 2 * np.pi)
    ramp = np.clip(0.5 + (_GRID - 0.5) @ (np.cos(angle), np.sin(angle)), 0, 1)[..., None]
    picture = colors[0] * (1 - ramp) + colors[1] * ramp
    for color in colors[2:]:
        spot = np.exp(-(((_GRID - rng.uniform(0, 1, 2)) / rng.uniform(0.2, 0.4)) ** 2).sum(-1))[..., None]
        picture = picture * (1 - 0.8 * spot) + color * 0.8 * spot
    return Image.fromarray(picture.astype(np.uint8))


def _inner_face(canvas: Canvas, identity: Identity) -> NDArray[np.uint8]:
    """The oval that a face swap replaces."""
    mask = Image.new("L", (PICTURE_SIZE, PICTURE_SIZE))
    top = identity.eye_height - identity.brow_lift - 0.16
    bottom = mouth_center(identity)[1] + 0.26
    oval = circle(0.0, (top + bottom) / 2, 0.76, (bottom - top) / 2)
    ImageDraw.Draw(mask).polygon([float(x) for x in canvas.place(oval).ravel()], fill=255)
    return np.asarray(mask.filter(ImageFilter.BoxBlur(2)))
