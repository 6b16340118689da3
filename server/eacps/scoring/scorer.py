"""The protocol that every scorer follows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from eacps.imaging import Mask, Picture


@dataclass(frozen=True)
class ShownFace:
    """The character's face in a further picture.

    Attributes:
        picture: ``uint8 [h, w, 3]``.
        face: Which of its faces, from 0 by size.
    """

    picture: Picture
    face: int


@dataclass(frozen=True)
class EditContext:
    """The edit that the pictures to be scored result from.

    Attributes:
        scene: The picture that was edited, ``uint8 [H, W, 3]``.
        prompt: What the edit was to do.
        reference_embedding: Unit-norm ``float32 [512]`` of the character, by the recogniser that is searched with: of
            the one face, or the mean over all pictures.
        character: The character's picture, ``uint8 [h, w, 3]``.
        character_face: Which of its faces, from 0 by size; -1 is the largest.
        scene_box: Face that was replaced, xyxy in pixels of the scene.
        mask: ``uint8 [H, W]``, 255 where the scene may change; None: everywhere.
        timeout_s: Time for one call that a scorer makes; None is no bound.
        again: How often the same was asked before; a stochastic scorer may answer otherwise.
        more_characters: The character's face in further pictures.
    """

    scene: Picture
    prompt: str
    reference_embedding: npt.NDArray[np.float32]
    character: Picture
    character_face: int
    scene_box: tuple[float, float, float, float]
    mask: Mask | None = None
    timeout_s: float | None = None
    again: int = 0
    more_characters: tuple[ShownFace, ...] = ()


@dataclass(frozen=True)
class Missing:
    """A score that could not be had, and why. It is not a low score."""

    reason: str


Outcome = float | Missing


class Scorer(Protocol):
    """Scores a micro-batch of pictures at once."""

    @property
    def name(self) -> str:
        """Name in requests and results, unique within a server."""
        ...

    @property
    def stochastic(self) -> bool:
        """Whether its answer about one picture may differ from time to time."""
        ...

    @property
    def vlm_calls(self) -> int:
        """Calls of vision-language models that scoring one picture takes."""
        ...

    @property
    def identity(self) -> str:
        """What judges, with its version: scores of different identities do not compare."""
        ...

    async def score(self, pictures: Mapping[str, Picture], context: EditContext) -> Mapping[str, Outcome]:
        """Score every picture.

        Args:
            pictures: ``uint8 [H, W, 3]`` by candidate id, all of one size.
            context: The edit they result from.

        Returns:
            For exactly the ids given, a number in [0, 1] or `Missing`. A failed call is `Missing` for the pictures
            it concerned, never a number.

        Raises:
            EacpsError: The one call for all pictures failed. Whoever asks decides on a second try and on what is
                missing.
        """
        ...
