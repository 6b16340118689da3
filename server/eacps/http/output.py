"""A result in the format and size that a caller wants."""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from eacps.errors import InvalidPicture
from eacps.imaging import TRUSTED, decode_picture
from eacps.imaging.limits import Limits
from eacps.imaging.reading import read_header
from eacps.imaging.reading_pillow import decoding_errors, opened, orientation_of

_PNG = b"\x89PNG\r\n\x1a\n"
_TURNED = (5, 6, 7, 8)
_SHAPE_TOLERANCE = 0.02
_UPLOADED = Limits(max_bytes=2**31)


@dataclass(frozen=True)
class Output:
    """How pictures are returned.

    Args:
        format: ``png``, ``jpeg`` or ``webp``.
        size: Width and height; None for those of the scene.
        quality: Of JPEG and WebP, 0 to 100.
    """

    format: str = "png"
    size: tuple[int, int] | None = None
    quality: int = 100

    def encode(self, delivered: bytes) -> bytes:
        """Return a delivered file as it is wanted.

        A PNG that is wanted as it is stays as it is, with its depth, transparency and records. Anything else becomes
        sRGB of 8 bits without transparency.
        """
        if self.format == "png" and self.size is None and delivered.startswith(_PNG):
            return delivered
        image = Image.fromarray(np.ascontiguousarray(decode_picture(delivered, TRUSTED)))
        if self.size is not None:
            image = image.resize(self.size, Image.Resampling.LANCZOS)
        file = io.BytesIO()
        lossy = {} if self.format == "png" else {"quality": self.quality}
        image.save(file, self.format.upper(), **lossy)
        return file.getvalue()


def upright_size(data: bytes) -> tuple[int, int]:
    """Return width and height of a picture as it is shown. Reads the header only.

    Raises:
        InvalidPicture: It is none.
    """
    header = read_header(data, _UPLOADED)
    try:
        with decoding_errors(), opened(data) as image:
            turned = "exif" in image.info and orientation_of(image) in _TURNED
    except InvalidPicture:
        turned = False  # TIFF and OpenEXR, and what the search server will refuse
    return (header.height, header.width) if turned else (header.width, header.height)


def size_for(wanted: tuple[int, int], scene: tuple[int, int]) -> tuple[int, int] | None:
    """Return the size to scale a result to, None if it has it already.

    Raises:
        InvalidPicture: It is of another shape than the scene.
    """
    if wanted == scene:
        return None
    if abs(wanted[0] * scene[1] / (wanted[1] * scene[0]) - 1) > _SHAPE_TOLERANCE:
        of, not_ = "x".join(map(str, scene)), "x".join(map(str, wanted))
        raise InvalidPicture(f"is {of}, of another shape than {not_}: the result has the shape of the first picture")
    return wanted
