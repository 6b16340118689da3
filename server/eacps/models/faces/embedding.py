"""Faces of pictures with their embeddings: what Triton's `face_embed` and `face_verify` compute."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from insightface.app.common import Face
from insightface.utils import face_align
from numpy.typing import NDArray

from eacps.models.faces.detection import FaceDetector
from eacps.models.faces.library import ServedRecognizer
from eacps.tensors import ModelSpec


@dataclass(frozen=True)
class FaceTable:
    """Faces of P pictures with room for F faces each; rows beyond a picture's count are zero.

    Attributes:
        counts: [P] int32. boxes: [P, F, 4] xyxy pixels. landmarks: [P, F, 5, 2] pixels.
        detection_scores: [P, F] in [0, 1], falling. embeddings: [P, F, E], unit norm; E is 512 in `face_embed`.
    """

    counts: NDArray[np.int32]
    boxes: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    detection_scores: NDArray[np.float32]
    embeddings: NDArray[np.float32]

    @classmethod
    def of(cls, pictures: Sequence[Sequence[Face]], features: int) -> "FaceTable":
        """List the faces of pictures, without embeddings; there is room for one face at least."""
        count, room = len(pictures), max((1, *map(len, pictures)))
        table = cls(
            counts=np.array([len(faces) for faces in pictures], np.int32),
            boxes=np.zeros((count, room, 4), np.float32),
            landmarks=np.zeros((count, room, 5, 2), np.float32),
            detection_scores=np.zeros((count, room), np.float32),
            embeddings=np.zeros((count, room, features), np.float32),
        )
        for row, faces in enumerate(pictures):
            for column, face in enumerate(faces):
                table.boxes[row, column] = face.bbox
                table.landmarks[row, column] = face.kps
                table.detection_scores[row, column] = face.det_score
        return table

    def outputs(self, program: ModelSpec) -> dict[str, NDArray[np.int32] | NDArray[np.float32]]:
        """Return the outputs of ``program`` by name."""
        return {tensor.name: getattr(self, tensor.name) for tensor in program.outputs}


class FaceEmbedder:
    """Detects per picture and recognizes all faces together.

    Args:
        detector: Finds faces.
        recognizer: InsightFace's ArcFaceONNX on a session that takes any number of crops.
    """

    def __init__(self, detector: FaceDetector, recognizer: ServedRecognizer) -> None:
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
        """Find and embed the faces of RGB pictures, [P, H, W, 3] uint8; each picture's in the order of its scores."""
        bgr = [np.ascontiguousarray(picture[..., ::-1]) for picture in pictures]
        found = [self._detector.find(picture) for picture in bgr]
        table = FaceTable.of(found, self._features)
        side = self._recognizer.input_size[0]
        crops = [
            face_align.norm_crop(picture, face.kps, side)
            for picture, faces in zip(bgr, found, strict=True)
            for face in faces
        ]
        indices = [(row, column) for row, faces in enumerate(found) for column in range(len(faces))]
        for index, embedding in zip(indices, self._embed(crops), strict=True):
            table.embeddings[index] = embedding
        return table

    def _embed(self, crops: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        if not crops:
            return np.zeros((0, self._features), np.float32)
        embeddings: NDArray[np.float32] = self._recognizer.get_feat(list(crops))
        unit: NDArray[np.float32] = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
        return unit
