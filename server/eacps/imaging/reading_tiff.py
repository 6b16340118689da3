"""TIFF and BigTIFF by tifffile: gray, RGB and CMYK of 8 or 16 bits a sample, half or float."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import tifffile

from eacps.errors import InvalidPicture
from eacps.imaging.limits import Header
from eacps.imaging.profiles import Color, checked_profile
from eacps.imaging.source import CENTIMETER, INCH, Alpha, Container, Resolution, Samples, Source, upright

_COLORS = {
    "MINISBLACK": Color.GRAY,
    "MINISWHITE": Color.GRAY,
    "RGB": Color.RGB,
    "PALETTE": Color.RGB,
    "YCBCR": Color.RGB,
    "SEPARATED": Color.CMYK,
}
_DTYPES = ("uint8", "uint16", "float16", "float32")
_ALPHAS = {1: Alpha.PREMULTIPLIED, 2: Alpha.STRAIGHT}
"""By the number of the extra sample's kind."""
_UNITS = {2: INCH, 3: CENTIMETER}


@dataclass(frozen=True)
class TiffKept:
    """What the writer of a TIFF needs beside the picture.

    Args:
        compression: Number of the scheme.
        inverted: Whether 0 is white.
        byteorder: ``<`` or ``>``.
        extras: Kinds of the samples after the colors.
    """

    compression: int
    inverted: bool
    byteorder: Literal["<", ">"]
    extras: tuple[int, ...]


@contextmanager
def decoding_errors() -> Iterator[None]:
    """Report what a file makes tifffile raise within the block as the file's fault."""
    try:
        yield
    except (InvalidPicture, MemoryError):
        raise
    except Exception as exc:  # tifffile does not promise what a damaged file makes it raise
        raise InvalidPicture(f"cannot be decoded: {exc}") from exc


def read_header(data: bytes) -> Header:
    """Read size and depth; see `eacps.imaging.reading.read_header`."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page: Any = file.pages.first
        width, height = page.imagewidth, page.imagelength
        samples = max(page.samplesperpixel, 3 if page.photometric.name in ("PALETTE", "YCBCR") else 1)
        return Header(width, height, width * height * samples * max(1, (page.bitspersample + 7) // 8))


def read_source(data: bytes) -> Source:
    """Decode; of several pictures the first."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page: Any = file.pages.first
        notes = ["holds several pictures, of which the first was taken"] if len(file.pages) > 1 else []
        _check(page, len(data))
        color, inverted = _COLORS[page.photometric.name], page.photometric.name == "MINISWHITE"
        samples = _samples(page)
        if page.photometric.name == "PALETTE":
            notes.append("has a palette and was read as RGB")
        if page.bitspersample == 1:
            notes.append("has two levels and was read as gray of 8 bits")
        extras = tuple(int(one) for one in page.extrasamples)[: samples.shape[2] - color.channels]
        extras += (0,) * (samples.shape[2] - color.channels - len(extras))
        profile, ignored = checked_profile(page.iccprofile, color)
        if profile and samples.dtype.kind == "f":
            notes.append("has a color profile, which was kept but not applied: floats are taken as linear Rec. 709")
        if inverted:
            samples = np.iinfo(samples.dtype).max - samples
        return Source(
            upright(samples, int(page.tags.valueof(274, 1))),
            color,
            _ALPHAS.get(extras[0]) if extras else None,
            Container.TIFF,
            profile=profile,
            resolution=_resolution(page),
            notes=(*notes, *ignored),
            kept=TiffKept(int(page.compression), inverted, file.byteorder, extras),
        )


def _check(page: Any, size: int) -> None:
    kind, bits, dtype = page.photometric.name, page.bitspersample, page.dtype
    if kind not in _COLORS or (kind == "YCBCR" and page.compression != tifffile.COMPRESSION.JPEG):
        raise InvalidPicture(f"is a TIFF with colors of the kind {kind}, which is not supported")
    if bits != 1 and (dtype is None or dtype.name not in _DTYPES or bits != 8 * dtype.itemsize):
        numbers = "float" if dtype is not None and dtype.kind == "f" else "integer"
        raise InvalidPicture(f"has {numbers} samples of {bits} bits; 8 and 16 bits, half and float are accepted")
    if kind == "MINISWHITE" and dtype is not None and dtype.kind == "f":
        raise InvalidPicture("is a TIFF of floats of which 0 is white, which is not supported")
    if page.imagedepth != 1:
        raise InvalidPicture("is a TIFF of a volume, which is not supported")
    # tifffile takes what is missing for zero.
    ends = [offset + count for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True)]
    if not ends or min(page.databytecounts) <= 0 or min(page.dataoffsets) <= 0 or max(ends) > size:
        raise InvalidPicture("cannot be decoded: it is truncated")


def _samples(page: Any) -> Samples:
    array = np.asarray(page.asarray())
    if page.photometric.name == "PALETTE":
        return _through_palette(array.reshape(page.imagelength, page.imagewidth), page.colormap)
    if array.dtype == bool or page.bitspersample == 1:
        array = array.astype(np.uint8) * np.uint8(255)
    if array.ndim == 2:
        array = array[..., None]
    elif array.shape[:2] != (page.imagelength, page.imagewidth):
        array = np.moveaxis(array, 0, -1)
    expected = (page.imagelength, page.imagewidth)
    if array.shape[:2] != expected or array.shape[2] < _COLORS[page.photometric.name].channels:
        raise InvalidPicture("cannot be decoded: its samples do not fit its size")
    return np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="), copy=False))


def _through_palette(indices: Samples, palette: Samples) -> Samples:
    colors = np.ascontiguousarray(palette.T)
    if not (colors % 257).any() or not (colors & 0xFF).any():  # 8 bits, written in 16 by either of two rules
        colors = (colors >> 8).astype(np.uint8)
    return np.asarray(colors[indices])


def _resolution(page: Any) -> Resolution | None:
    x, y = (page.tags.valueof(number) for number in (282, 283))
    if not x or not y or not all((*x, *y)):
        return None
    return Resolution(Fraction(*x), Fraction(*y), _UNITS.get(int(page.tags.valueof(296, 2))))
