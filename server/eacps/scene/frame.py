"""Where in a scene a checkpoint works: a rectangle of the scene with the aspect ratio of one of its sizes.

A checkpoint makes pictures of a few sizes; scenes come in any. The frame is the part of the scene that is brought to
such a size, worked on there, and pasted back (`eacps.imaging.inlay`). All here is arithmetic on rectangles.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from PIL import Image

from eacps.arrays import Mask, Picture
from eacps.scene.geometry import Box, Rectangle, Size

FACE_MARGIN = 0.45
"""Of the width and height of a face's box (brows to chin), shown beyond each of its sides: hair, ears, shoulders."""
SMALL_FACE = 0.4
"""Below this share of the working picture's height a face is small: AUTO then works on the face's region."""


class Framing(StrEnum):
    """Which part of a scene is worked on.

    AUTO: WHOLE, unless the scene has none of the sizes and its face would be small in it (`SMALL_FACE`), while FACE
    would show it larger; then FACE.
    WHOLE: The largest part that has the aspect ratio of a size.
    FACE: The face to be replaced with a margin (`FACE_MARGIN`), and the white part of the mask.
    """

    AUTO = "auto"
    WHOLE = "whole"
    FACE = "face"


@dataclass(frozen=True)
class Frame:
    """A part of a scene, and the size to which it is brought.

    Args:
        rectangle: In pixels of the scene as it came; inside it, and not empty.
        size: Width and height of the working picture.
    """

    rectangle: Rectangle
    size: Size

    @property
    def extent(self) -> Size:
        """Width and height of the rectangle, in pixels of the scene."""
        left, top, right, bottom = self.rectangle
        return right - left, bottom - top

    def is_all_of(self, picture: Picture | Mask) -> bool:
        """Whether a picture of the scene's size is the working picture already, pixel for pixel."""
        size = (picture.shape[1], picture.shape[0])
        return self.size == size and self.rectangle == (0, 0, *size)

    def to_working(self, box: Box) -> Box:
        """Convert a box of the uploaded scene to pixels of the working picture; it may exceed the picture."""
        (left, top, _, _), (x, y) = self.rectangle, self._scales()
        return (box[0] - left) / x, (box[1] - top) / y, (box[2] - left) / x, (box[3] - top) / y

    def to_scene(self, box: Box) -> Box:
        """Return a box of the working picture in pixels of the scene as it came; the inverse of `to_working`."""
        (left, top, _, _), (x, y) = self.rectangle, self._scales()
        return left + box[0] * x, top + box[1] * y, left + box[2] * x, top + box[3] * y

    def _scales(self) -> tuple[float, float]:
        """Pixels of the scene for one of the working picture, across and down."""
        (across, down), (width, height) = self.extent, self.size
        return across / width, down / height


def choose_frame(
    scene: Size, sizes: Sequence[Size], framing: Framing, *, face: Box | None = None, mask: Mask | None = None
) -> Frame:
    """Choose the part of a scene that is worked on.

    A scene that has one of the sizes is its own frame, but for FACE. Of several sizes the one whose aspect ratio is
    nearest is taken, of equally near ones the first.

    Args:
        scene: Its size as it came.
        sizes: Those that the checkpoint works in, at least one.
        framing: Which part is wanted.
        face: To be replaced, in pixels of the scene; None where it is not known, which FACE takes for WHOLE.
        mask: ``uint8 [H, W]`` of the scene's size, above 0 where it may change; None: everywhere.

    Returns:
        A frame inside the scene, its aspect ratio that of its size to within a pixel. It holds the face with its margin
        and the white part of the mask; where it cannot, the face and as much of the others as fits.
    """
    whole = _whole(scene, sizes, _wants(scene, face, mask))
    if framing is Framing.WHOLE or face is None or (framing is Framing.AUTO and scene in sizes):
        return whole
    near = _near(scene, sizes, _wants(scene, face, mask))
    if framing is Framing.FACE:
        return near
    small = face[3] - face[1] < SMALL_FACE * whole.extent[1]
    finer = near.extent[1] * whole.size[1] < whole.extent[1] * near.size[1]
    return near if small and finer else whole


