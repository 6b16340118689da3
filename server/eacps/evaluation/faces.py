"""Which face of a picture is meant. Pure: whoever has found the faces chooses here among them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eacps.errors import NoFaceFound
from eacps.imaging import Picture
from eacps.triton.types import Box, Faces, Float32

LEAST_LIKENESS = 0.28
"""Least cosine of two faces that are taken for one person's: from where on InsightFace's own demonstration of its
recogniser (web-demos/src_recognition) says that they are. Below it the person is not in the picture, and the likest of
strangers would be replaced instead."""


@dataclass(frozen=True)
class ByBox:
    """The face that overlaps ``box`` most; xyxy in pixels of the picture, of an area above 0."""

    box: Box


@dataclass(frozen=True, eq=False)
class ByLikeness:
    """The face most alike to the largest one of ``picture``, ``uint8 [h, w, 3]``."""

    picture: Picture


FaceChoice = ByBox | ByLikeness


@dataclass(frozen=True, eq=False)
class FoundFaces:
    """Faces of one picture, largest first.

    Args:
        picture: Its field in the request, for faults.
        boxes: ``float32 [F, 4]``, xyxy in pixels.
        embeddings: ``float32 [F, 512]``, unit norm.
    """

    picture: str
    boxes: Float32
    embeddings: Float32

    @classmethod
    def of(cls, picture: str, faces: Faces) -> "FoundFaces":
        """Take the faces of the first picture of a model's answer."""
        count = int(faces.counts[0])
        return cls(picture, faces.boxes[0, :count], faces.embeddings[0, :count])

    def as_tuples(self) -> list[Box]:
        """Give the boxes, largest first."""
        return [tuple(box) for box in self.boxes.tolist()]

    def embedding(self, number: int) -> Float32:
        """Give the embedding of the face of that number, from 0; -1 is the largest.

        Raises:
            NoFaceFound: There is no such face.
        """
        if len(self.embeddings) <= max(number, 0):
            raise NoFaceFound(self.picture, len(self.embeddings))
        found: Float32 = self.embeddings[max(number, 0)]
        return found

    def by_box(self, box: Box) -> int:
        """Give the number of the face that overlaps ``box`` most; of equal ones the largest.

        Raises:
            NoFaceFound: None overlaps it.
        """
        shares = overlaps(self.boxes, box)
        if not shares.max(initial=0.0) > 0.0:
            raise NoFaceFound(self.picture, len(shares), none="none of them in the box")
        return int(shares.argmax())

    def by_likeness(self, embedding: Float32) -> int:
        """Give the number of the face most alike to ``embedding``, ``float32 [512]``; of equal ones the largest.

        Raises:
            NoFaceFound: None is as alike as `LEAST_LIKENESS`.
        """
        cosines = self.embeddings @ embedding
        if not len(cosines):
            raise NoFaceFound(self.picture)
        if not cosines.max() >= LEAST_LIKENESS:
            none = f"none of them alike enough (cosine {cosines.max():.2f} at best, {LEAST_LIKENESS} is needed)"
            raise NoFaceFound(self.picture, len(cosines), none=none)
        return int(cosines.argmax())


def overlaps(boxes: Float32, box: Sequence[float]) -> npt.NDArray[np.float64]:
    """Give the intersection over union of each of ``boxes``, ``[F, 4]`` xyxy, with ``box``: ``[F]``, in [0, 1]."""
    others, wanted = np.asarray(boxes, np.float64).reshape(-1, 4), np.asarray(box, np.float64)
    corners = np.minimum(others[:, 2:], wanted[2:]) - np.maximum(others[:, :2], wanted[:2])
    shared = np.clip(corners, 0.0, None).prod(axis=1)
    areas = (others[:, 2:] - others[:, :2]).prod(axis=1) + (wanted[2:] - wanted[:2]).prod() - shared
    return np.asarray(np.divide(shared, areas, out=np.zeros(len(others)), where=areas > 0))
