"""Models that cost next to nothing, but whose pictures are as many, and as hard to encode, as those of real ones."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import numpy as np

from eacps.arrays import Picture, UInt8
from eacps.scoring.scorer import EditContext, Score
from eacps.testing import TOY_CHECKPOINT, ToyModels
from eacps.triton.types import Generated, GenerateRequest, ServedCheckpoint

SCORER = "stamp"
PACED_STEPS = 100
"""A search of so many steps takes `PACE_S` a micro-batch, as one of real models does."""
PACE_S = 1.0
_GRAIN = 2.0
"""Levels, one standard deviation of the noise that a picture gets: about that of a photograph."""
_SHIFTS = 64
_STAMP = 8
"""Bytes at the beginning of a picture that are its seed's alone."""


class FreeModels(ToyModels):
    """`ToyModels` that work at any size; every picture of theirs is the edit's first, with a grain of its own.

    Args:
        size: Pixels a side.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self._checkpoint = replace(TOY_CHECKPOINT, name="free", width=size, height=size, sizes=((size, size),))
        noise = np.random.default_rng(size).normal(0.0, _GRAIN, (size + _SHIFTS, size + _SHIFTS, 3))
        self._grain = np.clip(noise.round(), -8, 8).astype(np.int8)

    async def describe(self) -> ServedCheckpoint:
        """See `Models.describe`."""
        return self._checkpoint

    def expecting(self, build: str) -> AbstractContextManager[None]:  # noqa: ARG002  # they are always the same
        """See `Models.expecting`."""
        return nullcontext()

    async def generate(
        self,
        request: GenerateRequest,
        *,
        timeout_s: float | None = None,  # noqa: ARG002
    ) -> Generated:
        """One picture for each recipe, its own down to the stamp."""
        if request.steps == PACED_STEPS:
            await asyncio.sleep(PACE_S)
        prior = np.clip(request.pictures[0], 8, 247).view(np.int8)
        pictures = np.stack([self._picture(prior, int(seeds[0])) for seeds in request.seeds])
        return Generated(pictures, np.zeros((len(pictures), 1, 4), np.float32))

    def _picture(self, prior: np.ndarray, seed: int) -> UInt8:
        height, width = prior.shape[:2]
        down, right = seed % _SHIFTS, seed // _SHIFTS % _SHIFTS
        picture = (prior + self._grain[down : down + height, right : right + width]).view(np.uint8)
        picture.reshape(-1)[:_STAMP] = np.frombuffer(seed.to_bytes(_STAMP, "little"), np.uint8)
        return picture


class StampScorer:
    """Scores a picture by its stamp. Follows `eacps.scoring.Scorer`."""

    name, identity = SCORER, "stamp@1"
    stochastic, vlm_calls = False, 0

    async def score(
        self,
        pictures: Mapping[str, Picture],
        context: EditContext,  # noqa: ARG002  # the stamp says it all
    ) -> Mapping[str, Score]:
        """See `Scorer.score`."""
        return {name: float(picture.reshape(-1)[:_STAMP].mean()) / 255 for name, picture in pictures.items()}
