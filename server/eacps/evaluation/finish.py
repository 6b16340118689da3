"""Finishing a search: find its winner, deliver the picture in the scene's file, and put the last update together."""

import asyncio
import contextvars
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import eacps
from eacps.artifacts import ACCEPTED, Artifact, get_mask, get_picture, put_pictures
from eacps.errors import EvaluationFailed
from eacps.evaluation.plan import Edit, SearchPictures
from eacps.evaluation.services import ProvenanceRecord, Services
from eacps.evaluation.state import PreparedSearch, Report
from eacps.evaluation.timing import Stopwatch
from eacps.evaluation.updates import Evaluation, Gain, SearchFinished
from eacps.imaging import Inlay, Layers, encode_png
from eacps.search.budget import Spent, StopReason
from eacps.search.cohort import Candidate, Skipped
from eacps.search.objective import pareto_front
from eacps.search.potential import ScoreCard
from eacps.search.recipe import Recipe
from eacps.search.statistics import measured, summarize
from eacps.search.strategy import Strategy
from eacps.triton.types import ServedCheckpoint

NOISE_DTYPE = "float32"  # recipes are summed, and latents passed on, in it
T = TypeVar("T")
_SCENE_FILE, _MASK_AS_IT_CAME = "scene_file", "mask_as_it_came"


def versions(checkpoint: ServedCheckpoint, identities: Mapping[str, str]) -> dict[str, str]:
    """Name the versions by part: eacps, checkpoint, noise, noise_dtype, triton, build, and ``scorer.<name>`` for each.

    ``build`` names the exported networks, what runs them and in which precision: its manifest holds their hashes, the
    packages that made them and their parity figures. ``revision`` is there for a checkpoint from a hub.

    Args:
        checkpoint: What was searched on.
        identities: Of the scorers, by name.
    """
    return {
        "eacps": eacps.__version__,
        "checkpoint": f"{checkpoint.name}@{checkpoint.fingerprint}",
        "noise": checkpoint.noise_version,
        "noise_dtype": NOISE_DTYPE,
        "triton": checkpoint.triton_version,
        **({"build": f"{checkpoint.build} {checkpoint.target} {checkpoint.precision}"} if checkpoint.build else {}),
        **({"revision": checkpoint.revision} if checkpoint.revision else {}),
        **{f"scorer.{name}": identity for name, identity in sorted(identities.items())},
    }


def provenance_record(
    edit: Edit,
    *,
    search_id: str,
    candidate_id: str,
    recipe: Recipe | None,
    prompt: str,
    negative_prompt: str | None,
    card: ScoreCard | None,
) -> ProvenanceRecord:
    """Return the provenance of a delivered file.

    Args:
        edit: Of the search.
        search_id: Of the same; empty for a single call.
        candidate_id: Empty for the prior.
        recipe: Noise of the candidate; None for the prior.
        prompt, negative_prompt: Of the search.
        card: Scores of the candidate; None where nothing was scored.
    """
    return {
        "search_id": search_id,
        "candidate_id": candidate_id,
        "recipe": [] if recipe is None else [[seed, coefficient] for seed, coefficient in recipe.terms],
        "restarts": [] if recipe is None else [[one.step, one.seed] for one in recipe.restarts],
        "prompt": prompt,
        "negative_prompt": negative_prompt,
        "steps": edit.steps,
        "frame": list(edit.inputs.frame.rectangle),
        "scene_sha256": edit.digests[_SCENE_FILE],
        "scores": {} if card is None else dict(card.values),
        "raw_scores": {} if card is None else dict(card.raw),
        "versions": versions(edit.checkpoint, {}),
    }


class Delivery:
    """Delivers pictures of one search.

    Args:
        services: Whose artifacts are those of the search.
        stopwatch: Measures how long it takes.
    """

    def __init__(self, services: Services, stopwatch: Stopwatch) -> None:
        self._artifacts, self._decoder, self._stopwatch = services.artifacts, services.decoder, stopwatch
        self._marking = services.marking

    async def keep(self, pictures: SearchPictures) -> dict[str, str]:
        """Store the scene's file and the uploaded mask, which delivery needs; return their digests by name."""
        file = await asyncio.to_thread(lambda: Artifact.of(pictures.scene_file or encode_png(pictures.scene)))
        await self._artifacts.put([file])
        if pictures.mask is None:
            return {_SCENE_FILE: file.digest}
        (mask,) = await put_pictures(self._artifacts, [pictures.mask])
        return {_SCENE_FILE: file.digest, _MASK_AS_IT_CAME: mask}

    async def deliver(self, edit: Edit, picture: str, record: ProvenanceRecord) -> str:
        """Paste a picture of a search into its scene.

        Args:
            edit: That it results from.
            picture: Its artifact.
            record: How it was made, for the file; see `provenance_record`.

        Returns:
            Artifact of the scene's file with the picture in it (`eacps.imaging.deliver`).
        """
        with self._stopwatch.measure("deliver"):
            scene, inlay = await self._inlay(edit, picture)
            packet = self._marking.packet(record)

            def work() -> Artifact:
                delivered = self._decoder.deliver(scene, inlay, ACCEPTED, packet)
                return Artifact.of(self._marking.sealed(delivered.data, scene))

            artifact = await self._in_thread(work)
            await self._artifacts.put([artifact])
            return artifact.digest

    async def layers(self, edit: Edit, picture: str, record: ProvenanceRecord) -> Layers:
        """Return plate, patch and matte of the file that `deliver` writes; raises the same errors.

        The patch contains the provenance.
        """
        with self._stopwatch.measure("deliver"):
            scene, inlay = await self._inlay(edit, picture)
            packet = self._marking.packet(record)

            def work() -> Layers:
                layers = self._decoder.layers(scene, inlay, ACCEPTED, packet)
                return replace(layers, patch=self._marking.sealed(layers.patch, scene))

            return await self._in_thread(work)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        context = contextvars.copy_context()  # so that log lines name the search
        loop, threads = asyncio.get_running_loop(), self._decoder.delivery_threads
        return await loop.run_in_executor(threads, lambda: context.run(work))

    async def _inlay(self, edit: Edit, picture: str) -> tuple[bytes, Inlay]:
        """Return the scene's file and the picture to paste into it."""
        inputs, mask = edit.inputs, edit.digests.get(_MASK_AS_IT_CAME)
        return await self._artifacts.get(edit.digests[_SCENE_FILE]), Inlay(
            picture=await get_picture(self._artifacts, picture),
            working=inputs.scene,
            rectangle=inputs.frame.rectangle,
            face=edit.scene_box,
            mask=None if mask is None else await get_mask(self._artifacts, mask),
        )


