"""ICC profiles: whether one fits a picture, and conversion between its colors and sRGB (Little CMS)."""

import io
from enum import StrEnum
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
from PIL import ImageCms

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
_SPACES = {"GRAY": "gray", "RGB": "RGB", "CMYK": "CMYK"}
_INTENT = int(imagecodecs.CMS.INTENT.RELATIVE_COLORIMETRIC)
_FAST = int(imagecodecs.CMS.FLAGS.BLACKPOINTCOMPENSATION)
# Optimized transforms of 16 bit are up to 21 of 255 levels off in dark, saturated colors, those of 8 bit less than one
# level; this way takes twenty times as long, and sRGB survives the round trip.
_EXACT = _FAST | int(imagecodecs.CMS.FLAGS.NOOPTIMIZE)


class Color(StrEnum):
    """What the color channels of a picture are; the value names them to people."""

    GRAY = "gray"
    RGB = "RGB"
    CMYK = "CMYK"

    @property
    def channels(self) -> int:
        """How many there are."""
        return {Color.GRAY: 1, Color.RGB: 3, Color.CMYK: 4}[self]


def checked_profile(profile: bytes | None, color: Color) -> tuple[bytes | None, tuple[str, ...]]:
    """Return a file's ICC profile if it can be used, and a note if it cannot.

    Args:
        profile: As embedded; None or empty where there is none.
        color: Of the picture.
    """
    if not profile:
        return None, ()
    try:
        space = ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile.xcolor_space.strip()
    except (OSError, ImageCms.PyCMSError):
        return None, ("has a damaged color profile, which was ignored",)
    if _SPACES.get(space) != color.value:
        return None, (f"is {color} and has a color profile for {_SPACES.get(space, space)}, which was ignored",)
    try:
        probe = np.zeros((1, 1, color.channels), np.uint8)
        from_srgb(to_srgb(probe, color, profile), color, profile)
    except imagecodecs.CmsError:
        return None, ("has a color profile that cannot be converted both to and from, which was ignored",)
    return profile, ()


def to_srgb(colors: npt.NDArray[np.uint8], color: Color, profile: bytes) -> npt.NDArray[np.uint8]:
    """Convert colors ``uint8 [H, W, C]`` from a checked profile to sRGB, ``uint8 [H, W, 3]``."""
    return np.asarray(_converted(colors, color, profile, Color.RGB, SRGB, "u1", _FAST))


def from_srgb(picture: npt.NDArray[np.uint8], color: Color, profile: bytes) -> npt.NDArray[np.uint16]:
    """Convert ``uint8 [H, W, 3]`` in sRGB to colors ``uint16 [H, W, C]`` in a checked profile."""
    return np.asarray(_converted(picture, Color.RGB, SRGB, color, profile, "u2", _EXACT)).reshape(
        *picture.shape[:2], -1
    )


def _converted(
    colors: npt.NDArray[Any],
    color: Color,
    profile: bytes,
    target: Color,
    target_profile: bytes,
    dtype: str,
    flags: int,
) -> Any:
    one = {Color.GRAY: "gray", Color.RGB: "rgb", Color.CMYK: "cmyk"}
    data = colors[..., 0] if color is Color.GRAY else colors
    return imagecodecs.cms_transform(
        np.ascontiguousarray(data),
        profile,
        target_profile,
        colorspace=one[color],
        outcolorspace=one[target],
        outdtype=dtype,
        intent=_INTENT,
        flags=flags,
    )
