"""The work of a search, each piece of it one replayable step: describe, prior, generate, score."""

import asyncio
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace

import numpy as np

from eacps.errors import CheckpointChanged, TritonModelFailed, TritonUnavailable
from eacps.evaluation.artifacts import get_vector, put_picture, put_vector
from eacps.evaluation.calls import Calls
from eacps.evaluation.deadline import Deadline
from eacps.evaluation.edit import Edit, Inputs, check_mask, fit_inputs
from eacps.evaluation.placing import Placing
from eacps.evaluation.plan import SearchPlan
from eacps.evaluation.ports import Laboratory
from eacps.evaluation.priors import ChosenFaces, PriorMaker, faces_scored, prior_inputs
from eacps.evaluation.scores import ask_scorers, cards_from_json, cards_to_json
from eacps.evaluation.shelf import Shelf
from eacps.evaluation.steps import Json
from eacps.evaluation.stopwatch import Stopwatch
from eacps.scoring.scorer import EditContext
from eacps.search.calibration import Calibration
from eacps.search.cohort import Trial
from eacps.search.recipe import stack
from eacps.search.scores import ScoreCard
from eacps.triton.types import Box, Generated, GenerateRequest, ServedCheckpoint

_log = logging.getLogger(__name__)
_DESCRIBE_TIMEOUT_S = 5.0  # the gateway's own


@dataclass(frozen=True)
class _Preview:
    """A trajectory on its way: its latents ``float32 [tokens, channels]`` after ``step`` steps, as an artifact."""

    step: int
    latents: str
    shape: tuple[int, int]


@dataclass(frozen=True)
class ClockReading:
    """Seconds that a search has taken so far, in all and by stage."""

    elapsed_s: float
    stages_s: Mapping[str, float]


