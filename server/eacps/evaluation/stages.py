"""The work of a search, each piece of it one replayable step: describe, prior, generate, score, finish."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TypeVar

import numpy as np

from eacps.errors import TritonModelFailed, TritonUnavailable
from eacps.evaluation.artifacts import get_picture, get_vector, put_picture, put_vector
from eacps.evaluation.deadline import Deadline
from eacps.evaluation.edit import Edit, Inputs, fit_inputs
from eacps.evaluation.plan import SearchPlan
from eacps.evaluation.ports import Laboratory
from eacps.evaluation.scores import ask_scorers, cards_from_json, cards_to_json
from eacps.evaluation.steps import Json
from eacps.evaluation.stopwatch import Stopwatch
from eacps.scoring.scorer import EditContext
from eacps.search.cohort import Trial
from eacps.search.potential import ScoreCard
from eacps.search.recipe import stack
from eacps.triton.types import GenerateRequest, Prior, ServedCheckpoint

_log = logging.getLogger(__name__)
T = TypeVar("T")


class Stages:
    """The steps of one search.

    Args:
        plan: What is searched for.
        laboratory: Where.
        deadline: Passed on to every call.
        stopwatch: Told how long each stage took.
    """

    def __init__(self, plan: SearchPlan, laboratory: Laboratory, deadline: Deadline, stopwatch: Stopwatch) -> None:
        self._plan, self._laboratory, self._deadline, self._stopwatch = plan, laboratory, deadline, stopwatch
        self._artifacts, self._steps = laboratory.artifacts, laboratory.steps

    async def describe(self) -> ServedCheckpoint:
        """Ask which checkpoint this search runs on."""

        async def work() -> Json:
            return asdict(await self._patiently(self._laboratory.models.describe))

        fields = await self._steps.run("describe", {}, work)
        return ServedCheckpoint(**{**fields, "latent_shape": tuple(fields["latent_shape"])})

    async def prepare(self, checkpoint: ServedCheckpoint) -> Edit:
        """Bring the pictures to the checkpoint's size and make the identity prior.

        Raises:
            NoFaceFound: Scene or character shows no such face.
        """
        with self._stopwatch.measure("prepare"):
            inputs = await asyncio.to_thread(fit_inputs, self._plan, checkpoint)
            digests = await self._store(inputs)
            prior = await self._steps.run(
                "prior",
                {
                    "checkpoint": checkpoint.fingerprint,
                    "scene": digests["scene"],
                    "character": digests["character"],
                    "scene_face": self._plan.scene_face,
                    "character_face": self._plan.character_face,
                },
                lambda: self._make_prior(inputs),
            )
            return Edit(
                checkpoint=checkpoint,
                inputs=inputs,
                digests={**digests, "prior": prior["prior"], "embedding": prior["embedding"]},
                prior=await get_picture(self._artifacts, prior["prior"]),
                embedding=await get_vector(self._artifacts, prior["embedding"]),
                scene_box=tuple(prior["scene_box"]),
                character_box=inputs.to_original(tuple(prior["character_box"])),
            )

    async def generate(self, edit: Edit, trials: Sequence[Trial]) -> dict[str, str] | str:
        """Make the pictures of one micro-batch, all stopping at the same step.

        Returns:
            Artifacts of the pictures by candidate id, or the reason why there are none.
        """
        plan, stop = self._plan, trials[0].stop_step
        inputs = {
            "checkpoint": edit.checkpoint.fingerprint,
            "pictures": edit.conditioning_digests,
            "scene": edit.digests["scene"] if plan.mask is not None else None,
            "mask": edit.digests.get("mask"),
            "prompt": plan.prompt,
            "negative_prompt": plan.negative_prompt,
            "true_cfg_scale": plan.true_cfg_scale,
            "steps": edit.steps,
            "stop_step": stop,
            "recipes": [trial.candidate.recipe.to_dict() for trial in trials],
        }
        outputs = await self._steps.run("generate", inputs, lambda: self._make_pictures(edit, trials))
        if "failed" in outputs:
            return str(outputs["failed"])
        return {trial.candidate.id: digest for trial, digest in zip(trials, outputs["pictures"], strict=True)}

    async def score(self, edit: Edit, pictures: Mapping[str, str]) -> dict[str, ScoreCard]:
        """Ask all scorers about pictures.

        Args:
            edit: The edit they result from.
            pictures: Artifacts by candidate id.

        Returns:
            One card for each id.
        """
        inputs = {
            "pictures": dict(pictures),
            "scene": edit.digests["scene"],
            "embedding": edit.digests["embedding"],
            "prompt": self._plan.prompt,
            "scorers": sorted(self._plan.weights.raw),
        }
        return cards_from_json(await self._steps.run("score", inputs, lambda: self._ask_scorers(edit, pictures)))

    async def finish(self, record: Json) -> str:
        """Store the search's record and give its content hash."""

        async def work() -> Json:
            text = json.dumps(record, sort_keys=True, indent=1)
            return {"record": await self._artifacts.put(text.encode())}

        return str((await self._steps.run("finish", record, work))["record"])

    async def _store(self, inputs: Inputs) -> dict[str, str]:
        pictures = {
            "scene": inputs.scene,
            "character": inputs.character,
            "reference": inputs.reference,
            "mask": inputs.mask,
        }
        return {
            name: await put_picture(self._artifacts, picture)
            for name, picture in pictures.items()
            if picture is not None
        }

    async def _make_prior(self, inputs: Inputs) -> Json:
        async def call() -> Prior:
            return await self._laboratory.models.prepare_prior(
                inputs.scene,
                inputs.character,
                scene_face=self._plan.scene_face,
                character_face=self._plan.character_face,
                timeout_s=self._deadline.left_s(),
            )

        prior = await self._patiently(call)
        return {
            "prior": await put_picture(self._artifacts, prior.picture),
            "embedding": await put_vector(self._artifacts, prior.embedding),
            "scene_box": list(prior.scene_box),
            "character_box": list(prior.character_box),
        }

    async def _make_pictures(self, edit: Edit, trials: Sequence[Trial]) -> Json:
        request = self._request(edit, trials)
        models = self._laboratory.models
        try:
            with self._stopwatch.measure("generate"):
                made = await self._patiently(lambda: models.generate(request, timeout_s=self._deadline.left_s()))
        except (TritonUnavailable, TritonModelFailed) as exc:
            # Recorded like any outcome: the search goes on without these candidates.
            _log.warning("search %s: %d candidates failed: %s", self._plan.search_id, len(trials), exc)
            return {"failed": f"{exc.reason}: {exc}"}
        return {"pictures": [await put_picture(self._artifacts, picture) for picture in made.pictures]}

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

    async def _ask_scorers(self, edit: Edit, digests: Mapping[str, str]) -> Json:
        pictures = {name: await get_picture(self._artifacts, digest) for name, digest in digests.items()}
        context = EditContext(edit.inputs.scene, self._plan.prompt, edit.embedding)
        scorers = {name: self._laboratory.scorers[name] for name in sorted(self._plan.weights.raw)}
        with self._stopwatch.measure("score"):
            return cards_to_json(await ask_scorers(scorers, pictures, context))

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """Call, and once more after a pause if Triton was not available."""
        try:
            return await call()
        except TritonUnavailable as exc:
            _log.warning("search %s: trying again: %s", self._plan.search_id, exc)
        await asyncio.sleep(self._laboratory.pace.retry_delay_s)
        return await call()
