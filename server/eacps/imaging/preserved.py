"""The part of a scene that an edit must preserve."""

import numpy as np
import numpy.typing as npt

from eacps.arrays import Mask

HEAD = (0.25, 0.45, 0.25, 0.2)
"""By how much of its width or height the box of a face grows to hold hair, ears and neck: left, top, right, bottom."""


def preserved_region(
    height: int, width: int, *, mask: Mask | None, face: tuple[float, float, float, float]
) -> npt.NDArray[np.bool_]:
    """Return the pixels that must not change, bool ``[H, W]``.

    Args:
        height: Of the scene, in pixels.
        width: Of the scene, in pixels.
        mask: Above 0 where the scene may change; None if no mask was given.
        face: Replaced face, xyxy in pixels; used if there is no mask. If it is empty, no pixel is preserved.
    """
    if mask is not None:
        return np.asarray(mask == 0)
    left, top, right, bottom = face
    across, down = right - left, bottom - top
    if across <= 0 or down <= 0:
        return np.zeros((height, width), bool)
    x, y = np.arange(width) + 0.5, np.arange(height) + 0.5
    columns = (x >= left - HEAD[0] * across) & (x <= right + HEAD[2] * across)
    rows = (y >= top - HEAD[1] * down) & (y <= bottom + HEAD[3] * down)
    return ~(rows[:, None] & columns[None, :])
