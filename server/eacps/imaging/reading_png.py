"""PNG: by Pillow where samples have up to 8 bits, by libpng where they have 16, of which Pillow would drop half."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction

import imagecodecs

from eacps.errors import InvalidPicture
from eacps.imaging import reading_pillow
from eacps.imaging.limits import Header
from eacps.imaging.png_chunks import KEPT_CHUNKS, leading_chunks, states_other_colors
from eacps.imaging.profiles import Color, checked_profile
from eacps.imaging.source import METER, Alpha, Resolution, Source, upright

_HEADER = struct.Struct(">IIBB")
_DENSITY = struct.Struct(">IIB")
_CHANNELS = {0: 1, 2: 3, 3: 4, 4: 2, 6: 4}
"""By color type; a palette may become RGBA."""


@contextmanager
def decoding_errors() -> Iterator[None]:
    """Report what a file makes libpng or Pillow raise within the block as the file's fault."""
    try:
        with reading_pillow.decoding_errors():
            yield
    except imagecodecs.PngError as exc:
        raise InvalidPicture(f"cannot be decoded: {exc}") from exc


def read_header(data: bytes) -> Header:
    """Read size and depth; see `eacps.imaging.reading.read_header`."""
    if data[12:16] != b"IHDR" or len(data) < 33:
        raise InvalidPicture("cannot be decoded: its header is damaged")
    width, height, depth, kind = _HEADER.unpack_from(data, 16)
    return Header(width, height, width * height * _CHANNELS.get(kind, 4) * (2 if depth == 16 else 1))


def read_source(data: bytes) -> Source:
    """Decode; of an animation the first picture."""
    chunks = leading_chunks(data)
    resolution = _resolution(chunks.get(b"pHYs"))
    kept = {name: body for name, body in chunks.items() if name in KEPT_CHUNKS}
    with reading_pillow.opened(data) as image:
        image.load()  # also where libpng decodes: Pillow finds bytes that are missing, and what stands after the pixels
        source = reading_pillow.source_of(image, resolution, reading_pillow.notes_of(image))
        if data[24] == 16:
            source = _deep(data, source, reading_pillow.orientation_of(image), image.info.get("icc_profile"))
    notes = list(source.notes)
    if source.profile is None and (chunk := states_other_colors(chunks)) is not None:
        notes.append(f"states by {chunk} that its colors are not those of sRGB, as which they are shown to the models")
    return replace(source, kept=kept, notes=tuple(notes))


def _deep(data: bytes, source: Source, orientation: int, embedded: bytes | None) -> Source:
    samples = imagecodecs.png_decode(data)
    samples = samples if samples.ndim == 3 else samples[..., None]
    color = Color.GRAY if data[25] in (0, 4) else Color.RGB
    profile, ignored = checked_profile(embedded, color)
    deep = upright(samples, orientation)
    alpha = Alpha.STRAIGHT if deep.shape[2] > color.channels else None
    notes = ["has a transparent color and was read with alpha"] if alpha and data[25] in (0, 2) else []
    return replace(source, samples=deep, color=color, alpha=alpha, profile=profile, notes=(*notes, *ignored))


def _resolution(body: bytes | None) -> Resolution | None:
    if body is None or len(body) != _DENSITY.size:
        return None
    x, y, unit = _DENSITY.unpack(body)
    return Resolution(Fraction(x), Fraction(y), METER if unit == 1 else None) if x and y else None
