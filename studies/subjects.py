"""What the study edits: drawn tasks of held-out people, prepared once, and split by what they are for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eacps.errors import NoFaceFound
from eacps.triton import Prior, TritonGateway
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
        prior: What the served face pack makes of it.
        conditioning: uint8 [R, 128, 128, 3], what the backbone sees: the prior, then the character.
    """

    number: int
    drawn: Task
    prior: Prior
    conditioning: NDArray[np.uint8]


async def prepare(number: int, gateway: TritonGateway, *, shows_character: bool) -> Subject | None:
    """Draw a task and make its identity prior; None where the served face pack finds no face in it."""
    drawn = task(number, Split.HELD_OUT)
    try:
        prior = await gateway.prepare_prior(drawn.scene.picture, drawn.character.picture)
    except NoFaceFound:
        return None
    shown = [prior.picture] + [drawn.character.picture] * shows_character
    return Subject(number, drawn, prior, np.stack(shown))
