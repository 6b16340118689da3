"""The stages of a search one at a time: a prior, a picture from its recipe, scores of pictures that others made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eacps.errors import TritonModelFailed
from eacps.evaluation.deadline import Deadline
from eacps.evaluation.edit import Edit
from eacps.evaluation.pictures import hash_of, png_of
from eacps.evaluation.pipeline import evaluation_of
from eacps.evaluation.plan import SearchPlan
from eacps.evaluation.ports import Laboratory
from eacps.evaluation.shelf import Shelf
from eacps.evaluation.stages import Stages
from eacps.evaluation.stopwatch import Stopwatch
from eacps.evaluation.updates import Box, Evaluation
from eacps.evaluation.versions import versions
from eacps.imaging import Picture, cut_picture, fit_picture
from eacps.search.cohort import Candidate, Move, Trial
from eacps.search.recipe import Recipe
from eacps.triton.types import ServedCheckpoint


@dataclass(frozen=True)
class PreparedPrior:
    """The identity prior of an edit.

    Args:
        picture: PNG, of the size in which the checkpoint works.
        scene: PNG, the part of the scene that is worked on, at that size.
        scene_box: Face replaced, xyxy in pixels of ``scene``.
        character_box: Face taken, xyxy in pixels of the character picture as it came.
        scene_faces, character_faces: All faces found, largest first, likewise.
        versions: Of everything that made it.
        frame: The part of the scene that is worked on, xyxy in pixels of the scene as it came.
        delivered: PNG, the scene as it came with the prior in it.
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


@dataclass(frozen=True)
class RenderedCandidate:
    """One recipe's picture.

    Args:
        picture: PNG.
        picture_sha256: Hash of the pixels (`eacps.imaging.content_hash`).
        steps: Denoising steps done.
        versions: Of everything that made it.
        delivered: PNG, the scene as it came with the picture in it.
    """

    picture: bytes
    picture_sha256: str
    steps: int
    versions: Mapping[str, str]
    delivered: bytes


@dataclass(frozen=True)
class ScoredPictures:
    """What scorers say of pictures, in their order."""

    evaluations: tuple[Evaluation, ...]
    versions: Mapping[str, str]


class _Bench:
    """What every one of these needs: the served checkpoint, and the edit's pictures fitted to it."""

    def __init__(self, plan: SearchPlan, laboratory: Laboratory, deadline: Deadline) -> None:
        self.artifacts, self.shelf = laboratory.artifacts, Shelf(laboratory.artifacts)
        stopwatch = Stopwatch(observer=laboratory.observer)
        self.stages = Stages(plan, laboratory, self.shelf, deadline, stopwatch)

    async def prepare(self) -> tuple[ServedCheckpoint, Edit]:
        checkpoint = await self.stages.describe()
        return checkpoint, await self.stages.prepare(checkpoint)

    async def delivered(self, edit: Edit, picture: str) -> bytes:
        return await self.artifacts.get(await self.stages.deliver(edit, picture))


async def prepare_prior(plan: SearchPlan, laboratory: Laboratory, *, deadline: Deadline) -> PreparedPrior:
    """Put the character's face into the scene, and nothing else.

    Raises:
        NoFaceFound: A picture shows no face, or not the one that is meant.
        TritonUnavailable, TritonModelFailed: The models failed.
        DeadlineExceeded: Time is up.
    """
    bench = _Bench(plan, laboratory, deadline)
    checkpoint, edit = await bench.prepare()
    scene_faces, character_faces = await bench.stages.faces(edit)
    return PreparedPrior(
        picture=await png_of(edit.prior),
        scene=await png_of(edit.inputs.scene),
        scene_box=edit.scene_box,
        character_box=edit.character_box,
        scene_faces=tuple(scene_faces),
        character_faces=tuple(character_faces),
        versions=versions(checkpoint, {}),
        frame=edit.inputs.frame.rectangle,
        delivered=await bench.delivered(edit, edit.digests["prior"]),
    )


async def render_candidate(
    plan: SearchPlan, laboratory: Laboratory, recipe: Recipe, *, deadline: Deadline
) -> RenderedCandidate:
    """Make one picture from its recipe: for the inputs and settings of its search the very same one.

    Raises:
        NoFaceFound, TritonUnavailable, TritonModelFailed, DeadlineExceeded: As for `prepare_prior`.
        InvalidRequest: A model does not take what the caller asked for, such as a prompt of too many tokens.
    """
    bench = _Bench(plan, laboratory, deadline)
    checkpoint, edit = await bench.prepare()
    candidate = Candidate("rendered", recipe, (), 0, Move.EXPLORE)
    made = await bench.stages.generate(edit, [Trial(candidate, edit.steps)], expendable=False)
    if isinstance(made, str):  # why there is none; a batch that is not expendable raises instead
        raise TritonModelFailed(made)
    picture = await bench.shelf.get(made[candidate.id])
    return RenderedCandidate(
        picture=await png_of(picture),
        picture_sha256=await hash_of(picture),
        steps=edit.steps,
        versions=versions(checkpoint, {}),
        delivered=await bench.delivered(edit, made[candidate.id]),
    )


async def score_pictures(
    plan: SearchPlan, laboratory: Laboratory, pictures: Sequence[Picture], *, deadline: Deadline
) -> ScoredPictures:
    """Score pictures as a search scores its candidates.

    Pictures of the scene's size are cut as the scene is; those of the working size are taken as they are, and any
    others fitted to it, what overhangs cut off evenly.

    Raises:
        NoFaceFound, TritonUnavailable, TritonModelFailed, DeadlineExceeded: As for `prepare_prior`.
    """
    bench, scene_shape = _Bench(plan, laboratory, deadline), plan.scene.shape
    checkpoint, edit = await bench.prepare()
    frame = edit.inputs.frame

    def fitted(picture: Picture) -> Picture:
        if picture.shape == scene_shape:
            return cut_picture(picture, frame)
        return fit_picture(picture, width=frame.size[0], height=frame.size[1])

    digests = {str(place): await bench.shelf.put(fitted(one)) for place, one in enumerate(pictures)}
    cards = await bench.stages.score(edit, digests)
    evaluations = tuple(evaluation_of(cards[name], plan.objective) for name in digests)
    return ScoredPictures(evaluations, versions(checkpoint, bench.stages.judges))
