"""A file as a mask: how far each pixel of the scene may change."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from eacps.arrays import Mask
from eacps.errors import InvalidPicture
from eacps.imaging.decoding import Decoded
from eacps.imaging.limits import Limits
from eacps.imaging.reading import read_source
from eacps.imaging.source import Samples, Source
from eacps.imaging.spaces import LUMA, Space

NOISE = 8
"""Levels next to black and to white that count as these: formats with loss leave noise there."""
_WHITE = 128
_ROWS = 1024


def decode_mask(data: bytes, limits: Limits | None = None) -> Decoded:
    """Decode a mask: its brightness, or its opacity where anything of it is transparent.

    A mask that was painted on transparency is white where it was painted, in any color. Color profiles do not
    count: a share is no color.

    Args:
        data: The encoded file.
        limits: Bounds; defaults to `Limits()`.

    Returns:
        ``uint8 [H, W]``: 255 where the scene may change, 0 where it must not, and shares in between.

    Raises:
        InvalidPicture: As of `read_source`; or the mask is of one level everywhere, or shows no white.
    """
    source = read_source(data, limits or Limits())
    mask = _shares(source)
    least, most = int(mask.min()), int(mask.max())
    if most < _WHITE:
        seen = "is black everywhere" if not most else f"shows no white: its brightest pixel is {most} of 255"
        raise InvalidPicture(f"{seen}, so nothing may change")
    if least == most:
        raise InvalidPicture("shows no contrast: it is of one level everywhere; without a mask, everything may change")
    return Decoded(mask, tuple(note for note in source.notes if "color" not in note))


def _shares(source: Source) -> Mask:
    space, bands = Space(source), range(0, source.samples.shape[0], _ROWS)
    samples = [source.samples[first : first + _ROWS] for first in bands]
    alphas = [space.alpha(band) for band in samples]
    transparent = any(alpha is not None and bool((alpha < 1).any()) for alpha in alphas)
    shares = [
        alpha if transparent and alpha is not None else _brightness(source, band)
        for alpha, band in zip(alphas, samples, strict=True)
    ]
    levels = np.concatenate([np.rint(255 * share).astype(np.uint8) for share in shares])
    levels[levels < NOISE] = 0
    levels[levels > 255 - NOISE] = 255
    return levels


def _brightness(source: Source, samples: Samples) -> npt.NDArray[np.float32]:
    if source.linear:  # shares are written as they are, not as light
        values = np.nan_to_num(samples[..., : source.color.channels].astype(np.float32), nan=0).clip(0, 1)
        return np.asarray(values @ LUMA if values.shape[2] == 3 else values[..., 0])
    shown = Space(replace(source, profile=None, alpha=None)).picture(samples)
    return np.asarray(shown @ LUMA / np.float32(255), np.float32)
