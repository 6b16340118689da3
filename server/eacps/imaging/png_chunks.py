"""Read and write chunks of a PNG file (W3C, Portable Network Graphics, section 5)."""

import struct
import zlib
from collections.abc import Mapping

from isal import isal_zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"
KEPT_CHUNKS = (b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI")
"""Chunks that define the colors, beside an ICC profile."""
_SRGB_CICP = bytes([1, 13, 0, 1])
_SRGB_GAMMA, _GAMMA_TOLERANCE = 45455, 1000
_SRGB_CHROMATICITIES = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
_CHROMATICITY_TOLERANCE = 500
_AFTER_HEADER = len(SIGNATURE) + 25


def leading_chunks(data: bytes) -> dict[bytes, bytes]:
    """Return the chunks before the pixels, the first of each name."""
    chunks: dict[bytes, bytes] = {}
    at = len(SIGNATURE)
    while at + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        if name == b"IDAT":
            break
        chunks.setdefault(name, data[at + 8 : at + 8 + length])
        at += 12 + length
    return chunks


def states_other_colors(chunks: Mapping[bytes, bytes]) -> str | None:
    """Return the name of the chunk by which a file without an ICC profile states that its colors are not sRGB's.

    In the order of precedence of the specification (section 4.3); None where nothing states that.
    """
    if (cicp := chunks.get(b"cICP")) is not None:
        return None if cicp == _SRGB_CICP else "cICP"
    if b"sRGB" in chunks:
        return None
    gamma, xy = chunks.get(b"gAMA", b""), chunks.get(b"cHRM", b"")
    if len(gamma) == 4 and abs(int.from_bytes(gamma) - _SRGB_GAMMA) > _GAMMA_TOLERANCE:
        return "gAMA"
    if len(xy) == 32:
        apart = (abs(a - b) for a, b in zip(struct.unpack(">8I", xy), _SRGB_CHROMATICITIES, strict=True))
        return "cHRM" if max(apart) > _CHROMATICITY_TOLERANCE else None
    return None


def with_chunks(data: bytes, chunks: Mapping[bytes, bytes]) -> bytes:
    """Insert chunks after the header of a file."""
    return b"".join(
        (
            data[:_AFTER_HEADER],
            *(part for one in chunks.items() for part in chunk_parts(*one)),
            data[_AFTER_HEADER:],
        )
    )


def profile_chunk(profile: bytes) -> bytes:
    """Return the body of an ``iCCP`` chunk."""
    return b"ICC Profile\0\0" + zlib.compress(profile)


def xmp_chunk(packet: str) -> bytes:
    """Return the body of an ``iTXt`` chunk with an XMP packet."""
    return b"XML:com.adobe.xmp\0\0\0\0\0" + packet.encode()


def chunk_parts(name: bytes, body: bytes) -> tuple[bytes, ...]:
    """Return the parts of a chunk: length, name, body and checksum."""
    return struct.pack(">I", len(body)), name, body, struct.pack(">I", isal_zlib.crc32(body, isal_zlib.crc32(name)))
