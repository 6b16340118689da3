"""A `Source` to bytes, without loss, in the container that it names."""

import io
import struct
from fractions import Fraction

import numpy as np
import OpenEXR
import tifffile

from eacps.imaging.png import encode_png
from eacps.imaging.png_chunks import profile_chunk, with_chunks, xmp_chunk
from eacps.imaging.profiles import Color
from eacps.imaging.reading_exr import CHANNELS
from eacps.imaging.reading_tiff import TiffKept
from eacps.imaging.source import INCH, METER, Alpha, Container, Resolution, Samples, Source

_MOST_DENSE = 2**31 - 1
"""Largest number in a PNG."""
_PHOTOMETRIC = {Color.GRAY: "minisblack", Color.RGB: "rgb", Color.CMYK: "separated"}
_PLAIN = TiffKept(compression=8, inverted=False, byteorder="<", extras=())
_COMPRESSIONS = {1: None, 5: "lzw", 8: "zlib", 32946: "zlib", 32773: "packbits", 50000: "zstd"}
_UNIT_NAMES = {INCH: "inch", Fraction(1, 100): "centimeter"}


def write_source(source: Source) -> bytes:
    """Encode a source."""
    match source.container:
        case Container.PNG:
            return _png(source)
        case Container.TIFF:
            return _tiff(source)
        case Container.EXR:
            return _exr(source)


def _png(source: Source) -> bytes:
    chunks = dict(source.kept or {})
    if source.profile:
        chunks[b"iCCP"] = profile_chunk(source.profile)
    if source.resolution:
        chunks |= _density(source.resolution)
    if source.xmp:
        chunks[b"iTXt"] = xmp_chunk(source.xmp)
    return with_chunks(encode_png(source.samples), chunks)


def _density(resolution: Resolution) -> dict[bytes, bytes]:
    """Return the chunk of a resolution; none where its numbers do not fit."""
    meters = resolution.meters
    scale = 1 if meters is None else METER / meters
    x, y = round(resolution.x * scale), round(resolution.y * scale)
    if not (0 < x <= _MOST_DENSE and 0 < y <= _MOST_DENSE):
        return {}
    return {b"pHYs": struct.pack(">IIB", x, y, 0 if meters is None else 1)}


def _tiff(source: Source) -> bytes:
    kept: TiffKept = source.kept or _PLAIN
    samples = np.iinfo(source.samples.dtype).max - source.samples if kept.inverted else source.samples
    extras = kept.extras or ((2,) if source.alpha is Alpha.STRAIGHT else (1,) if source.alpha else ())
    compression = _COMPRESSIONS.get(kept.compression, "zlib")
    resolution, file = source.resolution, io.BytesIO()
    tifffile.imwrite(
        file,
        samples[..., 0] if samples.shape[2] == 1 else samples,
        photometric="miniswhite" if kept.inverted else _PHOTOMETRIC[source.color],
        planarconfig=None if samples.shape[2] == 1 else "contig",
        extrasamples=extras or None,
        compression=compression,
        predictor=bool(compression in ("lzw", "zlib", "zstd")) and samples.dtype.kind == "u",
        byteorder=kept.byteorder,
        iccprofile=source.profile,
        resolution=None if resolution is None else (_ratio(resolution.x), _ratio(resolution.y)),
        resolutionunit=None if resolution is None else _UNIT_NAMES.get(resolution.meters or Fraction(0), "none"),
        metadata=None,
        extratags=[] if source.xmp is None else [(700, 1, None, source.xmp.encode(), True)],
        software="EACPS",
    )
    return file.getvalue()


def _ratio(value: Fraction) -> tuple[int, int]:
    return value.limit_denominator(2**16).as_integer_ratio()


def _exr(source: Source) -> bytes:
    """Encode all parts and channels that the file had, with new colors in the first part."""
    file, names = source.kept, CHANNELS[source.color]
    if source.xmp:
        file.parts[0].header["xmp"] = source.xmp
    for index, name in enumerate(names):
        channel = file.parts[0].channels[name]
        channel.pixels = _as(source.samples[..., index], channel.pixels.dtype)
    out = io.BytesIO()
    file.write(out)
    return out.getvalue()


def _as(samples: Samples, dtype: np.dtype) -> Samples:
    return np.ascontiguousarray(samples.astype(dtype))


def exr_of(samples: Samples) -> OpenEXR.File:
    """Return a file of one gray channel, ``[H, W, 1]``."""
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    return OpenEXR.File(header, {"Y": OpenEXR.Channel(np.ascontiguousarray(samples[..., 0]))})
