"""Embeddings of all faces of some pictures: what Triton's `face_embed` and `face_verify` compute."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from insightface.app.common import Face
from insightface.model_zoo.scrfd import SCRFD
from insightface.utils import face_align
from numpy.typing import NDArray

from eacps.models.faces.detection import find_faces
from eacps.models.faces.library import ServedRecognizer
from eacps.tensors import MAX_FACES, ModelSpec

EMBEDDING_SIZE = 512


@dataclass(frozen=True)
class FaceTable:
    """Faces of P pictures, largest first; rows beyond a picture's count are zero.

    Attributes:
        counts: [P] int32. boxes: [P, 8, 4] xyxy pixels. landmarks: [P, 8, 5, 2] pixels.
        detection_scores: [P, 8] in [0, 1]. embeddings: [P, 8, F], unit norm; F is 512 in `face_embed`.
    """

    counts: NDArray[np.int32]
    boxes: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    detection_scores: NDArray[np.float32]
    embeddings: NDArray[np.float32]

    @classmethod
    def empty(cls, pictures: int, features: int) -> "FaceTable":
        """A table without faces."""
        return cls(
            counts=np.zeros(pictures, np.int32),
            boxes=np.zeros((pictures, MAX_FACES, 4), np.float32),
            landmarks=np.zeros((pictures, MAX_FACES, 5, 2), np.float32),
            detection_scores=np.zeros((pictures, MAX_FACES), np.float32),
            embeddings=np.zeros((pictures, MAX_FACES, features), np.float32),
        )

    def outputs(self, program: ModelSpec) -> dict[str, NDArray[np.int32] | NDArray[np.float32]]:
        """The outputs of ``program`` by name."""
        return {tensor.name: getattr(self, tensor.name) for tensor in program.outputs}


class FaceEmbedder:
    """Detects per picture and recognises all faces together.

    Args:
        detector: InsightFace's SCRFD.
        recognizer: InsightFace's ArcFaceONNX on a session that takes any number of crops.
    """

    def __init__(self, detector: SCRFD, recognizer: ServedRecognizer) -> None:
        self._detector, self._recognizer = detector, recognizer

    @cached_property
    def _features(self) -> int:
        """Length of an embedding; where the contract leaves it open, one crop tells."""
        declared = self._recognizer.output_shape[-1]
        if isinstance(declared, int):
            return declared
        side = int(self._recognizer.input_size[0])
        return int(self._recognizer.get_feat([np.zeros((side, side, 3), np.uint8)]).shape[1])

    def faces(self, pictures: NDArray[np.uint8]) -> FaceTable:
        """Find and embed the faces of RGB pictures [P, H, W, 3] uint8."""
        table = FaceTable.empty(len(pictures), self._features)
        crops, places = [], []
        for row, picture in enumerate(pictures):
            bgr = np.ascontiguousarray(picture[..., ::-1])
            found = find_faces(self._detector, bgr)
            table.counts[row] = len(found)
            for column, face in enumerate(found):
                table.boxes[row, column] = face.bbox
                table.landmarks[row, column] = face.kps
                table.detection_scores[row, column] = face.det_score
                crops.append(face_align.norm_crop(bgr, face.kps, self._recognizer.input_size[0]))
                places.append((row, column))
        for place, embedding in zip(places, self._embed(crops), strict=True):
            table.embeddings[place] = embedding
        return table

    def embed_face(self, picture: NDArray[np.uint8], face: Face) -> Face:
        """Set the ``embedding`` of one face of a BGR picture and return the face."""
        self._recognizer.get(picture, face)
        return face

    def find(self, picture: NDArray[np.uint8]) -> list[Face]:
        """Detect the faces of one BGR picture, largest first, without embeddings."""
        return find_faces(self._detector, picture)

    def _embed(self, crops: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
        if not crops:
            return np.zeros((0, self._features), np.float32)
        embeddings: NDArray[np.float32] = self._recognizer.get_feat(crops)
        unit: NDArray[np.float32] = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
        return unit
