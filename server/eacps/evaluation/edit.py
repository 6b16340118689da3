"""The edit that all candidates of a search share, at the size in which the checkpoint works."""

from collections.abc import Mapping
from dataclasses import dataclass

from eacps.evaluation.plan import SearchPlan
from eacps.evaluation.updates import Box
from eacps.imaging import Mask, Picture, fit_mask, fit_picture, shrink_to
from eacps.triton.types import Float32, ServedCheckpoint

MAX_CHARACTER_SIDE = 1024  # the detector works at 640; beyond this a face only costs time


@dataclass(frozen=True)
class Inputs:
    """The plan's pictures, fitted.

    Args:
        scene: ``uint8 [H, W, 3]``, H and W the checkpoint's.
        character: ``uint8 [h, w, 3]``, no side above 1024.
        reference: The character picture at the checkpoint's size, where the backbone is to see it.
        mask: ``uint8 [H, W]``.
        steps: Of the full schedule.
        character_scale: Pixels of the character picture as it came, per pixel of ``character``: x, y.
    """

    scene: Picture
    character: Picture
    reference: Picture | None
    mask: Mask | None
    steps: int
    character_scale: tuple[float, float]

    def to_original(self, box: Box) -> Box:
        """Give a box of ``character`` in pixels of the character picture as it came."""
        x, y = self.character_scale
        left, top, right, bottom = box
        return left * x, top * y, right * x, bottom * y


@dataclass(frozen=True)
class Edit:
    """Inputs plus what was made of them.

    Args:
        checkpoint: What the search runs on.
        inputs: The plan's pictures, fitted.
        digests: Artifacts of scene, character, prior, embedding, and of reference and mask where there are any.
        prior: The identity prior, ``uint8 [H, W, 3]``.
        embedding: ``float32 [512]``, unit norm, of the character's face.
        scene_box: Face replaced, xyxy in pixels of ``inputs.scene``.
        character_box: Face taken, xyxy in pixels of the character picture as it came.
    """

    checkpoint: ServedCheckpoint
    inputs: Inputs
    digests: Mapping[str, str]
    prior: Picture
    embedding: Float32
    scene_box: Box
    character_box: Box

    @property
    def steps(self) -> int:
        """Denoising steps of the full schedule."""
        return self.inputs.steps

    @property
    def conditioning(self) -> list[Picture]:
        """What the backbone sees: the prior first, then the reference."""
        reference = self.inputs.reference
        return [self.prior] if reference is None else [self.prior, reference]

    @property
    def conditioning_digests(self) -> list[str]:
        """Artifacts of ``conditioning``."""
        names = ["prior"] if self.inputs.reference is None else ["prior", "reference"]
        return [self.digests[name] for name in names]


def fit_inputs(plan: SearchPlan, checkpoint: ServedCheckpoint) -> Inputs:
    """Bring the plan's pictures to the checkpoint's size."""
    width, height = checkpoint.width, checkpoint.height
    character = shrink_to(plan.character, max_side=MAX_CHARACTER_SIDE)
    return Inputs(
        scene=fit_picture(plan.scene, width=width, height=height),
        character=character,
        reference=fit_picture(plan.character, width=width, height=height) if plan.character_as_reference else None,
        mask=None if plan.mask is None else fit_mask(plan.mask, width=width, height=height),
        steps=plan.steps or checkpoint.default_steps,
        character_scale=(
            plan.character.shape[1] / character.shape[1],
            plan.character.shape[0] / character.shape[0],
        ),
    )
