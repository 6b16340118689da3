"""Boxes and rectangles in pictures, and how far they overlap."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from eacps.arrays import Float64

Size = tuple[int, int]
"""Width and height in pixels."""
Box = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels, the last two exclusive."""
Rectangle = tuple[int, int, int, int]
"""A `Box` of whole pixels."""


def overlaps(boxes: npt.ArrayLike, box: Sequence[float]) -> Float64:
    """Return the intersection over union of each of ``boxes``, ``[F, 4]`` xyxy, with ``box``: ``[F]``, in [0, 1]."""
    shared = intersections(boxes, box)
    return shares(shared, areas(boxes) + areas([box]) - shared)


def intersections(boxes: npt.ArrayLike, box: Sequence[float]) -> Float64:
    """Return the area that each of ``boxes``, ``[F, 4]`` xyxy, has in common with ``box``: ``[F]``."""
    others, wanted = np.asarray(boxes, np.float64).reshape(-1, 4), np.asarray(box, np.float64)
    corners = np.minimum(others[:, 2:], wanted[2:]) - np.maximum(others[:, :2], wanted[:2])
    return np.asarray(np.clip(corners, 0.0, None).prod(axis=1))


def areas(boxes: npt.ArrayLike) -> Float64:
    """Return the area of each of ``boxes``, ``[F, 4]`` xyxy: ``[F]``."""
    others = np.asarray(boxes, np.float64).reshape(-1, 4)
    return np.asarray((others[:, 2:] - others[:, :2]).prod(axis=1))


def shares(parts: Float64, wholes: Float64) -> Float64:
    """Return ``parts / wholes``, 0 where there is no whole."""
    wholes = np.broadcast_to(wholes, parts.shape)
    return np.asarray(np.divide(parts, wholes, out=np.zeros(len(parts)), where=wholes > 0))
