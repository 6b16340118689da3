"""Read an untrusted file into a `Source`: its samples as they are, within limits.

Size is read from the header and checked before a single pixel is decoded, so that a small file cannot unfold into
gigabytes. Whatever the bytes do, the caller sees `InvalidPicture` with a sentence that names the fault.
"""

from dataclasses import dataclass
from types import ModuleType

from eacps.errors import InvalidPicture
from eacps.imaging import reading_exr, reading_pillow, reading_png, reading_tiff
from eacps.imaging.limits import Header, Limits, check_bytes, check_size
from eacps.imaging.source import Source

FORMATS = ("PNG", "JPEG", "WebP", "AVIF", "TIFF", "OpenEXR")


@dataclass(frozen=True)
class _Format:
    magic: tuple[bytes, ...]
    reader: ModuleType
    offset: int = 0


_READERS = (
    _Format((b"\x89PNG\r\n\x1a\n",), reading_png),
    _Format((b"\xff\xd8\xff",), reading_pillow),
    _Format((b"WEBP",), reading_pillow, 8),
    _Format((b"ftypavif", b"ftypavis"), reading_pillow, 4),
    _Format((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), reading_tiff),
    _Format((b"v/1\x01",), reading_exr),
)


def read_header(data: bytes, limits: Limits) -> Header:
    """Read what the header says. No pixel is decoded.

    Args:
        data: The encoded file, or its beginning, which of most formats is enough.
        limits: Bounds on bytes, pixels and sides.

    Raises:
        InvalidPicture: Not a picture, or outside the limits; whether the pixels can be decoded is not known yet.
    """
    reader = _reader_of(data, limits)
    with reader.decoding_errors():
        header: Header = reader.read_header(data)
    check_size(header, limits)
    return header


def read_source(data: bytes, limits: Limits) -> Source:
    """Decode a file.

    Args:
        data: The encoded file.
        limits: Bounds on bytes, pixels and sides.

    Raises:
        InvalidPicture: Not a picture, truncated, of a kind that is not supported, or outside the limits.
    """
    reader = _reader_of(data, limits)
    with reader.decoding_errors():
        check_size(reader.read_header(data), limits)
        source: Source = reader.read_source(data)
    return source


def _reader_of(data: bytes, limits: Limits) -> ModuleType:
    check_bytes(data, limits)
    for one in _READERS:
        if any(data.startswith(magic, one.offset) for magic in one.magic):
            return one.reader
    raise InvalidPicture(f"is not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} picture")
