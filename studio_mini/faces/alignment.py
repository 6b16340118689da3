"""Alignment by five landmarks, as InsightFace crops faces for its recognizer and swapper.

InsightFace estimates the same similarity transform with scikit-image, one face at a time; here it is the closed form
on complex numbers, fast enough to be drawn anew for every training sample.
"""

import cv2
import numpy as np
from insightface.utils.face_align import arcface_dst
from numpy.typing import NDArray

RECOGNIZER_SIZE = 112
SWAPPER_SIZE = 128
SWAPPER_SHIFT = 8  # x of the recognizer's crop inside the swapper's: both have the same scale

_TEMPLATE = np.asarray(arcface_dst, dtype=np.float64)


def similarity(points: NDArray[np.floating], goal: NDArray[np.floating]) -> NDArray[np.float64]:
    """Least-squares rotation, scale and shift that takes ``points`` to ``goal``.

    Args:
        points: [N, 2] pixels, not all equal.
        goal: [N, 2] pixels.

    Returns:
        [2, 3] affine matrix for ``cv2.warpAffine``.
    """
    source = points[:, 0] + 1j * points[:, 1]
    target = goal[:, 0] + 1j * goal[:, 1]
    centered = source - source.mean()
    factor = np.vdot(centered, target - target.mean()) / np.vdot(centered, centered).real
    shift = target.mean() - factor * source.mean()
    return np.array([[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]])


def crop(picture: NDArray[np.uint8], landmarks: NDArray[np.floating], size: int = RECOGNIZER_SIZE) -> NDArray[np.uint8]:
    """Cut the aligned face out of a picture.

    Args:
        picture: [H, W, 3] uint8, any channel order.
        landmarks: [5, 2] pixels: left eye, right eye, nose, left and right corner of the mouth, as seen.
        size: 112 (recognizer) or 128 (swapper).

    Returns:
        [size, size, 3] uint8, zero where the crop leaves the picture.
    """
    goal = _TEMPLATE + (np.array([SWAPPER_SHIFT, 0]) if size == SWAPPER_SIZE else 0)
    warped = cv2.warpAffine(picture, similarity(landmarks, goal), (size, size), borderValue=0.0)
    return warped.astype(np.uint8, copy=False)


def transform_points(matrix: NDArray[np.floating], points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Apply a [2, 3] affine matrix to [..., 2] points."""
    return points @ matrix[:, :2].T + matrix[:, 2]
