"""Encode PNG about ten times as fast as with zlib: ISA-L's deflate, and one filter for all rows.

The format is that of the PNG specification (third edition, W3C 2025): signature, IHDR, IDAT, IEND.
"""

import struct

import numpy as np
from isal import isal_zlib

from eacps.arrays import Mask, Picture, UInt8, UInt16
from eacps.imaging.png_chunks import SIGNATURE, chunk_parts

_HEADER = struct.Struct(">IIBBBBB")
_COLOR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
"""By the number of channels: gray, gray and alpha, RGB, RGB and alpha."""
_UP = 2
"""The filter that subtracts the row above. Choosing one for each row saves little, and takes longer than the rest."""
_LEVEL = 1


def encode_png(picture: Picture | Mask | UInt16) -> bytes:
    """Encode ``uint8`` or ``uint16``, ``[H, W]`` or ``[H, W, C]`` of 1 to 4 channels, the last of 2 or 4 being alpha.

    Releases the interpreter for most of its time. Bytes for the same pixels may differ, between kinds of processors,
    whose best instructions ISA-L chooses, and rarely from one call to the next; `eacps.imaging.content_hash` does not.
    """
    height, width = picture.shape[:2]
    depth = 8 * picture.dtype.itemsize
    color = _COLOR_TYPES[1 if picture.ndim == 2 else picture.shape[2]]
    header = _HEADER.pack(width, height, depth, color, 0, 0, 0)
    samples = picture if depth == 8 else picture.astype(">u2")
    data = isal_zlib.compress(_filtered(np.ascontiguousarray(samples).view(np.uint8).reshape(height, -1)), _LEVEL)
    return b"".join((SIGNATURE, *chunk_parts(b"IHDR", header), *chunk_parts(b"IDAT", data), *chunk_parts(b"IEND", b"")))


def _filtered(rows: UInt8) -> UInt8:
    """Return every row less the one above, behind the filter's number."""
    filtered = np.empty((rows.shape[0], rows.shape[1] + 1), np.uint8)
    filtered[:, 0] = _UP
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])  # modulo 256, as the format has it
    return filtered
