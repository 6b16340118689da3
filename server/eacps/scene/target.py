"""The face of the scene that is replaced, and the part of the scene that is worked on around it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eacps.arrays import Float32, Mask, Picture
from eacps.errors import NoFaceFound
from eacps.scene.choice import FaceChoice, Largest
from eacps.scene.face_search import FaceSearch, same_face
from eacps.scene.faces import Face
from eacps.scene.frame import Frame, Framing, choose_frame
from eacps.scene.geometry import Box, Size

NO_FACE: Box = (0.0, 0.0, 0.0, 0.0)
"""The box of a face that a scene does not show."""


@dataclass(frozen=True, eq=False)
class Target:
    """The face of the scene that an edit is about, in pixels of the working scene.

    Args:
        box: xyxy.
        landmarks: ``float32 [5, 2]``, xy.
    """

    box: Box
    landmarks: Float32


@dataclass(frozen=True, eq=False)
class FramedScene:
    """The part of a scene that is worked on.

    Args:
        frame: In the scene as it came.
        face: The face that is meant among all of the scene as it came, in its pixels; None where it shows none.
        close: The same face, looked at closely where that was needed; None where the frame was chosen without.
    """

    frame: Frame
    face: Face | None = None
    close: Face | None = None

    def faces_in_frame(self, target: Target | None) -> tuple[Box, ...]:
        """Return all faces in pixels of the working scene, the one that is meant as it was found there."""
        if self.face is None:
            return ()
        boxes = [self.frame.to_working(box) for box in self.face.faces.as_tuples()]
        if target is not None:
            boxes[self.face.index] = target.box
        return tuple(boxes)


async def frame_scene(
    search: FaceSearch,
    scene: Picture,
    choice: FaceChoice,
    *,
    mask: Mask | None,
    sizes: Sequence[Size],
    framing: Framing,
    needs_face: bool,
) -> FramedScene:
    """Find the face that is meant in a scene as it came, and choose the frame.

    Args:
        search: Looks for faces.
        scene: ``uint8 [H, W, 3]``.
        choice: Which face of it is replaced.
        mask: ``uint8 [H, W]``; None: everywhere.
        sizes: In which the checkpoint works.
        framing: Which part of the scene is worked on.
        needs_face: Whether an edit without a face makes no sense.

    Raises:
        NoFaceFound: The face that is meant is not there; or there is none, and the edit or the frame needs one.
    """
    size = (scene.shape[1], scene.shape[0])
    needs_face = needs_face or framing is Framing.FACE or choice != Largest()
    face = await _meant(search, scene, choice, needed=needs_face)
    if size in sizes and framing is not Framing.FACE:
        return FramedScene(choose_frame(size, sizes, framing, mask=mask), face)
    close_up = None if face is None else await search.closely(face, scene)
    near = face if close_up is None else close_up.face
    box = None if near is None else near.box
    frame = await asyncio.to_thread(choose_frame, size, sizes, framing, face=box, mask=mask)
    return FramedScene(frame, face, near)


async def find_target(search: FaceSearch, framed: FramedScene, working: Picture) -> Target | None:
    """Find the face that is meant in the working scene; None where the scene shows none.

    Where the detector misses it there, being too small, it is where it was found in the scene as it came.

    Args:
        search: Looks for faces.
        framed: The scene.
        working: Its part that is worked on, ``uint8 [H, W, 3]``.
    """
    near, frame = framed.close or framed.face, framed.frame
    if near is None:
        return None
    if framed.close is None:  # the scene as it came is the working scene
        return Target(near.box, near.landmarks)
    box = frame.to_working(near.box)
    found = await search.in_whole(working)
    index = same_face(box, found.as_tuples())
    if index is not None:
        again = Face(found, index)
        return Target(again.box, again.landmarks)
    corners = [frame.to_working((x, y, x, y)) for x, y in near.landmarks.tolist()]
    return Target(box, np.array(corners, np.float32)[:, :2])


async def _meant(search: FaceSearch, scene: Picture, choice: FaceChoice, *, needed: bool) -> Face | None:
    """Find the face that is meant; None where the scene shows none, and none is needed."""
    try:
        return await search.meant("scene", scene, choice)
    except NoFaceFound as exc:
        if exc.found or needed:
            raise
        return None
