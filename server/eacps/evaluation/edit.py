"""The edit that all candidates of a search share, at one of the sizes in which the checkpoint works."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from eacps.errors import FieldViolation, InvalidRequest
from eacps.evaluation.faces import ByBox, ByLikeness, FaceChoice
from eacps.evaluation.plan import SearchPlan
from eacps.evaluation.updates import Box
from eacps.imaging import Frame, Mask, Picture, cut_mask, cut_picture, fit_picture, shrink_to
from eacps.scoring.scorer import ShownFace
from eacps.triton.types import Float32, ServedCheckpoint

MAX_CHARACTER_SIDE = 1024  # the detector works at 640; beyond this a face only costs time


@dataclass(frozen=True)
class Inputs:
    """The plan's pictures, fitted.

    Args:
        frame: The part of the scene as it came that is worked on.
        scene: That part, ``uint8 [H, W, 3]``, of the frame's size.
        character: ``uint8 [h, w, 3]``, no side above 1024.
        references: What the backbone is to see after the prior, in order and by name, ``uint8 [H, W, 3]`` each: the
            character picture as ``reference`` and the request's own as ``references[0]`` and so on.
        mask: ``uint8 [H, W]``.
        steps: Of the full schedule.
        character_scale: Pixels of the character picture as it came, per pixel of ``character``: x, y.
        scene_face_by, character_face_by: How faces are chosen, where not by number; boxes in pixels of ``scene`` and of
            ``character``, pictures with no side above 1024.
        more_characters: Further pictures of the person by name, ``more_characters[0]`` and so on; no side above 1024.
    """

    frame: Frame
    scene: Picture
    character: Picture
    references: Mapping[str, Picture]
    mask: Mask | None
    steps: int
    character_scale: tuple[float, float]
    scene_face_by: FaceChoice | None = None
    character_face_by: FaceChoice | None = None
    more_characters: Mapping[str, Picture] = field(default_factory=dict)

    def to_original(self, box: Box) -> Box:
        """Give a box of ``character`` in pixels of the character picture as it came."""
        return _scaled(box, *self.character_scale)

    @property
    def named(self) -> dict[str, Picture | Mask]:
        """All pictures there are, by name."""
        named: dict[str, Picture | Mask] = {"scene": self.scene, "character": self.character}
        named |= {**self.references, **self.more_characters}
        if self.mask is not None:
            named["mask"] = self.mask
        choices = {"scene_face_by": self.scene_face_by, "character_face_by": self.character_face_by}
        return named | {name: one.picture for name, one in choices.items() if isinstance(one, ByLikeness)}


@dataclass(frozen=True)
class Edit:
    """Inputs plus what was made of them.

    Args:
        checkpoint: What the search runs on.
        inputs: The plan's pictures, fitted.
        digests: Artifacts of ``inputs.named``, prior and embedding; of the scene and the mask as they came where
            pictures are put back into them.
        prior: The identity prior, ``uint8 [H, W, 3]``.
        embedding: ``float32 [512]``, unit norm, of the character: the identity that was put into the scene.
        scene_box: Face replaced, xyxy in pixels of ``inputs.scene``.
        character_box: Face taken, xyxy in pixels of the character picture as it came.
        character_face: Its number in ``inputs.character``, from 0 by size; -1 is the largest.
        more_faces: Numbers of the character's faces in ``inputs.more_characters``, likewise.
        scene_faces: All faces of the scene as it came, largest first, xyxy in pixels of ``inputs.scene`` (beyond its
            edges where they are not in the frame); None where they were not looked for there.
    """

    checkpoint: ServedCheckpoint
    inputs: Inputs
    digests: Mapping[str, str]
    prior: Picture
    embedding: Float32
    scene_box: Box
    character_box: Box
    character_face: int = -1
    more_faces: tuple[int, ...] = ()
    scene_faces: tuple[Box, ...] | None = None

    @property
    def steps(self) -> int:
        """Denoising steps of the full schedule."""
        return self.inputs.steps

    @property
    def conditioning(self) -> list[Picture]:
        """What the backbone sees: the prior first, then the references."""
        return [self.prior, *self.inputs.references.values()]

    @property
    def more_characters(self) -> tuple[ShownFace, ...]:
        """The character's face in every further picture."""
        pairs = zip(self.inputs.more_characters.values(), self.more_faces, strict=True)
        return tuple(ShownFace(picture, face) for picture, face in pairs)

    @property
    def conditioning_digests(self) -> list[str]:
        """Artifacts of ``conditioning``."""
        return [self.digests[name] for name in ("prior", *self.inputs.references)]


def check_mask(inputs: Inputs) -> None:
    """See that the fitted mask lets anything change.

    Raises:
        InvalidRequest: All that was white is outside the frame, or finer than a pixel of the working picture.
    """
    if inputs.mask is not None and not inputs.mask.any():
        fault = "is black everywhere in the part of the scene that is worked on, at the size in which it is"
        raise InvalidRequest([FieldViolation("mask.data", fault)])


def fit_inputs(plan: SearchPlan, checkpoint: ServedCheckpoint, frame: Frame) -> Inputs:
    """Bring the plan's pictures to the frame's size, and what chooses faces in them with them.

    Raises:
        InvalidRequest: There are more conditioning pictures than the checkpoint takes.
    """
    character = shrink_to(plan.character, max_side=MAX_CHARACTER_SIDE)
    x, y = plan.character.shape[1] / character.shape[1], plan.character.shape[0] / character.shape[0]
    return Inputs(
        frame=frame,
        scene=cut_picture(plan.scene, frame),
        character=character,
        references=_references(plan, checkpoint.max_pictures, frame),
        mask=None if plan.mask is None else cut_mask(plan.mask, frame),
        steps=plan.steps or checkpoint.default_steps,
        character_scale=(x, y),
        scene_face_by=fitted_choice(plan.scene_face_by, frame.to_working),
        character_face_by=fitted_choice(plan.character_face_by, lambda box: _scaled(box, 1 / x, 1 / y)),
        more_characters={
            f"more_characters[{place}]": shrink_to(picture, max_side=MAX_CHARACTER_SIDE)
            for place, picture in enumerate(plan.more_characters)
        },
    )


def _references(plan: SearchPlan, max_pictures: int, frame: Frame) -> dict[str, Picture]:
    asked = plan.character_as_reference
    shows_character = max_pictures > 1 if asked is None else asked
    shown = {"reference": plan.character} if shows_character else {}
    shown |= {f"references[{place}]": picture for place, picture in enumerate(plan.references)}
    if len(shown) >= max_pictures:
        field = "references" if plan.references else "sampler.character_as_reference"
        fault = f"make {len(shown) + 1} pictures with the prior; the checkpoint is shown at most {max_pictures}"
        raise InvalidRequest([FieldViolation(field, fault)])
    width, height = frame.size
    return {name: fit_picture(picture, width=width, height=height) for name, picture in shown.items()}


def fitted_choice(choice: FaceChoice | None, fit: Callable[[Box], Box]) -> FaceChoice | None:
    """Give a choice of a face in a picture that was brought to another size: its box by ``fit``, its picture shrunk."""
    match choice:
        case ByBox(box):
            return ByBox(fit(box))
        case ByLikeness():
            return ByLikeness(shrink_to(choice.picture, max_side=MAX_CHARACTER_SIDE))
        case None:
            return None


def _scaled(box: Box, x: float, y: float) -> Box:
    left, top, right, bottom = box
    return left * x, top * y, right * x, bottom * y
