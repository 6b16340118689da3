"""Faces of a picture by InsightFace's detector, largest first."""

import numpy as np
from insightface.app.common import Face
from insightface.model_zoo.scrfd import SCRFD
from numpy.typing import NDArray

from eacps.tensors import MAX_FACES

LARGEST = -1  # the face number that asks for the largest face


def find_faces(detector: SCRFD, picture: NDArray[np.uint8]) -> list[Face]:
    """Detect faces.

    Args:
        detector: InsightFace's SCRFD, prepared with its input size.
        picture: [H, W, 3] uint8, BGR.

    Returns:
        At most ``MAX_FACES`` faces with ``bbox`` [4], ``kps`` [5, 2] (pixels) and ``det_score``, by falling area of
        their boxes; of equal areas the better score comes first.
    """
    rows, landmarks = detector.detect(picture)
    areas = (rows[:, 2] - rows[:, 0]) * (rows[:, 3] - rows[:, 1])
    order = np.argsort(-areas, kind="stable")[:MAX_FACES]
    return [Face(bbox=rows[i, :4], kps=landmarks[i], det_score=rows[i, 4]) for i in order]


def choose_face(faces: list[Face], number: int) -> Face | None:
    """The face of that number (from 0, largest first; -1 is the largest), or None where there is no such face."""
    index = 0 if number == LARGEST else number
    return faces[index] if 0 <= index < len(faces) else None
