"""What a search is about, independent of the wire format.

`SearchSettings` and `SearchPictures` are the request, checked and decoded. `Inputs` are its pictures at the size in
which the checkpoint works, and the `Edit` is what all candidates share: the inputs and the prior.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from eacps.arrays import Float32, Mask, Picture
from eacps.scene.choice import FaceChoice, Largest
from eacps.scene.faces import ShownFace
from eacps.scene.frame import Frame, Framing
from eacps.scene.geometry import Box
from eacps.scoring.questions import Question
from eacps.search.budget import Budget
from eacps.search.defaults import DEFAULT_MICRO_BATCH
from eacps.search.objective import Objective
from eacps.search.spec import SearchSpec
from eacps.triton.types import ServedCheckpoint

NO_BUDGET = Budget()


class PriorMode(StrEnum):
    """How the identity prior is made.

    SWAP: The character's face is swapped into the scene.
    NONE: It is the scene itself; the backbone learns of the person from the character picture.
    GIVEN: It is a picture that the caller made.
    """

    SWAP = "swap"
    NONE = "none"
    GIVEN = "given"


@dataclass(frozen=True)
class SearchSettings:
    """The settings of a search. With its pictures and the checkpoint they determine it.

    Args:
        search_id: Names it in logs.
        prompt: What the edit should do; not empty.
        spec: How noise is chosen.
        objective: What counts; its weights and held-out scorers are those that are asked.
        budget: When to stop.
        score_repeats: Most times that a stochastic scorer is asked about a candidate near the boundary of a selection.
        negative_prompt: What the edit should not do; not empty.
        steps: Denoising steps of the full schedule; None takes the checkpoint's.
        true_cfg_scale: At least 1, which is no guidance.
        character_as_reference: Whether the backbone sees the character picture as well; None: where the checkpoint
            takes more pictures than the prior.
        micro_batch: Candidates that go to Triton together.
        questions: The caller's own, by the name of the scorer, ``<judge>.<label>``, that is to put them.
        framing: Which part of the scene is worked on.
        prior: How the prior is made.
        notes: How the decoded pictures differ from their files, for people.
    """

    search_id: str
    prompt: str
    spec: SearchSpec
    objective: Objective
    budget: Budget = NO_BUDGET
    score_repeats: int = 1
    negative_prompt: str | None = None
    steps: int | None = None
    true_cfg_scale: float = 1.0
    character_as_reference: bool | None = None
    micro_batch: int = DEFAULT_MICRO_BATCH
    questions: Mapping[str, Question] = field(default_factory=dict)
    framing: Framing = Framing.AUTO
    prior: PriorMode = PriorMode.SWAP
    notes: tuple[str, ...] = ()

    @property
    def scorers(self) -> list[str]:
        """Names of the scorers that are asked, in alphabetical order."""
        return sorted({*self.objective.weights.raw, *self.objective.held_out})

    @property
    def guided(self) -> bool:
        """Whether classifier-free guidance runs, which evaluates the denoiser twice a step."""
        return self.negative_prompt is not None and self.true_cfg_scale > 1.0


@dataclass(frozen=True, eq=False)
class SearchPictures:
    """The pictures of a search as uploaded, which may be large, and the chosen faces.

    Args:
        scene: Picture to edit, ``uint8 [H, W, 3]``.
        character: Picture of the person to appear, ``uint8 [h, w, 3]``.
        mask: ``uint8 [H, W]``, of the scene's size: the share, of 255, to which the scene may change. None: all of it.
        scene_face: Face to replace; a box is in pixels of the scene.
        character_face: Face to insert; a box is in pixels of the character picture.
        more_characters: Further pictures of the person, ``uint8 [h, w, 3]``.
        references: Further pictures that condition the backbone, ``uint8 [h, w, 3]``.
        scene_file: The scene's file, into which results are laid; empty: a PNG of ``scene``.
        given_prior: The caller's, ``uint8 [h, w, 3]``, for `PriorMode.GIVEN`; of the scene's size, or of that which is
            worked in.
    """

    scene: Picture
    character: Picture
    mask: Mask | None = None
    scene_face: FaceChoice = field(default_factory=Largest)
    character_face: FaceChoice = field(default_factory=Largest)
    more_characters: tuple[Picture, ...] = ()
    references: tuple[Picture, ...] = ()
    given_prior: Picture | None = None
    scene_file: bytes = b""

    @property
    def megapixels(self) -> float:
        """Of the scene."""
        return float(self.scene[..., 0].size / 1e6)


@dataclass(frozen=True)
class SearchPlan:
    """A request, checked and decoded."""

    settings: SearchSettings
    pictures: SearchPictures


@dataclass(frozen=True)
class Inputs:
    """The pictures of a search, fitted.

    Args:
        frame: The part of the scene as it came that is worked on.
        scene: That part, ``uint8 [H, W, 3]``, of the frame's size.
        character: The character picture, or the part that shows the person: ``uint8 [h, w, 3]``, no side above 1024.
        references: What the backbone is to see after the prior, in order and by name, ``uint8 [H, W, 3]`` each: the
            character picture as ``reference`` and the request's own as ``references[0]`` and so on.
        mask: ``uint8 [H, W]``.
        steps: Of the full schedule.
        more_characters: Further pictures of the person, fitted like ``character``, by name: ``more_characters[0]`` and
            so on.
        prior: How the prior is made.
        given_prior: The caller's, ``uint8 [H, W, 3]``; None in a search that was resumed, which has its prior.
    """

    frame: Frame
    scene: Picture
    character: Picture
    references: Mapping[str, Picture]
    mask: Mask | None
    steps: int
    more_characters: Mapping[str, Picture] = field(default_factory=dict)
    prior: PriorMode = PriorMode.SWAP
    given_prior: Picture | None = None

    @property
    def named(self) -> dict[str, Picture | Mask]:
        """All pictures that candidates depend on, by name."""
        named: dict[str, Picture | Mask] = {"scene": self.scene, "character": self.character}
        named |= {**self.references, **self.more_characters}
        if self.mask is not None:
            named["mask"] = self.mask
        return named


@dataclass(frozen=True)
class Edit:
    """Inputs plus what was made of them.

    Args:
        checkpoint: What the search runs on.
        inputs: The pictures of the search, fitted.
        digests: Artifacts of ``inputs.named``, prior and embedding; of the scene's file and the mask as they came.
        prior: The identity prior, ``uint8 [H, W, 3]``.
        embedding: ``float32 [512]``, unit norm, of the character: the identity that was put into the scene.
        scene_box: Face replaced, xyxy in pixels of ``inputs.scene``; `NO_FACE` where the scene shows none.
        character_box: Face taken, xyxy in pixels of the character picture as it came.
        character_face: Its index in ``inputs.character``, in the order in which faces are found.
        more_faces: Indices of the character's faces in ``inputs.more_characters``, in the same order.
        scene_faces: All faces of the scene as it came, in the order in which a request counts them, xyxy in pixels of
            ``inputs.scene``; beyond its edges where they are not in the frame.
        character_faces: All faces of the uploaded character picture, in its pixels, in the same order.
    """

    checkpoint: ServedCheckpoint
    inputs: Inputs
    digests: Mapping[str, str]
    prior: Picture
    embedding: Float32
    scene_box: Box
    character_box: Box
    character_face: int
    more_faces: tuple[int, ...]
    scene_faces: tuple[Box, ...]
    character_faces: tuple[Box, ...]

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
    def replaced_face(self) -> Box:
        """Face replaced, xyxy in pixels of the scene as it came; `scene_box` itself where the scene shows none."""
        left, top, right, bottom = self.scene_box
        return self.inputs.frame.to_scene(self.scene_box) if left < right and top < bottom else self.scene_box


def judge_of(scorer: str) -> str:
    """Return the judge that a scorer of a caller's own question asks."""
    return scorer.partition(".")[0]
