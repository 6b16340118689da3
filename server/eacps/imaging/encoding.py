"""Arrays to bytes that fit into events, and the hash that names a picture's content."""

import hashlib
import io

import numpy as np
from PIL import Image

from eacps.arrays import Picture

_THUMBNAIL_QUALITIES = (90, 80, 65, 50, 30, 10)


def encode_thumbnail(picture: Picture, *, max_side: int = 256, max_bytes: int = 32 * 1024) -> bytes:
    """Encode a JPEG of at most ``max_side`` pixels a side and ``max_bytes`` bytes.

    Quality falls until the bytes fit; where even the lowest does not, the sides are halved.
    """
    image = Image.fromarray(picture)
    # First averaged over whole pixels, as far as that goes: a sixth of the time, and not seen at this size.
    image.thumbnail((max_side, max_side), Image.Resampling.LANCZOS, reducing_gap=1.0)
    while True:
        for quality in _THUMBNAIL_QUALITIES:
            buffer = io.BytesIO()
            image.save(buffer, format="JPEG", quality=quality)
            if buffer.tell() <= max_bytes:
                return buffer.getvalue()
        if max(image.size) == 1:
            raise ValueError(f"no thumbnail fits into {max_bytes} bytes")
        image = image.resize((max(1, image.width // 2), max(1, image.height // 2)))


def content_hash(picture: Picture) -> str:
    """SHA-256, in hexadecimal, of shape and pixels: equal exactly where the pictures are."""
    digest = hashlib.sha256(repr(picture.shape).encode())
    digest.update(np.ascontiguousarray(picture).data)
    return digest.hexdigest()
