"""A picture as stored in its file: samples in their depth and mode, and metadata to preserve."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from eacps.imaging.profiles import Color

Samples = npt.NDArray[Any]
"""``[H, W, C]``: ``uint8``, ``uint16``, ``float16`` or ``float32``."""
Chromaticities = tuple[float, ...]
"""CIE xy of red, green, blue and white, eight numbers."""
REC_709: Chromaticities = (0.64, 0.33, 0.3, 0.6, 0.15, 0.06, 0.3127, 0.329)


class Container(StrEnum):
    """A format in which pictures are delivered: one that holds the samples without loss."""

    PNG = "PNG"
    TIFF = "TIFF"
    EXR = "OpenEXR"


class Alpha(StrEnum):
    """How colors relate to the alpha channel.

    STRAIGHT: They are those of the opaque picture.
    PREMULTIPLIED: They are multiplied by alpha.
    """

    STRAIGHT = "straight"
    PREMULTIPLIED = "premultiplied"


@dataclass(frozen=True)
class Resolution:
    """Pixels per unit of length, across and down.

    Args:
        x, y: Above 0.
        meters: Length of the unit; None where only the ratio of the two is stated.
    """

    x: Fraction
    y: Fraction
    meters: Fraction | None


INCH, CENTIMETER, METER = Fraction(254, 10000), Fraction(1, 100), Fraction(1)


@dataclass(frozen=True, eq=False)
class Source:
    """A decoded file.

    Args:
        samples: Upright: a stated orientation has been applied. Colors first, then alpha, then any other channels,
            which are carried along.
        color: What the colors are. Floats are scene-linear light, integers are encoded.
        alpha: How they relate to the channel that follows them; None where that is no alpha channel.
        container: Format in which the picture is delivered.
        profile: ICC profile that fits the colors and can be converted to and from; None: sRGB, its gray, or plain ink.
        chromaticities: Of scene-linear colors.
        resolution: None where the file states none.
        notes: What was not taken as the file has it, each a phrase that continues the picture's name.
        xmp: XMP packet to write; that of a file that was read is not taken over.
        kept: What only the container's writer needs.
    """

    samples: Samples
    color: Color
    alpha: Alpha | None
    container: Container
    profile: bytes | None = None
    chromaticities: Chromaticities = REC_709
    resolution: Resolution | None = None
    notes: Sequence[str] = ()
    xmp: str | None = None
    kept: Any = None

    @property
    def linear(self) -> bool:
        """Whether the samples are scene-linear light."""
        return self.samples.dtype.kind == "f"


def upright(samples: Samples, orientation: int) -> Samples:
    """Apply an orientation of EXIF or TIFF, 1 to 8; other numbers mean nothing."""
    if orientation in (5, 6, 7, 8):
        samples = samples.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    if orientation in (3, 4, 7, 8):
        samples = samples[::-1]
    return np.require(samples, requirements=("C", "W"))
