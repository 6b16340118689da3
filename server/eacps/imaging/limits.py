"""Limits on pictures in requests, checked before decoding."""

from dataclasses import dataclass

from eacps.errors import InvalidPicture


@dataclass(frozen=True)
class Limits:
    """Limits on a picture.

    Args:
        max_bytes: Of the file.
        max_pixels: Of the picture.
        min_side, max_side: In pixels.
        max_decoded_bytes: Of the decoded samples, at their depth in the file.
    """

    max_bytes: int = 4 * 2**20
    max_pixels: int = 100_000_000
    min_side: int = 32
    max_side: int = 32_768
    max_decoded_bytes: int = 2**30


TRUSTED = Limits(max_bytes=2**31, max_decoded_bytes=2**33, max_pixels=2**31, max_side=2**31)
"""For pictures that a server has accepted or made."""


@dataclass(frozen=True)
class Header:
    """The header of a file.

    Args:
        width, height: In pixels, before any orientation.
        samples: Bytes of the decoded samples.
    """

    width: int
    height: int
    samples: int


def check_bytes(data: bytes, limits: Limits) -> None:
    """Check how many bytes a file has.

    Raises:
        InvalidPicture: The file is empty or larger than the limits allow.
    """
    if not data:
        raise InvalidPicture("is empty")
    if len(data) > limits.max_bytes:
        raise InvalidPicture(f"has {len(data)} bytes; at most {limits.max_bytes} are accepted")


def check_size(header: Header, limits: Limits) -> None:
    """Check how large a picture is.

    Raises:
        InvalidPicture: Outside the limits.
    """
    width, height = header.width, header.height
    if width * height > limits.max_pixels:
        raise InvalidPicture(f"has {width}x{height} pixels; at most {limits.max_pixels} in all are accepted")
    if min(width, height) < limits.min_side or max(width, height) > limits.max_side:
        raise InvalidPicture(
            f"is {width}x{height}; each side must measure {limits.min_side} to {limits.max_side} pixels"
        )
    if header.samples > limits.max_decoded_bytes:
        raise InvalidPicture(f"decodes to {header.samples} bytes; at most {limits.max_decoded_bytes} are accepted")
