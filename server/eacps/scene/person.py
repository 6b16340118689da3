"""Who is put into the scene: the person's face in the pictures of the character as they came, and the identity."""

from collections.abc import Sequence
from dataclasses import dataclass

from eacps.arrays import Float32, Picture
from eacps.imaging import shrink_to
from eacps.scene.choice import FaceChoice
from eacps.scene.face_search import CLOSE_SIDE, FaceSearch, is_small, same_face
from eacps.scene.faces import Face, ShownFace, mean_identity
from eacps.scene.geometry import Box

_NOT_SHOWN = 2**31 - 1  # index of a face that a picture does not show


@dataclass(frozen=True, eq=False)
class Person:
    """The person of the character's pictures.

    Args:
        shown: The face in the character picture; in a part of it where the picture is large or the face small.
        more: Faces in the further pictures, in their order.
        identity: ``float32 [512]``, unit norm: of the one face, or the mean over all pictures.
        box: Face in the character picture as it came, xyxy in its pixels.
        faces: All faces that were found there, in the order in which a request counts them.
    """

    shown: ShownFace
    more: tuple[ShownFace, ...]
    identity: Float32
    box: Box
    faces: tuple[Box, ...]


async def find_person(search: FaceSearch, character: Picture, choice: FaceChoice, more: Sequence[Picture]) -> Person:
    """Find the person of the character's pictures in all of them.

    Args:
        search: Looks for faces.
        character: The first picture, ``uint8 [H, W, 3]``, as it came.
        choice: Which face of that is meant.
        more: Further pictures, ``uint8 [h, w, 3]``.

    Raises:
        NoFaceFound: A picture shows no face, or not the one that is meant.
    """
    meant = await search.meant("character", character, choice)
    main, main_shown = await _portrait(search, meant, character)
    embeddings, shown = [main.embedding], []
    for index, picture in enumerate(more):
        found = await search.by_likeness(f"more_characters[{index}]", picture, main.embedding)
        face, face_shown = await _portrait(search, found, picture)
        embeddings.append(face.embedding)
        shown.append(face_shown)
    return Person(main_shown, tuple(shown), mean_identity(embeddings), main.box, tuple(meant.faces.as_tuples()))


async def _portrait(search: FaceSearch, face: Face, picture: Picture) -> tuple[Face, ShownFace]:
    """Return a face, looked at closely where it is small, and a picture of moderate size that shows it."""
    fits, small = max(picture.shape[:2]) <= CLOSE_SIDE, is_small(face.box, picture)
    if fits and not small:
        return face, ShownFace(picture, face.index)
    close = await search.closely(face, picture)
    if close is not None:
        return close.face if small else face, ShownFace(close.picture, close.face.index)
    return face, ShownFace(picture, face.index) if fits else await _shrunk(search, face, picture)


async def _shrunk(search: FaceSearch, face: Face, picture: Picture) -> ShownFace:
    shrunk = shrink_to(picture, max_side=CLOSE_SIDE)
    scale = shrunk.shape[1] / picture.shape[1]
    left, top, right, bottom = (scale * edge for edge in face.box)
    index = same_face((left, top, right, bottom), (await search.faces(shrunk)).as_tuples())
    return ShownFace(shrunk, _NOT_SHOWN if index is None else index)
