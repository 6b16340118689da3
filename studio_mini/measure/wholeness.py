"""How whole the eyes and the mouth of an edited face are: how well their edges are those of the drawn truth.

A generated eye may sit a few pixels beside the drawn one and be whole; an eye in pieces is like it nowhere. So each
part's edges are compared at the offset where they agree best. Seeds of one task can be ranked by it; tasks cannot:
glasses and small faces cost more than a fault does.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

REACH: Final = 3
"""Offsets tried along each axis, in pixels."""
_LUMA: Final = np.array([0.299, 0.587, 0.114], np.float32)
_EYE: Final = (0.36, 0.3)
_MOUTH: Final = (0.55, 0.32)
"""Half the width and half the height of a part's window, in distances between the eyes."""


def wholeness(
    pictures: NDArray[np.uint8], truth: NDArray[np.uint8], landmarks: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Return for each picture the mean over eyes and mouth of the correlation of its edges with the truth's, [N].

    Args:
        pictures: uint8 [N, H, W, 3], of one task.
        truth: uint8 [H, W, 3].
        landmarks: [5, 2] of the truth's face in pixels: eyes, nose, corners of the mouth.
    """
    edges, wanted = _edges(pictures), _edges(truth[None])[0]
    return np.mean([_agreement(edges, wanted, window) for window in _windows(landmarks, truth.shape[:2])], axis=0)


def _edges(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Gradients of the smoothed luma, [N, 2, H, W], with a margin of ``REACH`` repeated pixels."""
    around = ((0, 0), (REACH + 1, REACH + 1), (REACH + 1, REACH + 1))
    luma = np.pad(pictures.astype(np.float32) @ _LUMA, around, mode="edge")
    for axis in (1, 2):  # a binomial filter, which takes single pixels off
        ahead, behind = np.roll(luma, -1, axis), np.roll(luma, 1, axis)
        luma = 0.5 * luma + 0.25 * (ahead + behind)
    down, right = np.gradient(luma, axis=(1, 2))
    return np.stack([down, right], axis=1)[:, :, 1:-1, 1:-1]


def _windows(landmarks: NDArray[np.float32], shape: tuple[int, ...]) -> list[tuple[slice, slice]]:
    """Rows and columns of left eye, right eye and mouth inside the padded picture; each at least one pixel."""
    left, right, _, *corners = landmarks.astype(np.float64)
    apart = float(np.linalg.norm(right - left))
    parts = [(left, _EYE), (right, _EYE), (np.mean(corners, axis=0), _MOUTH)]
    return [
        (_span(y, apart * height, shape[0]), _span(x, apart * width, shape[1])) for (x, y), (width, height) in parts
    ]


def _span(center: float, half: float, length: int) -> slice:
    start = int(np.clip(round(center - half), 0, length - 1))
    return slice(start + REACH, int(np.clip(round(center + half), start + 1, length)) + REACH)


def _agreement(
    edges: NDArray[np.float32], wanted: NDArray[np.float32], window: tuple[slice, slice]
) -> NDArray[np.float64]:
    """Return the largest correlation over all offsets, [N]."""
    target = wanted[:, *window].astype(np.float64)
    best = np.full(len(edges), -1.0)
    for rows in range(-REACH, REACH + 1):
        for columns in range(-REACH, REACH + 1):
            moved = edges[:, :, _moved(window[0], rows), _moved(window[1], columns)].astype(np.float64)
            sizes = np.sqrt((moved**2).sum((1, 2, 3)) * (target**2).sum())
            best = np.maximum(best, (moved * target).sum((1, 2, 3)) / np.maximum(sizes, 1e-9))
    return best


def _moved(span: slice, by: int) -> slice:
    return slice(span.start + by, span.stop + by)
