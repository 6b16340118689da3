"""The protocol that every scorer follows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from eacps.arrays import Float32, Mask, Picture
from eacps.scene.faces import ShownFace
from eacps.scene.geometry import Box


@dataclass(frozen=True)
class EditContext:
    """The edit that the pictures to be scored result from.

    Attributes:
        scene: The picture that was edited, ``uint8 [H, W, 3]``.
        prompt: What the edit should do.
        reference_embedding: Unit-norm ``float32 [512]`` of the character, by the recognizer that is searched with: of
            the one face, or the mean over all pictures.
        character: The character's picture, ``uint8 [h, w, 3]``.
        character_face: Index of the face that is meant, in the order in which faces are found.
        scene_box: Face that was replaced, xyxy in pixels of the scene.
        mask: ``uint8 [H, W]``, 255 where the scene may change; None if all of it may change.
        timeout_s: Time for one call that a scorer makes; None is no bound.
        again: How often the same was asked before. A stochastic scorer may then answer differently.
        more_characters: The character's face in further pictures.
    """

    scene: Picture
    prompt: str
    reference_embedding: Float32
    character: Picture
    character_face: int
    scene_box: Box
    mask: Mask | None = None
    timeout_s: float | None = None
    again: int = 0
    more_characters: tuple[ShownFace, ...] = ()


@dataclass(frozen=True)
class MissingScore:
    """A score that is not available, and why. It is not a low score."""

    reason: str


Score = float | MissingScore


class Scorer(Protocol):
    """Scores a micro-batch of pictures at once."""

    @property
    def name(self) -> str:
        """Name in requests and results, unique within a server."""
        ...

    @property
    def stochastic(self) -> bool:
        """Whether its answers about the same picture may differ."""
        ...

    @property
    def vlm_calls(self) -> int:
        """Calls of vision-language models that one picture needs."""
        ...

    @property
    def identity(self) -> str:
        """What judges, with its version. Scores of different identities cannot be compared."""
        ...

    async def score(self, pictures: Mapping[str, Picture], context: EditContext) -> Mapping[str, Score]:
        """Score every picture.

        Args:
            pictures: ``uint8 [H, W, 3]`` by candidate id, all of one size.
            context: The edit they result from.

        Returns:
            For exactly the ids given, a number in [0, 1] or `MissingScore`. If a call failed, its pictures get a
            `MissingScore`, never a number.

        Raises:
            EacpsError: The call for all pictures failed. The caller decides on retries.
        """
        ...
