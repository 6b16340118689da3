"""Generation: the pictures of one micro-batch at a time, from noise, or by restarts of finished pictures."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from eacps.arrays import Float32
from eacps.errors import CallTimedOut, TritonModelFailed
from eacps.evaluation.plan import Edit, SearchSettings
from eacps.evaluation.services import ModelCalls, Services
from eacps.evaluation.timing import Stopwatch
from eacps.search.cohort import Candidate
from eacps.search.recipe import Recipe, stack
from eacps.triton.types import Generated, GenerateRequest

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class NotMade:
    """There are no pictures of a micro-batch; the search goes on without them."""

    reason: str


class Generator:
    """Makes the pictures of one search. One micro-batch at a time is in the sampler.

    Args:
        settings: Of the search.
        services: Make them.
        calls: Makes the calls.
        stopwatch: Measures how long it takes.
        last_batch_failed: Whether the micro-batch before the first one failed, where the search was interrupted.
    """

    def __init__(
        self,
        settings: SearchSettings,
        services: Services,
        *,
        calls: ModelCalls,
        stopwatch: Stopwatch,
        last_batch_failed: bool = False,
    ) -> None:
        self._settings, self._models, self._limits = settings, services.models, services.limits
        self._calls, self._stopwatch = calls, stopwatch
        self._sampler, self._last_batch_failed = asyncio.Lock(), last_batch_failed

    async def make(
        self,
        edit: Edit,
        candidates: Sequence[Candidate],
        *,
        latents: Sequence[Float32] = (),
        expendable: bool,
    ) -> Generated | NotMade:
        """Make the pictures of one micro-batch, all of the same `batch_key`.

        Args:
            edit: The edit.
            candidates: The micro-batch.
            latents: Of the pictures that they restart, ``float32 [tokens, channels]`` each; none where they begin with
                noise.
            expendable: Whether the search may go on without these pictures.

        Returns:
            Pictures and latents in the order of the candidates, or why there are none.

        Raises:
            TritonUnavailable: There is an outage.
            TritonModelFailed, CallTimedOut: It failed, and the batch before it as well or it is not expendable: do not
                try what fails for good batch by batch to the end.
        """
        requests = self._requests(edit, candidates)
        async with self._sampler:
            try:
                made = await self._sample_all(requests, latents)
            except (TritonModelFailed, CallTimedOut) as exc:
                if self._last_batch_failed or not expendable:
                    raise
                self._last_batch_failed = True
                _log.warning("search %s: %d candidates failed: %s", self._settings.search_id, len(candidates), exc)
                return NotMade(f"{exc.reason}: {exc}")
            self._last_batch_failed = False
            return made

    async def _sample_all(self, requests: Sequence[GenerateRequest], latents: Sequence[Float32]) -> Generated:
        """Make pictures, then those of each restart from the ones before."""
        before = np.stack(latents) if latents else None
        for request in requests:
            made = await self._sample(replace(request, latents=before) if request.start_step else request)
            before = made.latents
        return made

    async def _sample(self, request: GenerateRequest) -> Generated:
        async def call(timeout_s: float) -> Generated:
            return await self._models.generate(request, timeout_s=timeout_s)

        steps = request.steps - request.start_step
        with self._stopwatch.measure("generate", candidates=len(request.seeds), steps=steps):
            return await self._calls.with_retries(call, cap_s=self._limits.generate_timeout_s)

    def _requests(self, edit: Edit, candidates: Sequence[Candidate]) -> list[GenerateRequest]:
        """One request for each trajectory that they take, one after the other: more where a chain replays."""
        chains = [[candidate.recipe for candidate in candidates]]
        while candidates[0].replays and chains[0][0].restarts:
            chains.insert(0, [recipe.restarted for recipe in chains[0]])
        return [self._request(edit, chain) for chain in chains]

    def _request(self, edit: Edit, recipes: Sequence[Recipe]) -> GenerateRequest:
        seeds, coefficients = stack([recipe.last_noise for recipe in recipes])
        return GenerateRequest(
            pictures=np.stack(edit.conditioning),
            prompt=self._settings.prompt,
            seeds=seeds,
            coefficients=coefficients,
            steps=edit.steps,
            start_step=recipes[0].start_step,
            negative_prompt=self._settings.negative_prompt,
            true_cfg_scale=self._settings.true_cfg_scale,
            scene=None if edit.inputs.mask is None else edit.inputs.scene,
            edit_mask=edit.inputs.mask,
        )


def batch_key(candidate: Candidate) -> tuple[int, ...]:
    """Return what candidates share that are sampled together: the steps at which their trajectories begin."""
    restarts = candidate.recipe.restarts if candidate.replays else candidate.recipe.restarts[-1:]
    return tuple(one.step for one in restarts)
