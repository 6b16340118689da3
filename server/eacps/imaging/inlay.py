"""A picture that was made of a part of a scene, back into the scene: in its own depth, mode and colors.

A working picture has lost the scene's fine detail, and a model redraws what it was not asked to touch, a little softer
and a little off in tone. So where the picture differs from the working scene in nothing but fine texture, the scene's
own pixels stay, with the change of tone; where more has changed, and all over the face that was replaced, the picture
is laid in, enlarged (or shrunk) to the frame's rectangle. Towards the frame's border, where there is scene beyond it,
and toward the inner border of a mask both fade into the scene.

Samples to which that adds nothing are not touched: they stay as they are to the last bit.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from eacps.arrays import Mask, Picture
from eacps.imaging.preserved import preserved_region
from eacps.imaging.registration import WORTH, corrected, measure_alignment
from eacps.imaging.source import Samples, Source
from eacps.imaging.spaces import Encoded, Space

SEAM_SHARE, MASK_SHARE = 16, 64
"""The frame's shorter side over these is how many pixels the two fades take."""
MIN_FADE, MAX_MASK_FADE = 2, 16
SAME, CHANGED = 6.0, 18.0
"""Up to the first difference from the working scene (levels of 255, fine texture smoothed away) it is the scene that is
delivered, from the second on the picture; in between, a mixture."""
COARSE_SIDE = 128
"""Pixels of the shorter side at which pictures are compared; a smaller one is compared as it is."""
_SIGMA = 2.0  # of those pixels: what is finer is texture
_ROWS = 256  # worked on at once, so that floats of a large scene are never held


@dataclass(frozen=True, eq=False)
class Inlay:
    """What is laid into a scene.

    Args:
        picture: ``uint8 [h, w, 3]``.
        working: The part of the scene that it was made from, ``uint8 [h, w, 3]``.
        rectangle: Left, top, right and bottom of that part, in pixels of the scene.
        face: That was replaced, xyxy in pixels of ``working``: of another person not even the texture of the skin
            stays. None: no face was.
        mask: ``uint8 [H, W]`` of the scene's size, the share that may change of 255; None: all of the rectangle.
    """

    picture: Picture
    working: Picture
    rectangle: tuple[int, int, int, int]
    face: tuple[float, float, float, float] | None = None
    mask: Mask | None = None


@dataclass(frozen=True, eq=False)
class Band:
    """Some rows of the rectangle.

    Args:
        rows, columns: Of the scene.
        patch: Color samples of what is laid in, before it fades.
        weight: ``float32 [rows, columns]``: how much of it.
        laid: Color samples of the result.
    """

    rows: slice
    columns: slice
    patch: Samples
    weight: npt.NDArray[np.float32]
    laid: Samples


def registered(inlay: Inlay) -> Inlay:
    """Return an inlay whose picture lies over its scene; as it is where that is not sure, or it does already."""
    height, width = inlay.working.shape[:2]
    kept = np.ones((height, width), bool)
    if inlay.mask is not None:
        mask = Image.fromarray(inlay.mask)
        kept = np.asarray(mask.resize((width, height), Image.Resampling.NEAREST, box=inlay.rectangle)) == 0
    elif inlay.face is not None:
        beside = preserved_region(height, width, mask=None, face=inlay.face)
        kept = beside if beside.any() else kept
    found = measure_alignment(inlay.picture, inlay.working, kept, exact_from=WORTH)
    if found is None or not found.sure or found.displacement < WORTH:
        return inlay
    return replace(inlay, picture=corrected(inlay.picture, found))


def lay_in(source: Source, inlay: Inlay) -> None:
    """Lay a picture into a source, in place."""
    colors = source.samples[..., : source.color.channels]
    for band in bands(source, inlay):
        colors[band.rows, band.columns] = band.laid


def bands(source: Source, inlay: Inlay) -> Iterator[Band]:
    """Yield what is laid into a source, from top to bottom. A band may be written into it before the next is made."""
    left, top, right, bottom = inlay.rectangle
    space, (height, width) = Space(source), source.samples.shape[:2]
    whole = inlay.picture.shape[:2] == (height, width) and inlay.rectangle == (0, 0, width, height)
    change = _all_new(space, inlay) if whole else _changed(space, inlay)
    across, down = _border_fade(inlay.rectangle, width, height)
    shares = None if inlay.mask is None else _mask_weights(inlay.mask[top:bottom, left:right], faded=whole)
    columns, extent = slice(left, right), (right - left, bottom - top)
    for first in range(0, extent[1], _ROWS):
        inner = slice(first, min(first + _ROWS, extent[1]))
        rows = slice(top + inner.start, top + inner.stop)
        weight = across[None, :] * down[inner, None]
        if shares is not None:
            weight = weight * shares[inner]
        yield _band(space, rows, columns, weight, change.part(extent, inner))