def cut_picture(picture: Picture, frame: Frame) -> Picture:
    """Bring the framed part of a picture to the frame's size; a picture that is all of it comes back as it is."""
    if frame.is_all_of(picture):
        return picture
    image = Image.fromarray(picture)
    return np.asarray(image.resize(frame.size, Image.Resampling.LANCZOS, box=frame.rectangle)).copy()


def cut_mask(mask: Mask, frame: Frame) -> Mask:
    """The same cut as `cut_picture`, by nearest neighbor: 255 where anything may change, however little, else 0."""
    if not frame.is_all_of(mask):
        image = Image.fromarray(mask)
        mask = np.asarray(image.resize(frame.size, Image.Resampling.NEAREST, box=frame.rectangle))
    return np.where(mask > 0, np.uint8(255), np.uint8(0))


def _wants(scene: Size, face: Box | None, mask: Mask | None) -> list[Rectangle]:
    """What a frame should hold, from the most to the least that can be asked."""
    white = None if mask is None else _white_part(mask)
    wants: list[Rectangle] = []
    if face is not None:
        across, down = FACE_MARGIN * (face[2] - face[0]), FACE_MARGIN * (face[3] - face[1])
        grown = face[0] - across, face[1] - down, face[2] + across, face[3] + down
        wants = [_whole_pixels(grown, scene), _whole_pixels(face, scene)]
    if white is not None:
        wants.insert(0, _hull(white, wants[0]) if wants else white)
    return wants


def _white_part(mask: Mask) -> Rectangle | None:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _hull(one: Rectangle, other: Rectangle) -> Rectangle:
    return min(one[0], other[0]), min(one[1], other[1]), max(one[2], other[2]), max(one[3], other[3])


def _whole_pixels(box: Box, scene: Size) -> Rectangle:
    """The pixels of the scene that a box touches, at least one."""
    spans = []
    for low, high, length in ((box[0], box[2], scene[0]), (box[1], box[3], scene[1])):
        first = min(max(math.floor(low), 0), length - 1)
        spans.append((first, max(min(math.ceil(high), length), first + 1)))
    (left, right), (top, bottom) = spans
    return left, top, right, bottom


def _whole(scene: Size, sizes: Sequence[Size], wants: Sequence[Rectangle]) -> Frame:
    if scene in sizes:
        return Frame((0, 0, *scene), scene)
    size = _nearest(scene, sizes)
    return Frame(_placed(_largest(scene, size), scene, (0, 0, *scene), wants), size)


def _near(scene: Size, sizes: Sequence[Size], wants: Sequence[Rectangle]) -> Frame:
    left, top, right, bottom = wants[0]
    region = right - left, bottom - top
    size = _nearest(region, sizes)
    extent = _smallest(region, size)
    if extent[0] > scene[0] or extent[1] > scene[1]:
        extent = _largest(scene, size)
    return Frame(_placed(extent, scene, wants[0], wants), size)


def _nearest(picture: Size, sizes: Sequence[Size]) -> Size:
    return min(sizes, key=lambda size: abs(math.log(picture[0] * size[1] / (picture[1] * size[0]))))


def _largest(scene: Size, size: Size) -> Size:
    """The largest extent within a scene that has the aspect ratio of ``size``."""
    width, height = scene
    if width * size[1] >= height * size[0]:
        return min(width, max(1, round(height * size[0] / size[1]))), height
    return width, min(height, max(1, round(width * size[1] / size[0])))


def _smallest(region: Size, size: Size) -> Size:
    """The smallest extent around a region that has the aspect ratio of ``size``."""
    width, height = region
    if width * size[1] >= height * size[0]:
        return width, max(height, round(width * size[1] / size[0]))
    return max(width, round(height * size[0] / size[1])), height


def _placed(extent: Size, scene: Size, around: Rectangle, wants: Sequence[Rectangle]) -> Rectangle:
    """Put a rectangle around the middle of another one, then shift it as little as what it should hold asks for."""
    left, top = (_start(extent[axis], scene[axis], around[axis::2], [one[axis::2] for one in wants]) for axis in (0, 1))
    return left, top, left + extent[0], top + extent[1]


def _start(length: int, limit: int, around: tuple[int, ...], wants: Sequence[tuple[int, ...]]) -> int:
    start = (sum(around) - length) // 2
    for low, high in wants:  # later ones count more
        start = (low + high - length) // 2 if high - low > length else min(max(start, high - length), low)
    return min(max(start, 0), limit - length)
