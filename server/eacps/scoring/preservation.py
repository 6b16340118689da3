"""Scores preservation: is the part that the edit must not touch still as in the scene?

Structural similarity (Wang et al. 2004: Gaussian window of 11 pixels, sigma 1.5) of brightness, averaged over the
pixels outside the mask; without a mask, outside the head that was replaced.
"""

import asyncio
from collections.abc import Mapping

import numpy as np

from eacps.arrays import Float64, Picture
from eacps.imaging.preserved import preserved_region
from eacps.scoring.scorer import EditContext, Score

_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
_RADIUS, _SIGMA = 5, 1.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


class PreservationScorer:
    """Mean structural similarity to the scene where nothing may change, cut at 0; 1 if everything may change."""

    def __init__(self, *, name: str = "preservation") -> None:
        self.name = name
        self.identity = "preservation@1"
        self.stochastic, self.vlm_calls = False, 0

    async def score(self, pictures: Mapping[str, Picture], context: EditContext) -> Mapping[str, Score]:
        """See `Scorer.score`."""
        return await asyncio.to_thread(_scores, pictures, context)


def structural_similarity(one: Picture, other: Picture) -> Float64:
    """Return the similarity of brightness around every pixel, ``[H, W]``, at most 1."""
    a, b = one @ _LUMA, other @ _LUMA
    mean_a, mean_b = _blurred(a), _blurred(b)
    variance_a, variance_b = _blurred(a * a) - mean_a**2, _blurred(b * b) - mean_b**2
    covariance = _blurred(a * b) - mean_a * mean_b
    likeness = (2 * mean_a * mean_b + _C1) * (2 * covariance + _C2)
    return np.asarray(likeness / ((mean_a**2 + mean_b**2 + _C1) * (variance_a + variance_b + _C2)))


def _scores(pictures: Mapping[str, Picture], context: EditContext) -> dict[str, Score]:
    kept = preserved_region(*context.scene.shape[:2], mask=context.mask, face=context.scene_box)
    if not kept.any():
        return dict.fromkeys(pictures, 1.0)
    return {
        name: float(np.clip(structural_similarity(picture, context.scene)[kept].mean(), 0.0, 1.0))
        for name, picture in pictures.items()
    }


def _blurred(values: Float64) -> Float64:
    """Blur along both axes; the picture is mirrored at its edges."""
    offsets = np.arange(-_RADIUS, _RADIUS + 1)
    window = np.exp(-(offsets**2) / (2 * _SIGMA**2))
    window /= window.sum()
    for axis in (0, 1):
        padding = [(_RADIUS, _RADIUS) if axis == other else (0, 0) for other in (0, 1)]
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(values, padding, mode="symmetric"), len(window), axis)
        values = np.asarray(windows @ window)
    return values
