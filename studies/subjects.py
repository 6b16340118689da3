"""What the study edits: drawn tasks of held-out people, prepared once, and split by what they are for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eacps.errors import NoFaceFound
from eacps.triton import TritonGateway
from export.studio_mini.measure.identity import Embedding
from export.studio_mini.measure.verifier import HeldOutVerifier
from export.studio_mini.world.tasks import Split, Task, task

FIRST_STUDIED = 1000
"""Tasks on which strategies are compared; `export.studio_mini.evaluate` has those from 0."""
FIRST_TUNED = 2000
"""Tasks on which settings are chosen and the landscape is measured, never compared on."""


@dataclass(frozen=True, eq=False)
class Subject:
    """One task, ready to be edited.

    Attributes:
        number: Of the drawn task.
        drawn: The task.
        conditioning: uint8 [R, 128, 128, 3], what the backbone sees: the face pack's prior, then the character.
        embedding: Unit norm [512], of the character's face, by the recogniser that the search uses.
        held_out_embedding: Unit norm [256], by the held-out verifier; None where its detector finds no face.
    """

    number: int
    drawn: Task
    conditioning: NDArray[np.uint8]
    embedding: Embedding
    held_out_embedding: Embedding | None


async def prepare(
    number: int, gateway: TritonGateway, verifier: HeldOutVerifier, *, shows_character: bool
) -> Subject | None:
    """Draw a task and make its identity prior; None where the served face pack finds no face in it."""
    drawn = task(number, Split.HELD_OUT)
    try:
        prior = await gateway.prepare_prior(drawn.scene.picture, drawn.character.picture)
    except NoFaceFound:
        return None
    shown = [prior.picture] + [drawn.character.picture] * shows_character
    known = verifier.embedding(drawn.character.picture)
    return Subject(number, drawn, np.stack(shown), prior.embedding, known)
