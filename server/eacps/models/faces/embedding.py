"""Embeddings of all faces of some pictures: what Triton's `face_embed` computes."""

from dataclasses import dataclass

import numpy as np
from insightface.app.common import Face
from insightface.model_zoo.scrfd import SCRFD
from insightface.utils import face_align
from numpy.typing import NDArray

from eacps.models.faces.detection import find_faces
from eacps.models.faces.library import ServedRecognizer
from eacps.tensors import FACE_EMBED, MAX_FACES

EMBEDDING_SIZE = 512


@dataclass(frozen=True)
class FaceTable:
    """Faces of P pictures, largest first; rows beyond a picture's count are zero.

    Attributes:
        counts: [P] int32. boxes: [P, 8, 4] xyxy pixels. landmarks: [P, 8, 5, 2] pixels.
        detection_scores: [P, 8] in [0, 1]. embeddings: [P, 8, 512], unit norm.
    """

    counts: NDArray[np.int32]
    boxes: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    detection_scores: NDArray[np.float32]
    embeddings: NDArray[np.float32]

    @classmethod
    def empty(cls, pictures: int) -> "FaceTable":
        """A table without faces."""
        return cls(
            counts=np.zeros(pictures, np.int32),
            boxes=np.zeros((pictures, MAX_FACES, 4), np.float32),
            landmarks=np.zeros((pictures, MAX_FACES, 5, 2), np.float32),
            detection_scores=np.zeros((pictures, MAX_FACES), np.float32),
            embeddings=np.zeros((pictures, MAX_FACES, EMBEDDING_SIZE), np.float32),
        )

    def outputs(self) -> dict[str, NDArray[np.int32] | NDArray[np.float32]]:
        """The outputs of `face_embed` by name."""
        return {tensor.name: getattr(self, tensor.name) for tensor in FACE_EMBED.outputs}


class FaceEmbedder:
    """Detects per picture and recognises all faces together.

    Args:
        detector: InsightFace's SCRFD.
        recognizer: InsightFace's ArcFaceONNX on a session that takes any number of crops.
    """

    def __init__(self, detector: SCRFD, recognizer: ServedRecognizer) -> None:
        self._detector, self._recognizer = detector, recognizer

    def faces(self, pictures: NDArray[np.uint8]) -> FaceTable:
        """Find and embed the faces of RGB pictures [P, H, W, 3] uint8."""
        table = FaceTable.empty(len(pictures))
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
            return np.zeros((0, EMBEDDING_SIZE), np.float32)
        embeddings: NDArray[np.float32] = self._recognizer.get_feat(crops)
        unit: NDArray[np.float32] = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
        return unit
