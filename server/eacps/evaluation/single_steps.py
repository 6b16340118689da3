"""Single steps of a search: find faces, make a prior, render a recipe, score given pictures."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from eacps.arrays import Picture
from eacps.artifacts import encode_pictures, png_of
from eacps.errors import FieldViolation, InvalidRequest, TritonModelFailed
from eacps.evaluation.finish import Delivery, provenance_record, versions
from eacps.evaluation.generate import Generator, NotMade
from eacps.evaluation.plan import Edit, PriorMode, SearchPlan
from eacps.evaluation.prepare import Preparation, face_search
from eacps.evaluation.score import Scoring
from eacps.evaluation.services import ModelCalls, Services
from eacps.evaluation.state import evaluation_of
from eacps.evaluation.timing import Deadline, Stopwatch
from eacps.evaluation.updates import Evaluation
from eacps.imaging import fit_picture
from eacps.scene.faces import Faces
from eacps.scene.frame import cut_picture
from eacps.scene.geometry import Box
from eacps.search.cohort import Candidate, Move
from eacps.search.recipe import Recipe, restarts_error
from eacps.triton.types import ServedCheckpoint


@dataclass(frozen=True)
class PreparedPrior:
    """The identity prior of an edit.

    Args:
        picture: PNG, of the size in which the checkpoint works.
        scene: PNG, the part of the scene that is worked on, at that size.
        scene_box: Face replaced, xyxy in pixels of the scene as it came; empty where it shows none.
        character_box: Face taken, xyxy in pixels of the character picture as it came.
        scene_faces, character_faces: All faces found, in the order in which a request counts them, in pixels of the
            uploaded pictures.
        versions: Of everything that made it.
        frame: The part of the scene that is worked on, xyxy in pixels of the scene as it came.
        delivered: The scene as it came with the prior in it.
        mode: How the prior was made.
    """

    picture: bytes
    scene: bytes
    scene_box: Box
    character_box: Box
    scene_faces: tuple[Box, ...]
    character_faces: tuple[Box, ...]
    versions: Mapping[str, str]
    frame: Box
    delivered: bytes
    mode: PriorMode


@dataclass(frozen=True)
class RenderedCandidate:
    """One recipe's picture.

    Args:
        picture: PNG.
        picture_sha256: Hash of the pixels (`eacps.imaging.content_hash`).
        steps: Denoising steps that its last trajectory took.
        versions: Of everything that made it.
        delivered: The scene as it came with the picture in it.
    """

    picture: bytes
    picture_sha256: str
    steps: int
    versions: Mapping[str, str]
    delivered: bytes


@dataclass(frozen=True)
class ScoredPictures:
    """Scores of pictures, in their order."""

    evaluations: tuple[Evaluation, ...]
    versions: Mapping[str, str]


class _Steps:
    """The steps of a search that all functions here share."""

    def __init__(self, plan: SearchPlan, services: Services, deadline: Deadline) -> None:
        self._settings, self._pictures, self._services = plan.settings, plan.pictures, services
        self._stopwatch = Stopwatch(observer=services.observer)
        self._calls = ModelCalls(plan.settings.search_id, services.models, deadline, limits=services.limits)
        self.delivery = Delivery(services, self._stopwatch)
        self.preparation = Preparation(services, self.delivery, calls=self._calls, stopwatch=self._stopwatch)

    @asynccontextmanager
    async def prepared(self) -> AsyncIterator[tuple[ServedCheckpoint, Edit]]:
        """Yield what is served, and the edit; until the block ends, no other checkpoint answers."""
        checkpoint = await self.preparation.describe()
        with self._services.models.expecting(checkpoint.build):
            yield checkpoint, await self.preparation.edit_of(self._settings, self._pictures, checkpoint)

    async def delivered(self, edit: Edit, picture: str, recipe: Recipe | None = None) -> bytes:
        record = provenance_record(
            edit,
            search_id="",
            candidate_id="",
            recipe=recipe,
            prompt=self._settings.prompt,
            negative_prompt=self._settings.negative_prompt,
            card=None,
        )
        return await self._services.artifacts.get(await self.delivery.deliver(edit, picture, record))

    def generator(self) -> Generator:
        return Generator(self._settings, self._services, calls=self._calls, stopwatch=self._stopwatch)

    def scoring(self) -> Scoring:
        return Scoring(self._settings, self._services, calls=self._calls, stopwatch=self._stopwatch)


async def detect_faces(picture: Picture, services: Services, *, call_id: str, deadline: Deadline) -> Faces:
    """Find the faces of a picture, ``uint8 [H, W, 3]``, in the order in which requests count them.

    Raises:
        TritonUnavailable, TritonModelFailed: The models failed.
        DeadlineExceeded: Time is up.
    """
    calls = ModelCalls(call_id, services.models, deadline, limits=services.limits)
    return await face_search(services.models, calls, cap_s=services.limits.call_timeout_s).faces(picture)


async def prepare_prior(plan: SearchPlan, services: Services, *, deadline: Deadline) -> PreparedPrior:
    """Make the identity prior of an edit, as its request says, and lay it into the scene.

    Raises:
        NoFaceFound: A picture shows no face, or not the one that is meant.
        InvalidRequest: The checkpoint cannot do what is asked for.
        TritonUnavailable, TritonModelFailed, CallTimedOut: The models failed.
        CheckpointChanged: Other weights are served than at the beginning of the call.
        DeadlineExceeded: Time is up.
    """
    steps = _Steps(plan, services, deadline)
    async with steps.prepared() as (checkpoint, edit):
        frame = edit.inputs.frame
        return PreparedPrior(
            picture=await png_of(edit.prior),
            scene=await png_of(edit.inputs.scene),
            scene_box=edit.replaced_face,
            character_box=edit.character_box,
            scene_faces=tuple(frame.to_scene(box) for box in edit.scene_faces),
            character_faces=edit.character_faces,
            versions=versions(checkpoint, {}),
            frame=frame.rectangle,
            delivered=await steps.delivered(edit, edit.digests["prior"]),
            mode=edit.inputs.prior,
        )


async def render_candidate(
    plan: SearchPlan, services: Services, recipe: Recipe, *, deadline: Deadline
) -> RenderedCandidate:
    """Make one picture from its recipe: for the inputs and settings of its search the very same one.

    Raises:
        NoFaceFound, TritonUnavailable, TritonModelFailed, CallTimedOut, CheckpointChanged, DeadlineExceeded: As for
            `prepare_prior`.
        InvalidRequest: A model does not take what the caller asked for, such as a prompt of too many tokens; or a
            restart begins beyond the last step.
    """
    steps = _Steps(plan, services, deadline)
    async with steps.prepared() as (checkpoint, edit):
        if error := restarts_error(recipe, edit.steps):
            raise InvalidRequest([FieldViolation("recipe.restarts", error)])
        candidate = Candidate("rendered", recipe, (), 0, Move.EXPLORE)
        made = await steps.generator().make(edit, [candidate], expendable=False)
        if isinstance(made, NotMade):  # a batch that is not expendable raises instead
            raise TritonModelFailed(made.reason)
        (picture,) = await encode_pictures(list(made.pictures))
        await services.artifacts.put([picture.png])
        return RenderedCandidate(
            picture=picture.png.data,
            picture_sha256=picture.content_hash,
            steps=candidate.evaluations(edit.steps),
            versions=versions(checkpoint, {}),
            delivered=await steps.delivered(edit, picture.png.digest, recipe),
        )


async def score_pictures(
    plan: SearchPlan, services: Services, pictures: Sequence[Picture], *, deadline: Deadline
) -> ScoredPictures:
    """Score pictures as a search scores its candidates.

    Pictures of the scene's size are cut as the scene is; those of the working size are taken as they are, and any
    others fitted to it, what overhangs cut off evenly.

    Raises:
        NoFaceFound, TritonUnavailable, TritonModelFailed, CallTimedOut, CheckpointChanged, DeadlineExceeded: As for
            `prepare_prior`.
    """
    steps, scene_shape = _Steps(plan, services, deadline), plan.pictures.scene.shape
    async with steps.prepared() as (checkpoint, edit):
        frame = edit.inputs.frame

        def fitted(picture: Picture) -> Picture:
            if picture.shape == scene_shape:
                return cut_picture(picture, frame)
            return fit_picture(picture, width=frame.size[0], height=frame.size[1])

        scoring = steps.scoring()
        cards = await scoring.score(edit, {str(index): fitted(picture) for index, picture in enumerate(pictures)})
        evaluations = tuple(evaluation_of(card, plan.settings.objective) for card in cards.values())
        return ScoredPictures(evaluations, versions(checkpoint, scoring.identities))
