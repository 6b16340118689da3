"""Scores held-out identity: a recognizer that neither training nor the search uses looks for the character."""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from eacps.arrays import Float32, Picture, UInt8
from eacps.imaging import content_hash
from eacps.scene.faces import ShownFace, mean_identity
from eacps.scoring.identity import likeness
from eacps.scoring.scorer import EditContext, MissingScore, Score

_REMEMBERED = 256


class FaceVerifier(Protocol):
    """Finds and embeds faces by the held-out recognizer; `eacps.triton.TritonGateway` is one."""

    async def verify_faces(self, pictures: UInt8, *, timeout_s: float | None = None) -> Sequence[Float32]:
        """Return the embeddings of the faces of ``pictures``, ``uint8 [N, H, W, 3]``: ``[F, E]`` of each picture."""
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
        self._characters: OrderedDict[str, Float32 | None] = OrderedDict()

    async def score(self, pictures: Mapping[str, Picture], context: EditContext) -> Mapping[str, Score]:
        """See `Scorer.score`."""
        if not pictures:
            return {}
        wanted, found = await asyncio.gather(
            self._character(context),
            self._verifier.verify_faces(np.stack(list(pictures.values())), timeout_s=context.timeout_s),
        )
        if wanted is None:
            return dict.fromkeys(pictures, MissingScore("the verifier finds no such face in the character's pictures"))
        return {
            picture_id: likeness(embeddings, wanted) for picture_id, embeddings in zip(pictures, found, strict=True)
        }

    async def _character(self, context: EditContext) -> Float32 | None:
        """Return the character's embedding; None if the verifier does not find the face in one of the pictures."""
        shown = (ShownFace(context.character, context.character_face), *context.more_characters)
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

    async def _embedding(self, shown: ShownFace, timeout_s: float | None) -> Float32 | None:
        (embeddings,) = await self._verifier.verify_faces(shown.picture[None], timeout_s=timeout_s)
        return embeddings[shown.face].copy() if len(embeddings) > shown.face else None
