"""Conditioning pictures as Flux2KleinPipeline prepares them."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from eacps.models.pixels import signed

MAX_AREA = 1024 * 1024
"""Pixels; a larger picture is made smaller."""


def seen_size(height: int, width: int, multiple: int) -> tuple[int, int]:
    """Return the height and width in which the autoencoder sees a picture, multiples of ``multiple``."""
    height, width = _bounded(height, width)
    return height // multiple * multiple, width // multiple * multiple


def seen_picture(picture: NDArray[np.uint8], multiple: int) -> torch.Tensor:
    """Make an RGB picture [H, W, 3] smaller where it is too large, and cut it: FP32 [3, H', W'] in [-1, 1]."""
    height, width = _bounded(*picture.shape[:2])
    if (height, width) != picture.shape[:2]:
        picture = np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS))
    rows, columns = seen_size(height, width, multiple)
    top, left = (height - rows) // 2, (width - columns) // 2
    return signed(picture[top : top + rows, left : left + columns])


def _bounded(height: int, width: int) -> tuple[int, int]:
    if height * width <= MAX_AREA:
        return height, width
    scale = math.sqrt(MAX_AREA / (height * width))
    return int(height * scale), int(width * scale)
