"""A picture that was made in a frame, back into the scene at the scene's own resolution.

A working picture has lost the scene's fine detail, and a model redraws what it was not asked to touch, a little softer
and a little off in tone. So where the picture differs from the working scene in nothing but fine texture, the scene's
own pixels stay, with the change of tone; where more has changed, and all over the face that was replaced, the picture
is laid in, enlarged (or shrunk) to the frame's rectangle. Towards the frame's border, where there is scene beyond it,
and towards the inner border of a mask both fade into the scene.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from eacps.imaging.framing import Box, Frame
from eacps.imaging.types import Mask, Picture

METHOD = "paste@1"
"""Names all of this: another method, other pictures."""
SEAM_SHARE, MASK_SHARE = 16, 64
"""The frame's shorter side over these is how many pixels the two fades take."""
MIN_FADE, MAX_MASK_FADE = 2, 16
SAME, CHANGED = 6.0, 18.0
"""Up to the first difference from the working scene (levels of 255, fine texture smoothed away) it is the scene that is
delivered, from the second on the picture; in between, a mixture."""
COARSE_SIDE = 128
"""Pixels of the shorter side at which pictures are compared; a smaller one is compared as it is."""
_SIGMA = 2.0  # of those pixels: what is finer is texture
_NO_TONE = 128
_ROWS = 256  # worked on at once, so that sixteen megapixels of floats are never held

Weights = npt.NDArray[np.float32]


def paste_back(
    scene: Picture,
    picture: Picture,
    frame: Frame,
    *,
    working: Picture,
    face: Box | None = None,
    mask: Mask | None = None,
) -> Picture:
    """Put a picture into the scene that it was made from.

    Args:
        scene: As it came, ``uint8 [H, W, 3]``. Not modified.
        picture: ``uint8 [h, w, 3]``, of the frame's size.
        frame: Where in the scene.
        working: The scene in the frame, ``uint8 [h, w, 3]``, as the picture was made from it.
        face: That was replaced, in pixels of ``working``: of another person not even the texture of the skin stays.
        mask: ``uint8 [H, W]``, above 0 where the scene may change; None: everywhere in the frame.

    Returns:
        ``uint8 [H, W, 3]``: exactly the scene outside the frame and where the mask is black; the picture itself where
        the frame is all of the scene at the frame's size.
    """
    if frame.is_all_of(scene):
        return picture
    left, top, right, bottom = frame.rectangle
    framed, result = scene[top:bottom, left:right], scene.copy()
    fade = _border_fade(frame, scene.shape[1], scene.shape[0])
    inside = None if mask is None else _mask_fade(mask[top:bottom, left:right])
    change = _changed(picture, working, face)
    made, tone, share = (_enlarged(one, frame.extent) for one in (picture, change.tone, change.share))
    for first in range(0, frame.extent[1], _ROWS):
        rows = slice(first, first + _ROWS)
        weight = fade[0][None, :] * fade[1][rows, None]
        if inside is not None:
            weight = weight * inside[rows]
        own = framed[rows].astype(np.float32)
        kept, new = own + (tone[rows].astype(np.float32) - _NO_TONE), made[rows]
        mixed = own + weight[..., None] * (kept + share[rows, :, None] / np.float32(255) * (new - kept) - own)
        result[top:bottom, left:right][rows] = np.rint(mixed).clip(0, 255).astype(np.uint8)
    return result


@dataclass(frozen=True)
class _Change:
    """How a picture differs from the working scene, at a coarse size.

    Args:
        tone: ``uint8 [h, w, 3]``, the smoothed difference, 128 being none.
        share: ``uint8 [h, w]``, how much of the picture is delivered.
    """

    tone: Picture
    share: npt.NDArray[np.uint8]


def _changed(picture: Picture, working: Picture, face: Box | None) -> _Change:
    smooth = [_smoothed(one) for one in (picture, working)]
    difference = smooth[0] - smooth[1]
    share = (np.abs(difference).max(axis=2) - SAME) / (CHANGED - SAME)
    if face is not None:
        scale = share.shape[0] / working.shape[0]
        left, top, right, bottom = (max(0, round(edge * scale)) for edge in face)
        share[top:bottom, left:right][(difference != 0).any(axis=2)[top:bottom, left:right]] = 1
    wide = Image.fromarray(np.rint(255 * share.clip(0, 1)).astype(np.uint8))
    # What lies within the reach of the smoothing is changed too: an edge that moved leaves no trace beside itself.
    wide = wide.filter(ImageFilter.MaxFilter(2 * math.ceil(_SIGMA) + 1)).filter(ImageFilter.GaussianBlur(_SIGMA))
    tone = np.rint(difference).clip(-_NO_TONE, 255 - _NO_TONE) + _NO_TONE
    return _Change(tone.astype(np.uint8), np.asarray(wide))


def _smoothed(picture: Picture) -> Weights:
    """A picture without its fine texture: its shorter side brought down to `COARSE_SIDE`, and blurred there."""
    image = Image.fromarray(picture)
    scale = min(1.0, COARSE_SIDE / min(image.size))
    coarse = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BOX)
    return np.asarray(coarse.filter(ImageFilter.GaussianBlur(_SIGMA)), np.float32)


def _enlarged(picture: npt.NDArray[np.uint8], extent: tuple[int, int]) -> npt.NDArray[np.uint8]:
    return np.asarray(Image.fromarray(picture).resize(extent, Image.Resampling.BICUBIC))


def _border_fade(frame: Frame, width: int, height: int) -> tuple[Weights, Weights]:
    """Weights by column and by row: rising smoothly from those borders of the frame beyond which there is scene."""
    left, top, right, bottom = frame.rectangle
    reach = max(MIN_FADE, min(frame.extent) // SEAM_SHARE)
    across = _fade(right - left, reach, before=left > 0, after=right < width)
    down = _fade(bottom - top, reach, before=top > 0, after=bottom < height)
    return across, down


def _fade(length: int, reach: int, *, before: bool, after: bool) -> Weights:
    ramp = ((np.arange(length) + 0.5) / reach).clip(0, 1).astype(np.float32)
    smooth = ramp * ramp * (3 - 2 * ramp)
    weights = np.ones(length, np.float32)
    if before:
        weights *= smooth
    if after:
        weights *= smooth[::-1]
    return weights


def _mask_fade(mask: Mask) -> Weights:
    """0 where the mask is black, rising inwards to 1 within a few pixels; the picture's border is no edge."""
    reach = min(MAX_MASK_FADE, max(MIN_FADE, min(mask.shape) // MASK_SHARE))
    inside = (mask > 0).astype(np.uint8)
    depth = np.zeros_like(inside)
    for _ in range(reach):
        depth += inside
        inside = _eroded(inside)
    return np.asarray(depth.astype(np.float32) / np.float32(reach))


def _eroded(inside: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Where all neighbours are inside too; those beyond the picture count as inside."""
    for axis in (0, 1):
        ahead, behind = np.roll(inside, -1, axis), np.roll(inside, 1, axis)
        edge = [slice(None), slice(None)]
        edge[axis] = slice(-1, None)
        ahead[tuple(edge)] = 1
        edge[axis] = slice(0, 1)
        behind[tuple(edge)] = 1
        inside = inside & ahead & behind
    return inside
