"""OpenAI's mask as one of ours: theirs is transparent where the picture may change, ours is white there."""

import io

from PIL import ImageChops, ImageOps

from eacps.errors import InvalidPicture
from eacps.imaging.limits import Limits
from eacps.imaging.reading import read_header
from eacps.imaging.reading_pillow import decoding_errors, opened

_LIMITS = Limits(max_bytes=64 * 2**20)


def mask_of(data: bytes) -> bytes:
    """Return a mask that is white where the picture is transparent, black where it is opaque, and gray between.

    Args:
        data: PNG, WebP or AVIF with transparency.

    Returns:
        A PNG in gray, of the same size.

    Raises:
        InvalidPicture: It is another file, too large, without transparency, or transparent nowhere.
    """
    read_header(data, _LIMITS)
    with decoding_errors(), opened(data) as image:
        if not image.has_transparency_data:
            raise InvalidPicture("has no alpha channel; it must be transparent where the picture may change")
        alpha = ImageOps.exif_transpose(image).convert("RGBA").getchannel("A")
    if alpha.getextrema()[0] == 255:
        raise InvalidPicture("is transparent nowhere; it must be transparent where the picture may change")
    file = io.BytesIO()
    ImageChops.invert(alpha).save(file, "PNG")
    return file.getvalue()
