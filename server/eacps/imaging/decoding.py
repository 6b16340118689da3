"""Decode an untrusted file to what models take: sRGB with 8 bits per sample."""

from dataclasses import dataclass

import numpy as np

from eacps.arrays import Picture
from eacps.imaging.limits import Limits
from eacps.imaging.reading import read_source
from eacps.imaging.source import Source
from eacps.imaging.spaces import Space

_ROWS = 256  # converted at once, so that floats of a large picture are never held


@dataclass(frozen=True, eq=False)
class Decoded:
    """A decoded picture.

    Args:
        pixels: ``uint8 [H, W, 3]``, sRGB; of a mask ``uint8 [H, W]``.
        notes: What was not taken as the file has it, each a phrase that continues the picture's name.
    """

    pixels: Picture
    notes: tuple[str, ...] = ()


def decode(data: bytes, limits: Limits | None = None) -> Decoded:
    """Decode a file.

    Orientation is applied, a fitting ICC profile or primaries are converted to sRGB, linear light is encoded and cut
    at white, transparency is laid over white. Of an animation or several pictures the first counts.

    Args:
        data: The encoded file; see `eacps.imaging.reading.FORMATS`.
        limits: Bounds; defaults to `Limits()`.

    Raises:
        InvalidPicture: As of `read_source`.
    """
    source = read_source(data, limits or Limits())
    return Decoded(picture_of(source), tuple(source.notes))


def decode_picture(data: bytes, limits: Limits | None = None) -> Picture:
    """Decode to ``uint8 [H, W, 3]`` without the notes; see `decode`."""
    return decode(data, limits).pixels


def picture_of(source: Source) -> Picture:
    """Return a source as models see it, ``uint8 [H, W, 3]``."""
    space, height = Space(source), source.samples.shape[0]
    picture = np.empty((*source.samples.shape[:2], 3), np.uint8)
    for first in range(0, height, _ROWS):
        rows = slice(first, first + _ROWS)
        picture[rows] = space.picture(source.samples[rows])
    return picture