class Stages:
    """The steps of one search.

    Args:
        plan: What is searched for.
        laboratory: Where.
        shelf: Holds the pictures.
        deadline: Bounds every call.
        stopwatch: Told how long each stage took.
    """

    def __init__(
        self, plan: SearchPlan, laboratory: Laboratory, shelf: Shelf, deadline: Deadline, stopwatch: Stopwatch
    ) -> None:
        self._plan, self._laboratory, self._shelf, self._stopwatch = plan, laboratory, shelf, stopwatch
        self._artifacts, self._steps, self._pace = laboratory.artifacts, laboratory.steps, laboratory.pace
        self._calls = Calls(plan.search_id, deadline, pace=laboratory.pace)
        self._priors = PriorMaker(laboratory.models, self._calls, cap_s=laboratory.pace.call_timeout_s)
        self._placing = Placing(laboratory, self._priors)
        self._scorers = laboratory.scorers_of(plan)
        self._sampler, self._last_batch_failed = asyncio.Lock(), False
        self._previews: dict[str, _Preview] = {}  # by candidate: where its trajectory goes on
        self._seen_checkpoint = False

    @property
    def _numbers(self) -> ChosenFaces:
        """The faces that the request numbers."""
        return ChosenFaces(self._plan.scene_face, self._plan.character_face)

    @property
    def vlm_calls(self) -> int:
        """Calls of vision-language models that scoring one picture takes."""
        return sum(scorer.vlm_calls for scorer in self._scorers.values())

    @property
    def stochastic(self) -> dict[str, int]:
        """Scorers whose answers differ from time to time, with the calls that one picture takes."""
        return {name: scorer.vlm_calls for name, scorer in self._scorers.items() if scorer.stochastic}

    @property
    def judges(self) -> dict[str, str]:
        """Identities of the scorers by name."""
        return {name: scorer.identity for name, scorer in self._scorers.items()}

    async def describe(self) -> ServedCheckpoint:
        """Ask which checkpoint this search runs on."""

        async def work() -> Json:
            models = self._laboratory.models
            return asdict(await self._calls.patiently(lambda _: models.describe(), cap_s=_DESCRIBE_TIMEOUT_S))

        fields = await self._steps.run("describe", {}, work)
        # What was recorded before there were several sizes does not name any.
        sizes = tuple((width, height) for width, height in fields.get("sizes", ()))
        return ServedCheckpoint(**{**fields, "latent_shape": tuple(fields["latent_shape"]), "sizes": sizes})

    async def read_clock(self, asked: int, elapsed_s: float) -> ClockReading:
        """Record how long the search has taken when so many trials were asked for, or hear what was recorded then."""

        async def work() -> Json:
            return {"elapsed_s": elapsed_s, "stages_s": self._stopwatch.spent_s()}

        return ClockReading(**await self._steps.run("clock", {"asked": asked}, work))

    async def prepare(self, checkpoint: ServedCheckpoint) -> Edit:
        """Choose the part of the scene that is worked on, bring the pictures to its size and make the identity prior.

        Raises:
            NoFaceFound: A picture shows no face, or not the one that is meant.
            InvalidRequest: Nothing of the mask's white part is left in the working picture.
        """
        with self._stopwatch.measure("prepare"):
            place = await self._placing.choose(self._plan, checkpoint)
            inputs = await asyncio.to_thread(fit_inputs, self._plan, checkpoint, place.frame)
            check_mask(inputs)
            as_they_came = await self._placing.keep(place, self._plan)
            self._plan = self._plan.without_pictures()
            digests = await self._store(inputs) | as_they_came
            if place.face is not None:
                face = await self._placing.number_of_face(place, inputs, digests["scene"], checkpoint)
                self._plan, inputs = replace(self._plan, scene_face=face), replace(inputs, scene_face_by=None)
            determined_by = prior_inputs(checkpoint.fingerprint, self._plan, inputs, digests)
            prior = await self._steps.run("prior", determined_by, lambda: self._make_prior(inputs))
            faces = ChosenFaces.from_json(prior["faces"]) if "faces" in prior else self._numbers
            return Edit(
                checkpoint=checkpoint,
                inputs=inputs,
                digests={**digests, "prior": prior["prior"], "embedding": prior["embedding"]},
                prior=await self._shelf.get(prior["prior"]),
                embedding=await get_vector(self._artifacts, prior["embedding"]),
                scene_box=tuple(prior["scene_box"]),
                character_box=inputs.to_original(tuple(prior["character_box"])),
                character_face=faces.character,
                more_faces=faces.more,
                scene_faces=place.faces_in_frame(tuple(prior["scene_box"])),
            )

    async def deliver(self, edit: Edit, picture: str) -> str:
        """Put a picture back into the scene as it came; see `Placing.deliver`."""
        if not self._placing.is_cut(edit):
            return picture
        with self._stopwatch.measure("deliver"):
            return await self._placing.deliver(edit, picture)

    async def faces(self, edit: Edit) -> tuple[list[Box], list[Box]]:
        """Find all faces of scene and character, largest first: in pixels of ``edit.inputs.scene``, and of the
        character picture as it came."""
        character = await self._priors.find("character", edit.inputs.character)
        scene = edit.scene_faces
        if scene is None:
            scene = tuple((await self._priors.find("scene", edit.inputs.scene)).as_tuples())
        return list(scene), [edit.inputs.to_original(box) for box in character.as_tuples()]

    async def generate(self, edit: Edit, trials: Sequence[Trial], *, expendable: bool) -> dict[str, str] | str:
        """Make the pictures of one micro-batch, all stopping at the same step. One batch at a time is in the sampler.

        Args:
            edit: The edit.
            trials: The micro-batch.
            expendable: Whether the search may go on without these pictures.

        Returns:
            Artifacts of the pictures by candidate id, or the reason why there are none.

        Raises:
            TritonUnavailable, TritonModelFailed: It failed, and the batch before it as well or it is not expendable:
                what fails for good shall not be tried batch by batch to the end.
        """
        plan, stop = self._plan, trials[0].stop_step
        previews = self._previews_of(trials)
        inputs = {
            "checkpoint": edit.checkpoint.fingerprint,
            "noise": edit.checkpoint.noise_version,
            "pictures": edit.conditioning_digests,
            "scene": edit.digests["scene"] if edit.inputs.mask is not None else None,
            "mask": edit.digests.get("mask"),
            "prompt": plan.prompt,
            "negative_prompt": plan.negative_prompt,
            "true_cfg_scale": plan.true_cfg_scale,
            "steps": edit.steps,
            "start_step": previews[0].step if previews else 0,
            "latents": [preview.latents for preview in previews],
            "stop_step": stop,
            "recipes": [trial.candidate.recipe.to_dict() for trial in trials],
        }
        outputs = await self._steps.run(
            "generate", inputs, lambda: self._make_pictures(edit, trials, previews, expendable=expendable)
        )
        await self._let_go(trials)
        if "failed" in outputs:
            return str(outputs["failed"])
        if stop < edit.steps:
            for trial, latents in zip(trials, outputs["latents"], strict=True):
                shape = tuple(outputs["latent_shape"])
                self._previews[trial.candidate.id] = _Preview(stop, latents, shape)
        return {trial.candidate.id: digest for trial, digest in zip(trials, outputs["pictures"], strict=True)}

    @contextmanager
    def watching(self, trials: Sequence[Trial]) -> Iterator[None]:
        """Show a micro-batch, and each of its candidates, as spans while the block lasts."""
        span = self._laboratory.observer.span
        with span("micro-batch", {"candidates": len(trials)}), ExitStack() as stack:
            for trial in trials:
                about = {"id": trial.candidate.id, "move": trial.candidate.move.value, "stop_step": trial.stop_step}
                stack.enter_context(span("candidate", about, current=False))
            yield

    async def forget_previews(self, keep: Iterable[str] = ()) -> None:
        """Let go of the latents of candidates that do not go on: of all but those in ``keep``."""
        for candidate_id in set(self._previews) - set(keep):
            await self._forget(candidate_id)

    async def score(
        self, edit: Edit, pictures: Mapping[str, str], *, again: int = 0, only: Collection[str] | None = None
    ) -> dict[str, ScoreCard]:
        """Ask scorers about pictures.

        Args:
            edit: The edit they result from.
            pictures: Artifacts by candidate id.
            again: How often the same was asked before: a repeated question is another step.
            only: Names of the scorers to ask; None for all.

        Returns:
            One card for each id.
        """
        inputs = {
            "checkpoint": edit.checkpoint.fingerprint,
            "pictures": dict(pictures),
            "scene": edit.digests["scene"],
            "character": edit.digests["character"],
            "character_face": edit.character_face,
            "mask": edit.digests.get("mask"),
            "embedding": edit.digests["embedding"],
            "prompt": self._plan.prompt,
            "scorers": {name: judge for name, judge in self.judges.items() if only is None or name in only},
            "again": again,
            **faces_scored(edit),
        }
        outputs = await self._steps.run("score", inputs, lambda: self._ask_scorers(edit, pictures, only, again=again))
        return cards_from_json(outputs)

    async def _store(self, inputs: Inputs) -> dict[str, str]:
        return {
            name: await put_picture(self._artifacts, picture)  # not on the shelf: their arrays are in the inputs
            for name, picture in inputs.named.items()
        }

    async def _make_prior(self, inputs: Inputs) -> Json:
        prior, faces = await self._priors.make(inputs, self._numbers)
        made: Json = {
            "prior": await self._shelf.put(prior.picture),
            "embedding": await put_vector(self._artifacts, prior.embedding),
            "scene_box": list(prior.scene_box),
            "character_box": list(prior.character_box),
        }
        return made if faces == self._numbers else {**made, "faces": faces.to_json()}

    def _previews_of(self, trials: Sequence[Trial]) -> list[_Preview]:
        """Where the trajectories go on, one for each trial; none where they begin. A cohort never mixes both."""
        return [self._previews[t.candidate.id] for t in trials if t.candidate.id in self._previews]

    async def _let_go(self, trials: Sequence[Trial]) -> None:
        for trial in trials:
            await self._forget(trial.candidate.id)

    async def _forget(self, candidate_id: str) -> None:
        """Let go of a candidate's latents, unless another one has the same: they are kept by their content."""
        gone = self._previews.pop(candidate_id, None)
        if gone is not None and all(other.latents != gone.latents for other in self._previews.values()):
            await self._artifacts.drop(gone.latents)

    async def _make_pictures(
        self, edit: Edit, trials: Sequence[Trial], previews: Sequence[_Preview], *, expendable: bool
    ) -> Json:
        await self._see_same_checkpoint(edit.checkpoint)
        latents = [(await get_vector(self._artifacts, one.latents)).reshape(one.shape) for one in previews]
        request = self._request(edit, trials)
        if previews:
            request = replace(request, start_step=previews[0].step, latents=np.stack(latents))
        async with self._sampler:
            try:
                made = await self._sample(request)
            except (TritonUnavailable, TritonModelFailed) as exc:
                if self._last_batch_failed or not expendable:
                    raise
                # Recorded like any outcome: the search goes on without these candidates.
                self._last_batch_failed = True
                _log.warning("search %s: %d candidates failed: %s", self._plan.search_id, len(trials), exc)
                return {"failed": f"{exc.reason}: {exc}"}
            self._last_batch_failed = False
        outputs: Json = {"pictures": await self._shelf.put_all(list(made.pictures))}
        if request.stop_step < request.steps:
            outputs["latents"] = [await put_vector(self._artifacts, one.ravel()) for one in made.latents]
            outputs["latent_shape"] = list(made.latents.shape[1:])
        return outputs

    async def _see_same_checkpoint(self, checkpoint: ServedCheckpoint) -> None:
        """See that what was recorded of this search, and what is made now, come from the same weights."""
        if self._seen_checkpoint:
            return
        models = self._laboratory.models
        served = await self._calls.patiently(lambda _: models.describe(), cap_s=_DESCRIBE_TIMEOUT_S)
        if served.fingerprint != checkpoint.fingerprint:
            raise CheckpointChanged(
                f"the search began on {checkpoint.name}@{checkpoint.fingerprint}; "
                f"{served.name}@{served.fingerprint} is served now"
            )
        self._seen_checkpoint = True

    async def _sample(self, request: GenerateRequest) -> Generated:
        async def call(timeout_s: float) -> Generated:
            return await self._laboratory.models.generate(request, timeout_s=timeout_s)

        steps = request.stop_step - request.start_step
        with self._stopwatch.measure("generate", candidates=len(request.seeds), steps=steps):
            return await self._calls.patiently(call, cap_s=self._pace.generate_timeout_s)

    def _request(self, edit: Edit, trials: Sequence[Trial]) -> GenerateRequest:
        seeds, coefficients = stack([trial.candidate.recipe for trial in trials])
        masked = edit.inputs.mask is not None
        return GenerateRequest(
            pictures=np.stack(edit.conditioning),
            prompt=self._plan.prompt,
            seeds=seeds,
            coefficients=coefficients,
            steps=edit.steps,
            stop_step=trials[0].stop_step,
            negative_prompt=self._plan.negative_prompt,
            true_cfg_scale=self._plan.true_cfg_scale,
            scene=edit.inputs.scene if masked else None,
            edit_mask=edit.inputs.mask,
        )

    async def _ask_scorers(
        self, edit: Edit, digests: Mapping[str, str], only: Collection[str] | None, *, again: int
    ) -> Json:
        pictures = {name: await self._shelf.get(digest) for name, digest in digests.items()}
        context = EditContext(
            scene=edit.inputs.scene,
            prompt=self._plan.prompt,
            reference_embedding=edit.embedding,
            character=edit.inputs.character,
            character_face=edit.character_face,
            scene_box=edit.scene_box,
            mask=edit.inputs.mask,
            again=again,
            more_characters=edit.more_characters,
        )
        timeout_s = self._pace.call_timeout_s
        scorers = {name: one for name, one in self._scorers.items() if only is None or name in only}
        calibration = Calibration.from_dict(edit.checkpoint.calibration)
        with self._stopwatch.measure("score", pictures=len(pictures)):
            cards = await ask_scorers(
                scorers,
                pictures,
                context,
                calibration=calibration,
                calls=self._calls,
                timeout_s=timeout_s,
                observer=self._laboratory.observer,
            )
        return cards_to_json(cards)
