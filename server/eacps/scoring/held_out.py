"""Held-out identity: does a recogniser that nothing was trained or searched with see the character too?"""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt

from eacps.imaging import Picture, content_hash
from eacps.scoring.identity import mean_identity
from eacps.scoring.scorer import EditContext, Missing, Outcome, ShownFace

_REMEMBERED = 256


class FoundFaces(Protocol):
    """What `HeldOutIdentityScorer` reads of an answer about N pictures with room for F faces each."""

    @property
    def counts(self) -> npt.NDArray[np.int32]:
        """``[N]`` faces found."""
        ...

    @property
    def embeddings(self) -> npt.NDArray[np.float32]:
        """``[N, F, features]``, unit norm; rows beyond the count mean nothing."""
        ...


class FaceVerifier(Protocol):
    """Finds and embeds faces by the held-out recogniser; `eacps.triton.TritonGateway` is one."""

    async def verify_faces(self, pictures: npt.NDArray[np.uint8], *, timeout_s: float | None = None) -> FoundFaces:
        """Faces of ``pictures`` ``uint8 [N, H, W, 3]``."""
        ...


class HeldOutIdentityScorer:
    """Cosine between the character's face and the likest face of the picture by the held-out verifier, cut at 0.

    Meant to be marked as held out in a request: reported, never searched. The character's own embedding, the mean over
    all pictures of the character, is asked for once and remembered.
    """

    def __init__(self, verifier: FaceVerifier, *, name: str = "identity_heldout") -> None:
        self.name = name
        self.identity = "identity_heldout@1"
        self.stochastic, self.vlm_calls = False, 0
        self._verifier = verifier
        self._characters: OrderedDict[str, npt.NDArray[np.float32] | None] = OrderedDict()

    async def score(self, pictures: Mapping[str, Picture], context: EditContext) -> Mapping[str, Outcome]:
        """See `Scorer.score`."""
        if not pictures:
            return {}
        wanted, found = await asyncio.gather(
            self._character(context),
            self._verifier.verify_faces(np.stack(list(pictures.values())), timeout_s=context.timeout_s),
        )
        if wanted is None:
            return dict.fromkeys(pictures, Missing("the verifier finds no such face in the character's pictures"))
        cosines = found.embeddings @ wanted
        return {
            picture_id: float(np.clip(cosines[row, :count].max(initial=0.0), 0.0, 1.0))
            for row, (picture_id, count) in enumerate(zip(pictures, found.counts, strict=True))
        }

    async def _character(self, context: EditContext) -> npt.NDArray[np.float32] | None:
        """Give the character's embedding; None where the verifier finds no such face in one of the pictures."""
        shown = (ShownFace(context.character, max(context.character_face, 0)), *context.more_characters)
        key = " ".join(f"{content_hash(one.picture)} {one.face}" for one in shown)
        if key not in self._characters:
            found = [await self._embedding(one, context.timeout_s) for one in shown]
            known = [embedding for embedding in found if embedding is not None]
            self._characters[key] = mean_identity(known) if len(known) == len(found) else None
            while len(self._characters) > _REMEMBERED:
                self._characters.popitem(last=False)
        else:
            self._characters.move_to_end(key)
        return self._characters[key]

    async def _embedding(self, shown: ShownFace, timeout_s: float | None) -> npt.NDArray[np.float32] | None:
        found = await self._verifier.verify_faces(shown.picture[None], timeout_s=timeout_s)
        return found.embeddings[0, shown.face].copy() if found.counts[0] > shown.face else None
