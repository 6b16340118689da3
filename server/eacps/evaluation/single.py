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
from eacps.imaging import Picture, fit_picture
from eacps.search.cohort import Candidate, Move, Trial
from eacps.search.recipe import Recipe
from eacps.triton.types import ServedCheckpoint


@dataclass(frozen=True)
class PreparedPrior:
    """The identity prior of an edit.

    Args:
        picture: PNG, of the size in which the checkpoint works.
        scene: PNG, the scene at that size.
        scene_box: Face replaced, xyxy in pixels of ``scene``.
        character_box: Face taken, xyxy in pixels of the character picture as it came.
        scene_faces, character_faces: All faces found, largest first, likewise.
        versions: Of everything that made it.
    """

    picture: bytes
    scene: bytes
    scene_box: Box
    character_box: Box
    scene_faces: tuple[Box, ...]
    character_faces: tuple[Box, ...]
    versions: Mapping[str, str]


@dataclass(frozen=True)
class RenderedCandidate:
    """One recipe's picture.

    Args:
        picture: PNG.
        picture_sha256: Hash of the pixels (`eacps.imaging.content_hash`).
        steps: Denoising steps done.
        versions: Of everything that made it.
    """

    picture: bytes
    picture_sha256: str
    steps: int
    versions: Mapping[str, str]


@dataclass(frozen=True)
class ScoredPictures:
    """What scorers say of pictures, in their order."""

    evaluations: tuple[Evaluation, ...]
    versions: Mapping[str, str]


class _Bench:
    """What every one of these needs: the served checkpoint, and the edit's pictures fitted to it."""

    def __init__(self, plan: SearchPlan, laboratory: Laboratory, deadline: Deadline) -> None:
        self.plan, self.shelf = plan, Shelf(laboratory.artifacts)
        stopwatch = Stopwatch(observer=laboratory.observer)
        self.stages = Stages(plan, laboratory, self.shelf, deadline, stopwatch)

    async def prepare(self) -> tuple[ServedCheckpoint, Edit]:
        checkpoint = await self.stages.describe()
        return checkpoint, await self.stages.prepare(checkpoint)


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
    return RenderedCandidate(await png_of(picture), await hash_of(picture), edit.steps, versions(checkpoint, {}))


async def score_pictures(
    plan: SearchPlan, laboratory: Laboratory, pictures: Sequence[Picture], *, deadline: Deadline
) -> ScoredPictures:
    """Score pictures as a search scores its candidates; they are brought to the checkpoint's size first.

    Raises:
        NoFaceFound, TritonUnavailable, TritonModelFailed, DeadlineExceeded: As for `prepare_prior`.
    """
    bench = _Bench(plan, laboratory, deadline)
    checkpoint, edit = await bench.prepare()
    size = {"width": checkpoint.width, "height": checkpoint.height}
    digests = {str(place): await bench.shelf.put(fit_picture(one, **size)) for place, one in enumerate(pictures)}
    cards = await bench.stages.score(edit, digests)
    evaluations = tuple(evaluation_of(cards[name], plan.objective) for name in digests)
    return ScoredPictures(evaluations, versions(checkpoint, bench.stages.judges))
