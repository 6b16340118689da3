"""Scores identity: is it still the character's face?"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from eacps.arrays import Float32, Picture, UInt8
from eacps.scene.faces import Faces
from eacps.scoring.scorer import EditContext, Score


class FaceFinder(Protocol):
    """Finds and embeds faces; `eacps.triton.TritonGateway` is one."""

    async def embed_faces(self, pictures: UInt8, *, timeout_s: float | None = None) -> Sequence[Faces]:
        """Find the faces of ``pictures``, ``uint8 [N, H, W, 3]``; those of each picture."""
        ...


class IdentityScorer:
    """Cosine between the character's identity and the likest face of the picture, cut at 0.

    The likest of all faces counts, not the one where the scene's was replaced: the model may move people. A picture
    without a face scores 0: that is a measurement, because there is nobody to recognize.
    """

    def __init__(self, faces: FaceFinder, *, name: str = "identity") -> None:
        self.name = name
        self.identity = "identity@1"
        self.stochastic, self.vlm_calls = False, 0
        self._faces = faces

    async def score(self, pictures: Mapping[str, Picture], context: EditContext) -> Mapping[str, Score]:
        """See `Scorer.score`."""
        if not pictures:
            return {}
        found = await self._faces.embed_faces(np.stack(list(pictures.values())), timeout_s=context.timeout_s)
        return {
            picture_id: likeness(faces.embeddings, context.reference_embedding)
            for picture_id, faces in zip(pictures, found, strict=True)
        }


def likeness(embeddings: Float32, identity: Float32) -> float:
    """Return the cosine of the likest of some faces, ``float32 [F, E]``, cut at 0; 0 where there are none."""
    return float(np.clip((embeddings @ identity).max(initial=0.0), 0.0, 1.0))
