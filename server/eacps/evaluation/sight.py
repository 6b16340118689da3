"""Faces of a scene as it came, which may be far larger than what a detector looks at."""

import math
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from eacps.evaluation.faces import FoundFaces, overlaps
from eacps.evaluation.updates import Box
from eacps.imaging import Picture, shrink_to
from eacps.imaging.framing import Rectangle

MAX_SIDE = 1024
"""Pictures are shrunk to it before they are sent: detectors fit what they get into 640 pixels, or fewer."""
ZOOMS = (2, 4)
"""Where no face is found in all of a scene, it is looked at in overlapping parts of a half, then of a quarter of its
sides: a face is found from about a fortieth of the detector's square on, and so from a fortieth of a part's side."""
MOST_FACES = 8
_LONGEST = 8  # times its short side that a picture is long
_LEAST_PART = 64  # pixels; sides are not divided further, smaller parts show a detector nothing new
_SAME_FACE = 0.3  # of their union, that two boxes of one face share
_SURROUNDINGS = 1.0  # of a face's box, shown on each side when it is looked at closely

Find = Callable[[Picture], Awaitable[FoundFaces]]
"""Gives the faces of a picture, in its pixels."""


async def find_in_scene(find: Find, scene: Picture) -> FoundFaces:
    """Give the faces of a picture of any size in its pixels: at most 8, largest first.

    Args:
        find: Asks the detector.
        scene: ``uint8 [H, W, 3]``.
    """
    height, width = scene.shape[:2]
    found = await _find_in_part(find, scene, (0, 0, width, height))
    for zoom in ZOOMS:
        if len(found.boxes) or max(width, height) < zoom * _LEAST_PART:
            break
        seen = []
        for part in _parts(width, height, zoom):
            faces = await _find_in_part(find, scene, part)
            whole = [n for n, box in enumerate(faces.as_tuples()) if _is_within(box, part, width, height)]
            seen.append(_chosen(faces, whole))
        found = _distinct(seen)
    return _chosen(found, range(min(MOST_FACES, len(found.boxes))))


async def look_closely(find: Find, scene: Picture, face: Box) -> Box:
    """Give the box of a face more exactly than a look at all of the scene could; the same one where that fails."""
    height, width = scene.shape[:2]
    across, down = (_SURROUNDINGS * (face[axis + 2] - face[axis]) for axis in (0, 1))
    part = (
        max(0, math.floor(face[0] - across)),
        max(0, math.floor(face[1] - down)),
        min(width, math.ceil(face[2] + across)),
        min(height, math.ceil(face[3] + down)),
    )
    seen = (await _find_in_part(find, scene, part)).as_tuples()
    number = same_face(face, seen)
    return face if number is None else seen[number]


def same_face(face: Box, faces: Sequence[Box]) -> int | None:
    """Say which of some boxes is of a face: of those that share their middle with it, the most alike; None for none."""
    shares = overlaps(np.array(faces, np.float32), face)
    alike = [
        (float(shares[number]), -number)
        for number, other in enumerate(faces)
        if _holds_middle(face, other) or _holds_middle(other, face)
    ]
    return -max(alike)[1] if alike else None


async def _find_in_part(find: Find, scene: Picture, part: Rectangle) -> FoundFaces:
    left, top, right, bottom = part
    seen = shrink_to(scene[top:bottom, left:right].copy(), max_side=MAX_SIDE)
    x, y = (right - left) / seen.shape[1], (bottom - top) / seen.shape[0]
    found = await find(_padded(seen))
    boxes = found.boxes.astype(np.float64) * (x, y, x, y) + (left, top, left, top)
    return replace(found, boxes=boxes.astype(np.float32))


def _padded(picture: Picture) -> Picture:
    """A very long picture with black below or beside it: of its short side a detector would leave no pixel."""
    least = max(picture.shape[:2]) // _LONGEST
    down, across = (max(0, least - side) for side in picture.shape[:2])
    return np.pad(picture, ((0, down), (0, across), (0, 0))) if down or across else picture


def _parts(width: int, height: int, zoom: int) -> Iterator[Rectangle]:
    """Parts of a ``zoom``-th of the sides, each overlapping the next by half."""
    columns, rows = (zoom if side >= zoom * _LEAST_PART else 1 for side in (width, height))
    across, down = -(-width // columns), -(-height // rows)
    for row in range(2 * rows - 1):
        for column in range(2 * columns - 1):
            left, top = min(column * across // 2, width - across), min(row * down // 2, height - down)
            yield left, top, left + across, top + down


def _is_within(box: Box, part: Rectangle, width: int, height: int) -> bool:
    """Whether a face was seen whole: the part's border does not cut it, unless the scene ends there too."""
    return (
        (box[0] > part[0] or part[0] == 0)
        and (box[1] > part[1] or part[1] == 0)
        and (box[2] < part[2] or part[2] == width)
        and (box[3] < part[3] or part[3] == height)
    )


def _distinct(seen: Sequence[FoundFaces]) -> FoundFaces:
    """Of boxes of the same face the largest; by falling area."""
    boxes = np.concatenate([one.boxes for one in seen])
    all_of_them = replace(seen[0], boxes=boxes, embeddings=np.concatenate([one.embeddings for one in seen]))
    kept: list[int] = []
    for number in np.argsort(-(boxes[:, 2:] - boxes[:, :2]).prod(axis=1), kind="stable").tolist():
        if not (overlaps(boxes[kept], boxes[number].tolist()) >= _SAME_FACE).any():
            kept.append(number)
    return _chosen(all_of_them, kept)


def _chosen(faces: FoundFaces, numbers: Sequence[int]) -> FoundFaces:
    index = np.array(numbers, np.intp)
    return replace(faces, boxes=faces.boxes[index], embeddings=faces.embeddings[index])


def _holds_middle(box: Box, other: Box) -> bool:
    x, y = (other[0] + other[2]) / 2, (other[1] + other[3]) / 2
    return box[0] <= x <= box[2] and box[1] <= y <= box[3]
