"""Faces of one picture, and a person's face and identity in pictures."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from eacps.arrays import Float32, Picture
from eacps.scene.geometry import Box

_LEAST_NORM = 1e-6  # of a mean: what is left below it is rounding


@dataclass(frozen=True, eq=False)
class Faces:
    """Faces of one picture, in the order of InsightFace's ``FaceAnalysis.get``: by falling detection score.

    Args:
        boxes: ``float32 [F, 4]``, xyxy in pixels.
        landmarks: ``float32 [F, 5, 2]``, xy in pixels.
        scores: ``float32 [F]``, the detector's, in [0, 1].
        embeddings: ``float32 [F, 512]``, unit norm.
    """

    boxes: Float32
    landmarks: Float32
    scores: Float32
    embeddings: Float32

    @classmethod
    def none(cls) -> "Faces":
        """Return the faces of a picture that shows none."""
        return cls(*(np.zeros(shape, np.float32) for shape in ((0, 4), (0, 5, 2), (0,), (0, 512))))

    def __len__(self) -> int:
        return len(self.boxes)

    def as_tuples(self) -> list[Box]:
        """Return the boxes."""
        return [tuple(box) for box in self.boxes.tolist()]

    def chosen(self, indices: Sequence[int]) -> "Faces":
        """Return the faces of these indices, in their order."""
        index = np.array(indices, np.intp)
        return Faces(self.boxes[index], self.landmarks[index], self.scores[index], self.embeddings[index])

    def with_others(self, others: "Faces") -> "Faces":
        """Return these faces and then others of the same picture."""
        return Faces(
            np.concatenate([self.boxes, others.boxes]),
            np.concatenate([self.landmarks, others.landmarks]),
            np.concatenate([self.scores, others.scores]),
            np.concatenate([self.embeddings, others.embeddings]),
        )

    def scaled(self, scale: Float32, corner: Float32) -> "Faces":
        """Return the faces in pixels of another picture, of which this one is a part, shrunk perhaps.

        Args:
            scale: ``float32 [2]``: pixels of the other picture for one of this, across and down.
            corner: ``float32 [2]``: this picture's upper left corner in the other one.
        """
        boxes = (self.boxes.reshape(-1, 2, 2) * scale + corner).reshape(-1, 4)
        return replace(self, boxes=boxes, landmarks=self.landmarks * scale + corner)


@dataclass(frozen=True, eq=False)
class Face:
    """A face among others of its picture.

    Args:
        faces: All that were found.
        index: Of this one.
    """

    faces: Faces
    index: int

    @property
    def box(self) -> Box:
        """Box, xyxy in pixels of the picture."""
        return self.faces.as_tuples()[self.index]

    @property
    def landmarks(self) -> Float32:
        """``float32 [5, 2]``, in pixels."""
        found: Float32 = self.faces.landmarks[self.index]
        return found

    @property
    def embedding(self) -> Float32:
        """``float32 [512]``, unit norm."""
        found: Float32 = self.faces.embeddings[self.index]
        return found


@dataclass(frozen=True)
class ShownFace:
    """A picture that shows a face.

    Args:
        picture: ``uint8 [h, w, 3]``.
        face: Index of the face that is meant, in the order in which faces are found.
    """

    picture: Picture
    face: int


def mean_identity(embeddings: Sequence[Float32]) -> Float32:
    """Return the identity that several faces show together: the mean of their embeddings, scaled to unit norm.

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
