"""Whose face is in a picture, as the face pack sees it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from studio_mini.faces.pack import FacePack

Embedding = NDArray[np.float32]


def embedding(pack: FacePack, picture: NDArray[np.uint8]) -> Embedding | None:
    """Return the unit embedding [512] of the largest face in an RGB picture, or None where no face is found."""
    faces = pack.faces(picture)
    return np.asarray(faces[0].normed_embedding, np.float32) if faces else None


def cosine(one: Embedding | None, other: Embedding | None) -> float:
    """Return the cosine of two unit embeddings; 0, as for strangers, where a face was not found."""
    return 0.0 if one is None or other is None else float(one @ other)


def drawn_swap(pack: FacePack, scene: NDArray[np.uint8], character: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """Return the scene with the character's face swapped in by the pack; None where a face is not found."""
    target, source = pack.faces(scene), pack.faces(character)
    return pack.swap(scene, target[0], source[0]) if target and source else None
