"""Faces of pictures of any size: those that InsightFace finds, and those that take a closer look.

A picture is looked at as a whole first, in all its pixels, so that faces are found, and counted, as InsightFace's
``FaceAnalysis`` does. The detector fits it into 640 pixels or fewer, which may leave too little of a face in a large
picture. Parts of the picture are looked at where no face was found, or not the one that is meant.
"""

import math
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from eacps.arrays import Float32, Picture
from eacps.imaging import shrink_to
from eacps.scene.choice import (
    LEAST_LIKENESS,
    ByBox,
    ByIndex,
    ByLikeness,
    FaceChoice,
    Largest,
    by_box,
    by_index,
    by_likeness,
    fits,
    largest,
)
from eacps.scene.faces import Face, Faces
from eacps.scene.geometry import Box, Rectangle, overlaps

PARTS_OF_A_SIDE = (2, 4)
"""Parts of a side, from the first closer look to the last. With the whole that is 21 looks at most."""
CLOSE_SIDE = 1024
"""Parts are shrunk to it before they are sent."""
COARSE_FACE = 0.1
"""Of a picture's longer side: a smaller face is looked at closely before it is embedded. The detector sees it in 64
pixels or fewer, its landmarks are coarse then."""
MOST_CLOSE_LOOKS = 16
"""At faces of one look that are compared with an identity: those that look most alike already."""
_OVERLAP = 0.25  # of a part, with the next one; larger faces are found in the whole
_LEAST_PART = 128  # pixels; smaller parts show a detector nothing new
_SAME_FACE = 0.3  # of their union, that two boxes of one face share
_SURROUNDINGS = 1.0  # of a face's box, shown on each side when it is looked at closely

Find = Callable[[Picture], Awaitable[Faces]]
"""Return the faces of a picture, ``uint8 [H, W, 3]``, in its pixels."""


@dataclass(frozen=True, eq=False)
class CloseUp:
    """A face and what surrounds it.

    Args:
        picture: ``uint8 [h, w, 3]``, no side above `CLOSE_SIDE`.
        face: The face, and the others there, in pixels of the picture that this is a part of.
    """

    picture: Picture
    face: Face


class FaceSearch:
    """Looks for faces.

    Args:
        find: Asks the detector.
    """

    def __init__(self, find: Find) -> None:
        self._find = find

    async def in_whole(self, picture: Picture) -> Faces:
        """Find the faces that a picture shows at one look, ``uint8 [H, W, 3]``."""
        return await self._find(picture)

    async def faces(self, picture: Picture) -> Faces:
        """Find the faces of a picture, ``uint8 [H, W, 3]``; where the whole shows none, of its parts."""
        found = await self._find(picture)
        for count in PARTS_OF_A_SIDE:
            if len(found):
                break
            found = await self._in_parts(picture, _all_of(picture), count)
        return found

    async def meant(self, name: str, picture: Picture, choice: FaceChoice) -> Face:
        """Find the face of a picture that a request means.

        Args:
            name: The picture's field in the request, for errors.
            picture: ``uint8 [H, W, 3]``, as it came.
            choice: Which face of it.

        Raises:
            NoFaceFound: It is not there.
        """
        match choice:
            case Largest():
                return largest(name, await self.faces(picture))
            case ByIndex(index):
                return by_index(name, await self.faces(picture), index)
            case ByBox(box):
                return await self.by_box(name, picture, box)
            case ByLikeness():
                shown = await self.meant(f"{name}_face.likeness", choice.picture, Largest())
                close = await self._closely_embedded(shown.faces.chosen([shown.index]), choice.picture)
                return await self.by_likeness(name, picture, close.embeddings[0])

    async def by_box(self, name: str, picture: Picture, box: Box) -> Face:
        """Find the face that a box means, see `eacps.scene.choice.by_box`: where the box is.

        Raises:
            NoFaceFound: The box fits none.
        """
        faces = await self._find(picture)
        if (overlaps(faces.boxes, box) < _SAME_FACE).all():
            faces = await self._in_box(picture, box, faces)
        return by_box(name, faces, box)

    async def by_likeness(self, name: str, picture: Picture, embedding: Float32) -> Face:
        """Find the face that is most alike to an identity, see `eacps.scene.choice.by_likeness`.

        Small faces are compared as they look from near by: embeddings of coarsely found ones are like anyone's.

        Raises:
            NoFaceFound: None is alike enough.
        """
        faces = await self._closely_embedded(await self._find(picture), picture, embedding)
        for count in PARTS_OF_A_SIDE:
            if (faces.embeddings @ embedding >= LEAST_LIKENESS).any():
                break
            others = _new(faces, await self._in_parts(picture, _all_of(picture), count))
            faces = faces.with_others(await self._closely_embedded(others, picture, embedding))
        return by_likeness(name, faces, embedding)

    async def closely(self, face: Face, picture: Picture) -> CloseUp | None:
        """Look at one face and its surroundings; None where it is not found there.

        Args:
            face: The face.
            picture: That it was found in.
        """
        part = _within(_grown(face.box), picture)
        if part is None:
            return None
        faces = await self._in_part(picture, part)
        index = same_face(face.box, faces.as_tuples())
        return None if index is None else CloseUp(_shown(picture, part), Face(faces, index))

    async def _closely_embedded(self, faces: Faces, picture: Picture, embedding: Float32 | None = None) -> Faces:
        """Return faces with the embeddings that small ones have from near by: of `MOST_CLOSE_LOOKS` at most.

        Args:
            faces: Of the picture.
            picture: ``uint8 [H, W, 3]``.
            embedding: Those most alike to it come first; None for their own order.
        """
        order = range(len(faces)) if embedding is None else np.argsort(-(faces.embeddings @ embedding), kind="stable")
        embeddings, boxes = faces.embeddings.copy(), faces.as_tuples()
        for index in [int(one) for one in order if is_small(boxes[one], picture)][:MOST_CLOSE_LOOKS]:
            if (close := await self.closely(Face(faces, index), picture)) is not None:
                embeddings[index] = close.face.embedding
        return replace(faces, embeddings=embeddings)

    async def _in_box(self, picture: Picture, box: Box, faces: Faces) -> Faces:
        """Add to faces those that a look at a box and what surrounds it shows, or at parts of the box."""
        near, within = _within(_grown(box), picture), _within(box, picture)
        if near is None or within is None:
            return faces
        faces = _joined(faces, await self._in_part(picture, near))
        for count in PARTS_OF_A_SIDE:
            if fits(faces, box).any():
                break
            faces = _joined(faces, await self._in_parts(picture, within, count))
        return faces

    async def _in_parts(self, picture: Picture, region: Rectangle, count: int) -> Faces:
        """Find the faces that parts of a region show whole."""
        found = Faces.none()
        for part in _parts(region, count):
            faces = await self._in_part(picture, part)
            whole = [index for index, box in enumerate(faces.as_tuples()) if _is_whole(box, part, picture)]
            found = _joined(found, faces.chosen(whole))
        return found.chosen(np.argsort(-found.scores, kind="stable").tolist())

    async def _in_part(self, picture: Picture, part: Rectangle) -> Faces:
        left, top, right, bottom = part
        shown = _shown(picture, part)
        scale = np.array([(right - left) / shown.shape[1], (bottom - top) / shown.shape[0]], np.float32)
        return (await self._find(shown)).scaled(scale, np.array([left, top], np.float32))