def _band(space: Space, rows: slice, columns: slice, weight: npt.NDArray[np.float32], change: "_Change") -> Band:
    samples = space.source.samples[rows, columns]
    colors, alpha = samples[..., : space.source.color.channels], space.alpha(samples)
    own = space.encoded(samples)
    if colors.dtype.kind == "f":
        own = np.nan_to_num(own, nan=0, posinf=0, neginf=0)
    share = change.share[..., None]
    shown = own if alpha is None else space.white + alpha[..., None] * (own - space.white)
    added = (1 - share) * change.tone + share * (change.new - shown)
    if alpha is not None:  # the picture was made of what shows over white, of which this is a part
        added = np.divide(added, alpha[..., None], out=np.zeros_like(added), where=alpha[..., None] > 0)
    changed = _any_channel(added != 0)[..., None]
    patch = np.where(changed, space.samples(own + added, alpha), colors)
    # Mixed as stored, so that a compositor who lays the patch over the scene with this weight has the same result.
    mixed = colors.astype(np.float32) + weight[..., None] * (patch.astype(np.float32) - colors.astype(np.float32))
    mixed = mixed if colors.dtype.kind == "f" else np.rint(mixed)
    laid = np.where(changed & (weight[..., None] > 0), mixed.astype(colors.dtype), colors)
    return Band(rows, columns, patch, weight, laid)


@dataclass(frozen=True, eq=False)
class _Change:
    """How a picture differs from the working scene, in the source's own space.

    Args:
        new: ``float32 [h, w, C]``, encoded: the picture.
        tone: ``float32 [h, w, C]``, the smoothed difference.
        share: ``float32 [h, w]``, how much of the picture is delivered, of 1.
    """

    new: Encoded
    tone: Encoded
    share: npt.NDArray[np.float32]

    def part(self, extent: tuple[int, int], rows: slice) -> "_Change":
        """Return some rows of it, enlarged to an extent, width and height."""
        new, tone, share = (_enlarged(one, extent, rows) for one in (self.new, self.tone, self.share[..., None]))
        return _Change(new, tone, share[..., 0].clip(0, 1))


def _all_new(space: Space, inlay: Inlay) -> _Change:
    """Of a picture that is all of the scene, pixel for pixel: itself, where it differs from what it was made from."""
    new = space.from_srgb(inlay.picture)
    differs = _any_channel(inlay.picture != inlay.working)
    return _Change(new, np.zeros_like(new), differs.astype(np.float32))