@dataclass(frozen=True)
class Winner:
    """The best candidate of a search.

    Args:
        candidate: None if no candidate was evaluated in time; then the prior wins.
        picture: Artifact of the picture.
        evaluation: Scores of the picture.
    """

    candidate: Candidate | None
    picture: str
    evaluation: Evaluation


def find_winner(state: PreparedSearch) -> Winner:
    """Return the best candidate so far, or the prior if there is none."""
    best = state.strategy.best()
    if best is None:
        return Winner(None, state.edit.digests["prior"], state.prior_evaluation)
    report = state.reports[best.candidate.id]
    if report.picture is None or report.evaluation is None:
        raise EvaluationFailed(f"the best candidate {best.candidate.id} has no picture")
    return Winner(best.candidate, report.picture, report.evaluation)


def finished_update(
    state: PreparedSearch,
    winner: Winner,
    *,
    delivered: str,
    spent: Spent,
    timings_s: Mapping[str, float],
    identities: Mapping[str, str],
) -> SearchFinished:
    """Return the last update of a search.

    Args:
        state: Of the search; its strategy is done.
        winner: From `find_winner`.
        delivered: Artifact of the scene with the winner's picture in it.
        spent: What the search cost.
        timings_s: By stage.
        identities: Of its scorers, by name.
    """
    strategy, reports, checkpoint = state.strategy, state.reports, state.edit.checkpoint
    ids = [one.candidate.id for one in strategy.history()]
    first = reports[ids[0]].evaluation if ids and ids[0] in reports else None
    return SearchFinished(
        best=winner.candidate,
        picture=winner.picture,
        evaluation=winner.evaluation,
        lineage=() if winner.candidate is None else lineage_of(winner.candidate.id, reports),
        statistics=summarize(strategy.history()),
        missing_scores=sum(len(report.card.missing) for report in reports),
        prior_potential=measured(state.prior_evaluation.potential),
        stop_reason=_stop_reason_of(strategy),
        spent=spent,
        pareto_front=_front_of(strategy),
        gains={
            name: Gain(
                held_out=name in strategy.objective.held_out,
                over_first=_difference(winner.evaluation, first, name),
                over_prior=_difference(winner.evaluation, state.prior_evaluation, name),
            )
            for name in sorted(identities)
        },
        diversity=strategy.diversity,
        timings_s=timings_s,
        versions=versions(checkpoint, identities),
        noise_shape=checkpoint.latent_shape_of(state.edit.inputs.frame.size),
        delivered=delivered,
    )


def _stop_reason_of(strategy: Strategy) -> StopReason:
    """Return why a search is over; one whose last round was cut off did not complete."""
    reason = strategy.stop_reason or StopReason.COMPLETED
    cut_off = any(isinstance(one.outcome, Skipped) for one in strategy.history())
    return StopReason.WALL_TIME if cut_off and reason is StopReason.COMPLETED else reason


def lineage_of(candidate_id: str, reports: Iterable[Report]) -> tuple[str, ...]:
    """Name the ancestors of a candidate, itself first; of two parents the first one's."""
    parents = {report.candidate.id: report.candidate.parents for report in reports}
    ids = [candidate_id]
    while parents[ids[-1]]:
        ids.append(parents[ids[-1]][0])
    return tuple(ids)


def _front_of(strategy: Strategy) -> tuple[str, ...]:
    """Name the candidates that no other one beats in every weighted score, best first."""
    ranking = strategy.ranking()
    return tuple(ranking[index].candidate.id for index in pareto_front([one.potential for one in ranking]))


def _difference(one: Evaluation, other: Evaluation | None, name: str) -> float | None:
    if other is None or name not in one.card.raw or name not in other.card.raw:
        return None
    return one.card.raw[name] - other.card.raw[name]