def is_small(face: Box, picture: Picture) -> bool:
    """Whether a face is so small in a picture that it is better looked at closely."""
    side: int = max(picture.shape[:2])
    return max(face[2] - face[0], face[3] - face[1]) < COARSE_FACE * side


def same_face(face: Box, faces: Sequence[Box]) -> int | None:
    """Return which of some boxes is of a face: of those that share their middle with it, the most alike; or None."""
    shares = overlaps(np.array(faces, np.float32), face)
    alike = [
        (float(shares[index]), -index)
        for index, other in enumerate(faces)
        if _holds_middle(face, other) or _holds_middle(other, face)
    ]
    return -max(alike)[1] if alike else None


def _all_of(picture: Picture) -> Rectangle:
    return 0, 0, picture.shape[1], picture.shape[0]


def _shown(picture: Picture, part: Rectangle) -> Picture:
    left, top, right, bottom = part
    return shrink_to(picture[top:bottom, left:right].copy(), max_side=CLOSE_SIDE)


def _grown(box: Box) -> Box:
    across, down = _SURROUNDINGS * (box[2] - box[0]), _SURROUNDINGS * (box[3] - box[1])
    return box[0] - across, box[1] - down, box[2] + across, box[3] + down


def _within(box: Box, picture: Picture) -> Rectangle | None:
    """Return the pixels of a picture that a box touches; None where there are none."""
    height, width = picture.shape[:2]
    left, top = max(0, math.floor(box[0])), max(0, math.floor(box[1]))
    right, bottom = min(width, math.ceil(box[2])), min(height, math.ceil(box[3]))
    return (left, top, right, bottom) if left < right and top < bottom else None


def _parts(region: Rectangle, count: int) -> Iterator[Rectangle]:
    """Divide the sides of a region into as many parts, each overlapping the next; sides that are long enough for it."""
    columns, rows = (list(_spans(low, high, count)) for low, high in (region[0::2], region[1::2]))
    if len(columns) * len(rows) > 1:
        yield from ((left, top, right, bottom) for top, bottom in rows for left, right in columns)


def _spans(low: int, high: int, count: int) -> Iterator[tuple[int, int]]:
    if high - low < count * _LEAST_PART:
        yield low, high
        return
    length = math.ceil((high - low) / (count - (count - 1) * _OVERLAP))
    for number in range(count):
        start = low + round(number * (high - low - length) / (count - 1))
        yield start, start + length


def _is_whole(box: Box, part: Rectangle, picture: Picture) -> bool:
    """Whether a part's border does not cut a face, unless the picture ends there too."""
    _, _, width, height = _all_of(picture)
    return (
        (box[0] > part[0] or part[0] == 0)
        and (box[1] > part[1] or part[1] == 0)
        and (box[2] < part[2] or part[2] == width)
        and (box[3] < part[3] or part[3] == height)
    )


def _joined(faces: Faces, others: Faces) -> Faces:
    """Add to faces those of others that are not among them."""
    return faces.with_others(_new(faces, others))


def _new(faces: Faces, others: Faces) -> Faces:
    """Return those of others that are not among faces."""
    boxes = others.as_tuples()
    return others.chosen([index for index, box in enumerate(boxes) if (overlaps(faces.boxes, box) < _SAME_FACE).all()])


def _holds_middle(box: Box, other: Box) -> bool:
    x, y = (other[0] + other[2]) / 2, (other[1] + other[3]) / 2
    return box[0] <= x <= box[2] and box[1] <= y <= box[3]
