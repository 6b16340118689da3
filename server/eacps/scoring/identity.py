"""Identity: is it still the character's face?"""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt

from eacps.imaging import Picture
from eacps.scoring.scorer import EditContext, Outcome


class FoundFaces(Protocol):
    """What `IdentityScorer` reads of an answer about N pictures with room for F faces each."""

    @property
    def counts(self) -> npt.NDArray[np.int32]:
        """``[N]`` faces found."""
        ...

    @property
    def embeddings(self) -> npt.NDArray[np.float32]:
        """``[N, F, 512]``, unit norm; rows beyond the count mean nothing."""
        ...


class FaceEmbedder(Protocol):
    """Finds and embeds faces; `eacps.triton.TritonGateway` is one."""

    async def embed_faces(self, pictures: npt.NDArray[np.uint8], *, timeout_s: float | None = None) -> FoundFaces:
        """Faces of ``pictures`` ``uint8 [N, H, W, 3]``."""
        ...


class IdentityScorer:
    """Cosine between the character's face and the likest face of the picture, cut at 0.

    A picture without a face scores 0: that is a measurement, nobody is there to be recognised.
    """

    def __init__(self, faces: FaceEmbedder, *, name: str = "identity") -> None:
        self.name = name
        self.identity = "identity@1"
        self.stochastic, self.vlm_calls = False, 0
        self._faces = faces

    async def score(self, pictures: Mapping[str, Picture], context: EditContext) -> Mapping[str, Outcome]:
        """See `Scorer.score`."""
        if not pictures:
            return {}
        found = await self._faces.embed_faces(np.stack(list(pictures.values())), timeout_s=context.timeout_s)
        cosines = found.embeddings @ context.reference_embedding
        return {
            picture_id: float(np.clip(cosines[row, :count].max(initial=0.0), 0.0, 1.0))
            for row, (picture_id, count) in enumerate(zip(pictures, found.counts, strict=True))
        }
