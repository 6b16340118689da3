"""OpenEXR by its own library: half and float, scene-linear light."""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import OpenEXR

from eacps.errors import InvalidPicture
from eacps.imaging.limits import Header
from eacps.imaging.profiles import Color
from eacps.imaging.source import REC_709, Alpha, Chromaticities, Container, Samples, Source

CHANNELS = {Color.RGB: ("R", "G", "B"), Color.GRAY: ("Y",)}
ALPHA = "A"
_LEAST_GAMUT = 1e-4
"""Twice the area of the triangle of primaries, in CIE xy; that of Rec. 709 is 0.22."""


@contextmanager
def decoding_errors() -> Iterator[None]:
    """Report what a file makes OpenEXR raise within the block as the file's fault."""
    try:
        yield
    except (InvalidPicture, MemoryError):
        raise
    except Exception as exc:  # the library raises what its C++ code throws, mostly RuntimeError
        raise InvalidPicture(f"cannot be decoded: {exc}") from exc


def read_header(data: bytes) -> Header:
    """Read size and depth; see `eacps.imaging.reading.read_header`."""
    with OpenEXR.File(io.BytesIO(data), header_only=True) as file:
        sizes = [_size(part.header) for part in file.parts]
        samples = sum(
            width * height * 4 * len(part.header["channels"])
            for (width, height), part in zip(sizes, file.parts, strict=True)
        )
        return Header(*sizes[0], samples)


def _size(header: Mapping[str, Any]) -> tuple[int, int]:
    (left, top), (right, bottom) = header["dataWindow"]
    return int(right) - int(left) + 1, int(bottom) - int(top) + 1


def _chromaticities(header: Mapping[str, Any]) -> Chromaticities:
    """Return the primaries and the white of a file.

    Raises:
        InvalidPicture: They span no colors.
    """
    if "chromaticities" not in header:
        return REC_709
    found = tuple(map(float, header["chromaticities"]))
    xy = np.array(found).reshape(4, 2)
    corners = np.column_stack([xy[:3], np.ones(3)])
    if not np.isfinite(xy).all() or xy[3, 1] <= 0 or abs(np.linalg.det(corners)) < _LEAST_GAMUT:
        raise InvalidPicture("states primaries that span no colors")
    return found


def read_source(data: bytes) -> Source:
    """Decode the first part; parts and channels that show no colors are carried along."""
    file = OpenEXR.File(io.BytesIO(data), separate_channels=True)
    if not file.parts:  # the library only prints what it could not read
        raise InvalidPicture("cannot be decoded: it is truncated or damaged")
    part = file.parts[0]
    color = next((one for one, names in CHANNELS.items() if set(names) <= part.channels.keys()), None)
    if color is None:
        present = ", ".join(sorted(part.channels)) or "no channel"
        raise InvalidPicture(f"is an OpenEXR file with {present}; R, G and B, or Y alone, are needed")
    names = (*CHANNELS[color], *([ALPHA] if ALPHA in part.channels else []))
    header = part.header
    return Source(
        _samples([part.channels[name] for name in names]),
        color,
        Alpha.PREMULTIPLIED if ALPHA in part.channels else None,
        Container.EXR,
        chromaticities=_chromaticities(header),
        notes=("holds several parts, of which the first was taken",) if len(file.parts) > 1 else (),
        kept=file,
    )


def _samples(channels: list[Any]) -> Samples:
    if any((one.xSampling, one.ySampling) != (1, 1) for one in channels):
        raise InvalidPicture("is an OpenEXR file with subsampled channels, which are not supported")
    arrays = [np.asarray(one.pixels) for one in channels]
    if any(one.dtype.kind != "f" for one in arrays):
        raise InvalidPicture("is an OpenEXR file with integer channels; half and float are accepted")
    return np.stack(arrays, axis=-1)
