"""What the study edits: drawn tasks of held-out people, prepared once, and split by what they are for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eacps.errors import NoFaceFound
from eacps.scene.choice import largest
from eacps.scene.faces import Face
from eacps.scene.geometry import Box
from eacps.triton import TritonGateway
from studio_mini.world.tasks import Split, Task, task

FIRST_STUDIED = 1000
"""Tasks on which strategies are compared; `studio_mini.evaluate` has those from 0."""
FIRST_TUNED = 2000
"""Tasks on which settings are chosen and the landscape is measured, never compared on."""


@dataclass(frozen=True, eq=False)
class Prior:
    """An identity prior by face swap.

    Attributes:
        picture: uint8 [128, 128, 3].
        embedding: float32 [512], unit norm: the identity that was put in.
        scene_box: Face replaced, xyxy in pixels of the scene.
    """

    picture: NDArray[np.uint8]
    embedding: NDArray[np.float32]
    scene_box: Box


@dataclass(frozen=True, eq=False)
class Subject:
    """One task, ready to be edited.

    Attributes:
        number: Of the drawn task.
        drawn: The task.
        prior: What the served face pack makes of it.
        character_face: Index of the face that it takes from the character picture.
        conditioning: uint8 [R, 128, 128, 3], what the backbone sees: the prior, then the character.
    """

    number: int
    drawn: Task
    prior: Prior
    character_face: int
    conditioning: NDArray[np.uint8]


async def prepare(number: int, gateway: TritonGateway, *, shows_character: bool) -> Subject | None:
    """Draw a task and make its identity prior; None where the served face pack finds no face in it."""
    drawn = task(number, Split.HELD_OUT)
    try:
        replaced = await _largest_face(gateway, "scene", drawn.scene.picture)
        shown = await _largest_face(gateway, "character", drawn.character.picture)
    except NoFaceFound:
        return None
    swapped = await gateway.swap_face(drawn.scene.picture, replaced.landmarks, shown.embedding)
    prior = Prior(swapped, shown.embedding, replaced.box)
    pictures = [swapped] + [drawn.character.picture] * shows_character
    return Subject(number, drawn, prior, shown.index, np.stack(pictures))


async def _largest_face(gateway: TritonGateway, name: str, picture: NDArray[np.uint8]) -> Face:
    return largest(name, (await gateway.embed_faces(picture[None]))[0])
