"""Drawings as files."""

import numpy as np
from PIL import Image

from eacps.imaging.png import encode_png


def png_of_drawing(drawing: Image.Image) -> bytes:
    """Encode an RGB drawing as PNG, quickly: Pillow's best compression takes seconds for a contact sheet."""
    return encode_png(np.asarray(drawing))
