"""Bytes from a stranger to an array that the rest of the server may trust.

Size is read from the header and checked before a single pixel is decoded, so that a small file cannot unfold into
gigabytes. Whatever the bytes do, the caller sees `InvalidPicture` with a sentence that names the fault.
"""

import io
import warnings
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from eacps.errors import InvalidPicture
from eacps.imaging.types import Mask, Picture

FORMATS = ("PNG", "JPEG", "WEBP")
_SIXTEEN_BIT_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I")
_SRGB = ImageCms.createProfile("sRGB")


@dataclass(frozen=True)
class Limits:
    """What a picture from a request may measure."""

    max_bytes: int = 4 * 2**20
    max_pixels: int = 16_000_000
    min_side: int = 32
    max_side: int = 8192


def decode_picture(data: bytes, limits: Limits | None = None) -> Picture:
    """Decode PNG, JPEG or WebP to RGB.

    EXIF orientation is applied, an embedded ICC profile is converted to sRGB, transparency is laid over white, 16-bit
    samples are scaled to 8. Of an animation the first frame counts.

    Args:
        data: The encoded file.
        limits: Bounds on bytes, pixels and sides; defaults to `Limits()`.

    Returns:
        ``uint8 [H, W, 3]``.

    Raises:
        InvalidPicture: Not such a file, truncated, or outside the limits.
    """
    return _as_rgb(_open(data, limits or Limits()))


def decode_mask(data: bytes, limits: Limits | None = None) -> Mask:
    """Decode a mask: any accepted picture, read as grey and cut at half brightness.

    Args:
        data: The encoded file.
        limits: As in `decode_picture`.

    Returns:
        ``uint8 [H, W]``, 255 where the picture is 128 or brighter, else 0.

    Raises:
        InvalidPicture: As in `decode_picture`.
    """
    return mask_of(decode_picture(data, limits))


def mask_of(picture: Picture) -> Mask:
    """Read a decoded picture as a mask: grey, cut at half brightness; see `decode_mask`."""
    grey = np.asarray(Image.fromarray(picture).convert("L"))
    return np.where(grey >= 128, np.uint8(255), np.uint8(0))


def _open(data: bytes, limits: Limits) -> Image.Image:
    if not data:
        raise InvalidPicture("is empty")
    if len(data) > limits.max_bytes:
        raise InvalidPicture(f"has {len(data)} bytes; at most {limits.max_bytes} are accepted")
    try:
        with warnings.catch_warnings():
            # Pillow warns at half of its own bomb limit; ours, checked below before decoding, is lower than both.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=FORMATS)
            _check_size(image.size, limits)
            image.load()
            return ImageOps.exif_transpose(image)
    except UnidentifiedImageError as exc:
        raise InvalidPicture(f"is not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} picture") from exc
    except Image.DecompressionBombError as exc:
        raise InvalidPicture(f"has more than {limits.max_pixels} pixels") from exc
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, MemoryError, OverflowError) as exc:
        # What Pillow's decoders are known to raise on broken files, one of them per format and version.
        raise InvalidPicture(f"cannot be decoded: {exc}") from exc


def _check_size(size: tuple[int, int], limits: Limits) -> None:
    width, height = size
    if width * height > limits.max_pixels:
        raise InvalidPicture(f"has {width}x{height} pixels; at most {limits.max_pixels} in all are accepted")
    if min(size) < limits.min_side or max(size) > limits.max_side:
        raise InvalidPicture(
            f"is {width}x{height}; each side must measure {limits.min_side} to {limits.max_side} pixels"
        )


def _as_rgb(image: Image.Image) -> Picture:
    if image.mode in _SIXTEEN_BIT_MODES:
        samples = np.asarray(image, dtype=np.int64).clip(0, 65535)
        image = Image.fromarray((samples // 257).astype(np.uint8))
    elif image.mode not in ("RGB", "RGBA", "CMYK", "L"):
        # Palette, bilevel, grey with alpha, and RGB with a transparent colour.
        image = image.convert("RGBA")
    elif "transparency" in image.info:
        image = image.convert("RGBA")
    image = _to_srgb(image)
    if image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.ascontiguousarray(np.asarray(image.convert("RGB")))


def _to_srgb(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    if not profile:
        return image
    target = "RGBA" if image.mode == "RGBA" else "RGB"
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(image, source, _SRGB, outputMode=target)
    except (ImageCms.PyCMSError, OSError) as exc:
        raise InvalidPicture(f"carries an unusable ICC colour profile: {exc}") from exc
    if converted is None:
        raise InvalidPicture("carries an unusable ICC colour profile")
    return converted
