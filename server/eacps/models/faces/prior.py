"""The identity prior: the character's face, or a given identity, pasted over a face of the scene.

What Triton's `face_prior` computes.
"""

from dataclasses import dataclass

import numpy as np
from insightface.app.common import Face
from numpy.typing import NDArray

from eacps.models.faces.detection import LARGEST, choose_face
from eacps.models.faces.embedding import EMBEDDING_SIZE, FaceEmbedder
from eacps.models.faces.library import ServedSwapper
from eacps.tensors import FACE_PRIOR

UNIT_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Prior:
    """Result of a swap. Unless both faces exist, the prior is the scene itself and the rest is zero.

    Attributes:
        counts: [2] int32, faces found in scene and character.
        prior: [H, W, 3] uint8, RGB, the scene's size.
        embedding: [512] float32, unit norm: the identity that was put in.
        scene_box, character_box: [4] float32, xyxy pixels of the two faces.
    """

    counts: NDArray[np.int32]
    prior: NDArray[np.uint8]
    embedding: NDArray[np.float32]
    scene_box: NDArray[np.float32]
    character_box: NDArray[np.float32]

    def outputs(self) -> dict[str, NDArray[np.int32] | NDArray[np.uint8] | NDArray[np.float32]]:
        """The outputs of `face_prior` by name."""
        return {tensor.name: getattr(self, tensor.name) for tensor in FACE_PRIOR.outputs}


class FaceSwap:
    """Puts the character into the scene with InsightFace's INSwapper, paste-back included."""

    def __init__(self, embedder: FaceEmbedder, swapper: ServedSwapper) -> None:
        self._embedder, self._swapper = embedder, swapper

    def prior(
        self,
        scene: NDArray[np.uint8],
        character: NDArray[np.uint8],
        *,
        scene_face: int = LARGEST,
        character_face: int = LARGEST,
        source: NDArray[np.float32] | None = None,
    ) -> Prior:
        """Swap one face.

        Args:
            scene: [H, W, 3] uint8, RGB.
            character: [H2, W2, 3] uint8, RGB.
            scene_face: Number of the face to replace, from 0, largest first; -1 is the largest.
            character_face: Number of the face to put in, likewise.
            source: [512] float32, unit norm, to be put in instead of that face's own embedding.

        Raises:
            ValueError: ``source`` is not of unit norm.
        """
        if source is not None and not abs(float(np.linalg.norm(source)) - 1.0) < UNIT_TOLERANCE:  # NaN fails too
            raise ValueError("source is not of unit norm")
        scene_bgr = np.ascontiguousarray(scene[..., ::-1])
        character_bgr = np.ascontiguousarray(character[..., ::-1])
        scene_faces, character_faces = self._embedder.find(scene_bgr), self._embedder.find(character_bgr)
        counts = np.array([len(scene_faces), len(character_faces)], np.int32)
        replaced, shown = choose_face(scene_faces, scene_face), choose_face(character_faces, character_face)
        if replaced is None or shown is None:
            return _unswapped(scene, counts)
        identity = self._embedder.embed_face(character_bgr, shown) if source is None else Face(embedding=source)
        swapped = self._swapper.get(scene_bgr, replaced, identity, paste_back=True)
        return Prior(
            counts=counts,
            prior=np.ascontiguousarray(swapped[..., ::-1]),
            embedding=np.asarray(identity.normed_embedding, np.float32),
            scene_box=np.asarray(replaced.bbox, np.float32),
            character_box=np.asarray(shown.bbox, np.float32),
        )


def _unswapped(scene: NDArray[np.uint8], counts: NDArray[np.int32]) -> Prior:
    box = np.zeros(4, np.float32)
    return Prior(counts, scene.copy(), np.zeros(EMBEDDING_SIZE, np.float32), box, box.copy())
