"""Pictures as judges are shown them."""

import base64
from collections.abc import Sequence

import numpy as np

from eacps.arrays import Picture

_GUTTER = 16


def data_url(png: bytes) -> str:
    """Return a PNG as a data URL."""
    return "data:image/png;base64," + base64.b64encode(png).decode()


def side_by_side(pictures: Sequence[Picture]) -> Picture:
    """Put pictures into one, ``uint8 [H, W, 3]``, left to right with a white gutter between two.

    Args:
        pictures: At least one, all of the same height.
    """
    gutter = np.full((pictures[0].shape[0], _GUTTER, 3), 255, np.uint8)
    parts = [part for picture in pictures for part in (gutter, picture)]
    return np.concatenate(parts[1:], axis=1)