def _any_channel(flags: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return ``flags.any(axis=-1)`` of few channels; numpy takes ten times as long for that."""
    found = flags[..., 0].copy()
    for channel in range(1, flags.shape[-1]):
        found |= flags[..., channel]
    return found


def _changed(space: Space, inlay: Inlay) -> _Change:
    difference = _smoothed(inlay.picture) - _smoothed(inlay.working)
    share = (np.abs(difference).max(axis=2) - SAME) / (CHANGED - SAME)
    if inlay.face is not None:
        scale = share.shape[0] / inlay.working.shape[0]
        left, top, right, bottom = (max(0, round(edge * scale)) for edge in inlay.face)
        share[top:bottom, left:right][_any_channel(difference != 0)[top:bottom, left:right]] = 1
    wide = Image.fromarray(np.rint(255 * share.clip(0, 1)).astype(np.uint8))
    # What lies within the reach of the smoothing is changed too: an edge that moved leaves no trace beside itself.
    wide = wide.filter(ImageFilter.MaxFilter(2 * math.ceil(_SIGMA) + 1)).filter(ImageFilter.GaussianBlur(_SIGMA))
    new = space.from_srgb(inlay.picture)
    tone = _tone(new - space.from_srgb(inlay.working), share.shape[:2])
    return _Change(new, tone, np.asarray(wide, np.float32) / np.float32(255))


def _tone(difference: Encoded, size: tuple[int, int]) -> Encoded:
    """A difference without fine texture; what is less than half a level of 255 is none."""
    return np.rint(_smooth(difference, size))


def _smoothed(picture: Picture) -> Encoded:
    """A picture without its fine texture: its shorter side brought down to `COARSE_SIDE`, and blurred there."""
    scale = min(1.0, COARSE_SIDE / min(picture.shape[:2]))
    return _smooth(picture.astype(np.float32), (round(picture.shape[0] * scale), round(picture.shape[1] * scale)))


def _smooth(values: Encoded, size: tuple[int, int]) -> Encoded:
    """Bring ``[h, w, C]`` down to a size, height and width, and blur it there."""
    channels = []
    for channel in np.moveaxis(values, -1, 0):
        coarse = np.asarray(Image.fromarray(channel).resize(size[::-1], Image.Resampling.BOX))
        channels.append(_blurred(coarse))
    return np.stack(channels, axis=-1)


def _blurred(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Blur ``[h, w]`` by a Gaussian; beyond the edges their values go on."""
    reach = math.ceil(3 * _SIGMA)
    window = np.exp(-(np.arange(-reach, reach + 1, dtype=np.float32) ** 2) / np.float32(2 * _SIGMA**2))
    window /= window.sum()
    for axis in (0, 1):
        padded = np.pad(values, [(reach, reach) if axis == one else (0, 0) for one in (0, 1)], mode="edge")
        values = np.asarray(np.lib.stride_tricks.sliding_window_view(padded, window.size, axis) @ window)
    return values


def _enlarged(values: Encoded, extent: tuple[int, int], rows: slice) -> Encoded:
    """Bring ``[h, w, C]`` to an extent, width and height; return some of its rows."""
    height, width = values.shape[:2]
    if (width, height) == extent:
        return np.asarray(values[rows])
    scale = height / extent[1]
    box = (0, rows.start * scale, width, min(rows.stop * scale, height))
    size = (extent[0], rows.stop - rows.start)
    channels = [
        np.asarray(Image.fromarray(channel).resize(size, Image.Resampling.BICUBIC, box=box))
        for channel in np.ascontiguousarray(np.moveaxis(values, -1, 0))
    ]
    return np.stack(channels, axis=-1)


def _border_fade(
    rectangle: tuple[int, int, int, int], width: int, height: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Weights by column and by row: rising smoothly from those borders of the frame beyond which there is scene."""
    left, top, right, bottom = rectangle
    reach = max(MIN_FADE, min(right - left, bottom - top) // SEAM_SHARE)
    across = _fade(right - left, reach, before=left > 0, after=right < width)
    down = _fade(bottom - top, reach, before=top > 0, after=bottom < height)
    return across, down


def _fade(length: int, reach: int, *, before: bool, after: bool) -> npt.NDArray[np.float32]:
    ramp = ((np.arange(length) + 0.5) / reach).clip(0, 1).astype(np.float32)
    smooth = ramp * ramp * (3 - 2 * ramp)
    weights = np.ones(length, np.float32)
    if before:
        weights *= smooth
    if after:
        weights *= smooth[::-1]
    return weights


def _mask_weights(mask: Mask, *, faded: bool) -> npt.NDArray[np.float32]:
    """The shares of a mask, rising inwards from 0 where it is black within a few pixels.

    Args:
        mask: ``uint8 [h, w]``.
        faded: Leave out the rise: the model has faded the picture at this size.
    """
    shares = mask.astype(np.float32) / np.float32(255)
    if faded:
        return shares
    reach = min(MAX_MASK_FADE, max(MIN_FADE, min(mask.shape) // MASK_SHARE))
    inside = (mask > 0).astype(np.uint8)
    depth = np.zeros_like(inside)
    for _ in range(reach):
        depth += inside
        inside = _eroded(inside)
    return np.asarray(np.minimum(shares, depth.astype(np.float32) / np.float32(reach)))


def _eroded(inside: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Where all neighbors are inside too; those beyond the picture count as inside."""
    for axis in (0, 1):
        ahead, behind = np.roll(inside, -1, axis), np.roll(inside, 1, axis)
        edge = [slice(None), slice(None)]
        edge[axis] = slice(-1, None)
        ahead[tuple(edge)] = 1
        edge[axis] = slice(0, 1)
        behind[tuple(edge)] = 1
        inside = inside & ahead & behind
    return inside
