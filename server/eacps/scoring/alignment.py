"""Scores alignment: does the picture lie over its scene, or has the model shifted or zoomed it?

See `eacps.imaging.registration`. Delivering corrects what this measures, at the price of some sharpness and of what
lies beyond the edges.
"""

import asyncio
from collections.abc import Mapping

import numpy as np

from eacps.arrays import Picture
from eacps.imaging.preserved import preserved_region
from eacps.imaging.registration import measure_alignment
from eacps.scoring.scorer import EditContext, MissingScore, Score

WORST = 0.02
"""Mean displacement, of the shorter side, from which on the score is 0."""


class AlignmentScorer:
    """1 where nothing has moved, falling with the mean displacement to 0 at `WORST`; missing where it is not sure."""

    def __init__(self, *, name: str = "alignment") -> None:
        self.name = name
        self.identity = "alignment@2"
        self.stochastic, self.vlm_calls = False, 0

    async def score(self, pictures: Mapping[str, Picture], context: EditContext) -> Mapping[str, Score]:
        """See `Scorer.score`."""
        return await asyncio.to_thread(lambda: {name: _score(picture, context) for name, picture in pictures.items()})


def _score(picture: Picture, context: EditContext) -> Score:
    kept = preserved_region(*context.scene.shape[:2], mask=context.mask, face=context.scene_box)
    found = measure_alignment(picture, context.scene, kept if kept.any() else np.ones_like(kept))
    if found is None or not found.sure:
        return MissingScore(
            "the preserved part of the scene shows too little, or has changed too much, to measure shift and zoom"
        )
    return float(max(0.0, 1.0 - found.displacement / (WORST * min(picture.shape[:2]))))
