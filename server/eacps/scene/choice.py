"""Choice of a face among the faces found in a picture. Pure.

Every function is given the picture's field in the request, such as ``scene``, for its errors.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eacps.arrays import Float32, Float64, Picture
from eacps.errors import NoFaceFound
from eacps.scene.faces import Face, Faces
from eacps.scene.geometry import Box, areas, intersections, overlaps, shares

LEAST_LIKENESS = 0.28
"""Least cosine of two faces that are taken for one person's: from where on InsightFace's own demonstration of its
recognizer (web-demos/src_recognition) says that they are. Below it the person is not in the picture, and the likest of
strangers would be replaced instead."""
LEAST_OVERLAP = 0.3
"""Least intersection over union of a face and a box that means it."""
LEAST_SHARE = 0.7
"""Or the least share of the one that lies in the other: boxes are drawn around whole heads as well as within faces."""
LEAST_COVERED = 0.1
"""Least share of the face that a box within it covers: a smaller one is a point, and may be at the face's edge."""


@dataclass(frozen=True)
class Largest:
    """The largest face."""


@dataclass(frozen=True)
class ByIndex:
    """The face of an index, from 0, in the order in which faces are found."""

    index: int


@dataclass(frozen=True)
class ByBox:
    """The face that overlaps ``box`` most; xyxy in pixels of the picture, of an area above 0."""

    box: Box


@dataclass(frozen=True, eq=False)
class ByLikeness:
    """The face most alike to the largest one of ``picture``, ``uint8 [h, w, 3]``."""

    picture: Picture


FaceChoice = Largest | ByIndex | ByBox | ByLikeness


def largest(name: str, faces: Faces) -> Face:
    """Return the face of the largest area; of equal ones the first.

    Raises:
        NoFaceFound: There is none.
    """
    if not len(faces):
        raise NoFaceFound(name)
    return Face(faces, int(areas(faces.boxes).argmax()))


def by_index(name: str, faces: Faces, index: int) -> Face:
    """Return the face of an index.

    Raises:
        NoFaceFound: There is no such face.
    """
    if not 0 <= index < len(faces):
        raise NoFaceFound(name, len(faces))
    return Face(faces, index)


def by_box(name: str, faces: Faces, box: Box) -> Face:
    """Return the face that a box means: of those that it fits, the one that it overlaps most.

    A box fits a face if their intersection over union is at least `LEAST_OVERLAP`, if it holds `LEAST_SHARE` of the
    face, or if that share of it is within the face and covers `LEAST_COVERED` of that.

    Raises:
        NoFaceFound: It fits none. The nearest one is named.
    """
    if not len(faces):
        raise NoFaceFound(name)
    overlap, fitting = overlaps(faces.boxes, box), fits(faces, box)
    if not fitting.any():
        raise NoFaceFound(name, len(faces), none=_nearest(faces, overlap, box))
    return Face(faces, int(np.where(fitting, overlap, -1.0).argmax()))


def fits(faces: Faces, box: Box) -> npt.NDArray[np.bool_]:
    """Return for each face whether a box means it, ``[F]``; see `by_box`."""
    shared = intersections(faces.boxes, box)
    of_faces, of_box = shares(shared, areas(faces.boxes)), shares(shared, areas([box]))
    within = (of_box >= LEAST_SHARE) & (of_faces >= LEAST_COVERED)
    return np.asarray((overlaps(faces.boxes, box) >= LEAST_OVERLAP) | (of_faces >= LEAST_SHARE) | within)


def by_likeness(name: str, faces: Faces, embedding: Float32) -> Face:
    """Return the face most alike to ``embedding``, ``float32 [512]``; of equal ones the first.

    Raises:
        NoFaceFound: None is as alike as `LEAST_LIKENESS`.
    """
    if not len(faces):
        raise NoFaceFound(name)
    cosines = faces.embeddings @ embedding
    if not cosines.max() >= LEAST_LIKENESS:
        none = f"none of them alike enough (cosine {cosines.max():.2f} at best, {LEAST_LIKENESS} is needed)"
        raise NoFaceFound(name, len(faces), none=none)
    return Face(faces, int(cosines.argmax()))


def _nearest(faces: Faces, overlap: Float64, box: Box) -> str:
    """Name the face that overlaps a box most, or whose middle is nearest to the box's."""
    middles, middle = (faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2, (np.array(box[:2]) + box[2:]) / 2
    distances = np.linalg.norm(middles - middle, axis=1)
    nearest = int(np.lexsort((distances, -overlap))[0])
    edges = ",".join(f"{edge:.0f}" for edge in faces.boxes[nearest])
    return (
        f"none of them in the box: the nearest, {nearest}, is at {edges} and overlaps it by {overlap[nearest]:.2f} "
        f"(intersection over union, {LEAST_OVERLAP} is needed)"
    )
