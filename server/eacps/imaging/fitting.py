"""Bring pictures to the size in which a checkpoint works."""

import numpy as np
from PIL import Image, ImageOps

from eacps.imaging.types import Mask, Picture

_CENTRE = (0.5, 0.5)


def fit_picture(picture: Picture, *, width: int, height: int) -> Picture:
    """Scale to cover ``width`` x ``height`` and cut what overhangs, evenly on both sides.

    A picture that already has the size comes back as it is.
    """
    if picture.shape[:2] == (height, width):
        return picture
    image = Image.fromarray(picture)
    return np.asarray(ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS, centering=_CENTRE)).copy()


def fit_box(
    box: tuple[float, float, float, float], *, size: tuple[int, int], width: int, height: int
) -> tuple[float, float, float, float]:
    """Say where a box of a picture lies once `fit_picture` has brought that to ``width`` x ``height``.

    Args:
        box: xyxy in pixels of the picture.
        size: Width and height of the picture.
        width: Of the result, in pixels.
        height: Likewise.

    Returns:
        xyxy in pixels of the result; beyond its edges where the box was cut off.
    """
    scale = max(width / size[0], height / size[1])
    left, top = (scale * size[0] - width) / 2, (scale * size[1] - height) / 2
    return box[0] * scale - left, box[1] * scale - top, box[2] * scale - left, box[3] * scale - top


def fit_mask(mask: Mask, *, width: int, height: int) -> Mask:
    """The same cut as `fit_picture`, without inventing grey: nearest neighbour."""
    if mask.shape == (height, width):
        return mask
    image = Image.fromarray(mask)
    return np.asarray(ImageOps.fit(image, (width, height), Image.Resampling.NEAREST, centering=_CENTRE)).copy()


def shrink_to(picture: Picture, *, max_side: int) -> Picture:
    """Scale down, keeping the aspect ratio, until no side exceeds ``max_side``; never scale up."""
    if max(picture.shape[:2]) <= max_side:
        return picture
    image = Image.fromarray(picture)
    image.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
    return np.asarray(image).copy()
