"""Bring pictures to the size in which a checkpoint works."""

import numpy as np
from PIL import Image, ImageOps

from eacps.arrays import Picture

_CENTER = (0.5, 0.5)


def fit_picture(picture: Picture, *, width: int, height: int) -> Picture:
    """Scale to cover ``width`` x ``height`` and cut what overhangs, evenly on both sides.

    A picture that already has the size comes back as it is.
    """
    if picture.shape[:2] == (height, width):
        return picture
    image = Image.fromarray(picture)
    return np.asarray(ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS, centering=_CENTER)).copy()


def shrink_to(picture: Picture, *, max_side: int) -> Picture:
    """Scale down, keeping the aspect ratio, until no side exceeds ``max_side``; never scale up."""
    if max(picture.shape[:2]) <= max_side:
        return picture
    image = Image.fromarray(picture)
    image.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
    return np.asarray(image).copy()
