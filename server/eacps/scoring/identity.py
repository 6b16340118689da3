"""Identity: is it still the character's face?"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from eacps.imaging import Picture
from eacps.scoring.scorer import EditContext, Outcome

_LEAST_NORM = 1e-6  # of a mean: what is left below it is rounding


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


def mean_identity(embeddings: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    """Give whom several faces show together: the mean of their embeddings, brought to unit norm.

    Args:
        embeddings: One or more of one length, each ``float32 [F]`` of unit norm. A single one comes back as it is.

    Raises:
        ValueError: There are none, or they cancel out.
    """
    if len(embeddings) == 1:
        return embeddings[0]
    mean = np.stack(embeddings).mean(axis=0, dtype=np.float64)
    if (norm := float(np.linalg.norm(mean))) < _LEAST_NORM:
        raise ValueError("embeddings cancel out")
    return np.asarray(mean / norm, np.float32)


class IdentityScorer:
    """Cosine between the character's identity and the likest face of the picture, cut at 0.

    The likest of all faces counts, not the one where the scene's was replaced: the model may move people. A picture
    without a face scores 0: that is a measurement, nobody is there to be recognised.
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
