"""What to search for: a request, checked and decoded, free of the wire's form."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from eacps.evaluation.faces import FaceChoice
from eacps.imaging import Framing, Mask, Picture
from eacps.scoring.questions import Question
from eacps.search.budget import Budget
from eacps.search.objective import Objective
from eacps.search.spec import SearchSpec

NO_BUDGET = Budget()
_NO_PICTURE: Picture = np.zeros((0, 0, 3), np.uint8)


@dataclass(frozen=True)
class SearchPlan:
    """Everything that determines a search, but the checkpoint.

    Args:
        search_id: Names it in logs.
        scene: Picture to edit, ``uint8 [H, W, 3]``, as it came.
        character: Picture of the person to appear, ``uint8 [h, w, 3]``, as it came.
        prompt: What the edit shall do; not empty.
        spec: How noise is chosen.
        objective: What counts; its weights and held-out scorers are those that are asked.
        budget: When to stop.
        score_repeats: How often at most a stochastic scorer is asked about candidates on whom a selection turns.
        mask: ``uint8 [H, W]``, of the scene's size; 255 where the scene may change. None: everywhere.
        negative_prompt: What the edit shall not do; not empty.
        steps: Denoising steps of the full schedule; None takes the checkpoint's.
        true_cfg_scale: At least 1, which is no guidance.
        character_as_reference: Whether the backbone sees the character picture as well; None: where the checkpoint
            takes more pictures than the prior.
        scene_face: Face to replace, from 0 by size; -1 is the largest.
        character_face: Face to take, likewise.
        micro_batch: Candidates that go to Triton together.
        questions: The caller's own, by the name of the scorer, ``<judge>.<label>``, that is to put them.
        scene_face_by: How the face to replace is chosen, where not by its number; in pixels of the scene as it came.
        character_face_by: How the face to take is chosen, likewise.
        more_characters: Further pictures of the person, ``uint8 [h, w, 3]``, as they came.
        references: Further pictures for the backbone to see, likewise.
        framing: Which part of the scene is worked on.
    """

    search_id: str
    scene: Picture
    character: Picture
    prompt: str
    spec: SearchSpec
    objective: Objective
    budget: Budget = NO_BUDGET
    score_repeats: int = 1
    mask: Mask | None = None
    negative_prompt: str | None = None
    steps: int | None = None
    true_cfg_scale: float = 1.0
    character_as_reference: bool | None = None
    scene_face: int = -1
    character_face: int = -1
    micro_batch: int = 8
    questions: Mapping[str, Question] = field(default_factory=dict)
    scene_face_by: FaceChoice | None = None
    character_face_by: FaceChoice | None = None
    more_characters: tuple[Picture, ...] = ()
    references: tuple[Picture, ...] = ()
    framing: Framing = Framing.AUTO

    @property
    def scorers(self) -> list[str]:
        """Names of the scorers that are asked, in alphabetical order."""
        return sorted({*self.objective.weights.raw, *self.objective.held_out})

    @property
    def guided(self) -> bool:
        """Whether classifier-free guidance runs, which evaluates the denoiser twice a step."""
        return self.negative_prompt is not None and self.true_cfg_scale > 1.0

    def without_pictures(self) -> "SearchPlan":
        """The settings alone: pictures as they came may be large, and are fitted once, with the choices of faces."""
        bare = replace(self, scene=_NO_PICTURE, character=_NO_PICTURE, mask=None, more_characters=(), references=())
        return replace(bare, scene_face_by=None, character_face_by=None)


def judge_of(scorer: str) -> str:
    """Give the judge whom a scorer of a caller's own question asks."""
    return scorer.partition(".")[0]
