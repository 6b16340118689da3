"""Evaluation of a cohort: generate, store and score its pictures in overlapping micro-batches, and record each."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import TypeVar

from eacps.arrays import Float32
from eacps.artifacts import (
    Artifact,
    EncodedPicture,
    encode_pictures,
    get_picture,
    get_vector,
    vector_artifact,
)
from eacps.evaluation import codec
from eacps.evaluation.generate import Generator, batch_key
from eacps.evaluation.plan import SearchSettings
from eacps.evaluation.score import Scoring, averaged
from eacps.evaluation.services import Services
from eacps.evaluation.state import Entry, Latents, PreparedSearch, TrialReport, failed, scored
from eacps.evaluation.timing import BudgetTracker
from eacps.evaluation.updates import CandidateScored
from eacps.scoring.score_maps import ScoreMaps
from eacps.search.cohort import Cohort, Trial, TrialKey
from eacps.search.repeats import contested
from eacps.search.scores import ScoreCard
from eacps.triton.types import Generated

REPEATED_EACH_SIDE = 2
"""Of the boundary between those selected and the others, candidates about whom a stochastic scorer is asked again."""
T = TypeVar("T")


@dataclass(frozen=True)
class EvaluatedTrial:
    """A trial's report, and its picture as it is shown; None where there is none."""

    report: TrialReport
    shown: EncodedPicture | None


class Evaluator:
    """Evaluates the cohorts of one search.

    Args:
        state: Of the search; its reports grow.
        settings: Of the search.
        generator: Makes pictures.
        scoring: Scores them.
        budget: Counts what is spent.
        services: Keep pictures, and watch.
        record: Records what is reported.
    """

    def __init__(
        self,
        state: PreparedSearch,
        settings: SearchSettings,
        *,
        generator: Generator,
        scoring: Scoring,
        budget: BudgetTracker,
        services: Services,
        record: Callable[[Sequence[Entry]], Awaitable[None]],
    ) -> None:
        self._state, self._settings, self._generator, self._scoring = state, settings, generator, scoring
        self._budget, self._record = budget, record
        self._artifacts, self._observer, self._limits = services.artifacts, services.observer, services.limits
        self._maps = ScoreMaps.from_calibration(state.edit.checkpoint.calibration)

    async def evaluate(self, cohort: Cohort) -> bool:
        """Evaluate those trials of a cohort that have no outcome yet, and average what stochastic scorers say.

        Returns:
            Whether that was done before time was up.

        Raises:
            ExceptionGroup: Holds `TritonUnavailable`, `TritonModelFailed`, `CallTimedOut` as for `Generator.make`, or
                what `Scoring.score` raises.
        """
        batches = micro_batches(self._state.reports.unreported(cohort), self._settings.micro_batch)

        async def work(batch: tuple[Trial, ...]) -> list[EvaluatedTrial]:
            return await self._evaluate_batch(batch, expendable=len(batch) < len(cohort.trials))

        in_time = await overlapping(
            batches, work, self._report, at_once=self._limits.unscored_batches, left_s=self._budget.left_s
        )
        return in_time and await self._ask_again(cohort)

    async def _evaluate_batch(self, batch: Sequence[Trial], *, expendable: bool) -> list[EvaluatedTrial]:
        """Evaluate a micro-batch, all of whose trials are of the same `batch_key`.

        Args:
            batch: The trials.
            expendable: Whether the search may go on without their pictures.
        """
        edit, objective = self._state.edit, self._state.strategy.objective
        with self._watching(batch):
            start_step, latents = await self._resume_point(batch)
            made = await self._generator.make(
                edit, batch, start_step=start_step, latents=latents, expendable=expendable
            )
            if isinstance(made, str):
                return [EvaluatedTrial(failed(trial, made), None) for trial in batch]
            shown, kept = await self._keep(made, latents=self._needs_latents(batch[0]))
            pictures = {trial.candidate.id: picture for trial, picture in zip(batch, made.pictures, strict=True)}
            cards = await self._scoring.score(edit, pictures)
        return [
            EvaluatedTrial(scored(trial, one.png.digest, cards[trial.candidate.id], objective, latents_of), one)
            for trial, one, latents_of in zip(batch, shown, kept, strict=True)
        ]

    async def _resume_point(self, batch: Sequence[Trial]) -> tuple[int, list[Float32]]:
        """Return step and latents from which a batch goes on; none where it begins. A micro-batch never mixes both."""
        start_step, latents = 0, []
        for trial in batch:
            before = self._state.reports.goes_on_from(trial)
            if before is not None and before.latents is not None:
                start_step = before.key.stop_step
                flat = await get_vector(self._artifacts, before.latents.digest)
                latents.append(flat.reshape(before.latents.shape))
        return start_step, latents

    def _needs_latents(self, trial: Trial) -> bool:
        """Whether a picture's latents are needed again: to go on from a preview, to restart a finished picture."""
        strategy = self._state.strategy
        return not trial.draft and (trial.stop_step < strategy.steps or strategy.restarts)

    async def _keep(
        self, made: Generated, *, latents: bool
    ) -> tuple[Sequence[EncodedPicture], Sequence[Latents | None]]:
        """Store what was made, in one go, with the latents where they are needed."""
        shown = await encode_pictures(list(made.pictures))
        vectors: list[Artifact] = [vector_artifact(one.ravel()) for one in made.latents] if latents else []
        await self._artifacts.put([*(one.png for one in shown), *vectors])
        tokens, channels = made.latents.shape[1:]
        kept = [Latents(vector.digest, (tokens, channels)) for vector in vectors]
        return shown, kept or [None] * len(shown)

    async def _report(self, batch: Sequence[EvaluatedTrial]) -> None:
        """Record the outcomes of a micro-batch."""
        await self._record([self._entry_of(one) for one in batch])

    def _entry_of(self, one: EvaluatedTrial) -> Entry:
        report, reports = one.report, self._state.reports
        if report.picture is not None:
            steps = reports.steps_of(report.trial)
            self._budget.pay(steps=steps, pictures=1, vlm_calls=self._scoring.vlm_calls)
        reports.add(report)
        update = CandidateScored(
            candidate=report.trial.candidate,
            stop_step=report.key.stop_step,
            preview=report.key.stop_step < self._state.strategy.steps,
            draft=report.key.draft,
            evaluation=report.evaluation,
            failure=report.failure,
            thumbnail=b"" if one.shown is None else one.shown.thumbnail,
            picture=report.picture,
            picture_sha256="" if one.shown is None else one.shown.content_hash,
            done=len(reports),
            best_potential=reports.best_potential,
        )
        return Entry(update, codec.report_to_text(report))

    async def _ask_again(self, cohort: Cohort) -> bool:
        """Ask stochastic scorers again about the candidates that decide the next selection, and average.

        Returns:
            Whether that was done before time was up.
        """
        try:
            async with asyncio.timeout(self._budget.left_s()) as limit:
                await self._average(cohort)
        except TimeoutError:
            if not limit.expired():
                raise
            return False
        return True

    async def _average(self, cohort: Cohort) -> None:
        stochastic, reports = self._scoring.stochastic, self._state.reports
        answers: dict[TrialKey, list[ScoreCard]] = {}
        for again in range(1, self._settings.score_repeats if stochastic else 1):
            chosen = self._contested(cohort)
            calls = len(chosen) * sum(stochastic.values())
            if not chosen or not self._budget.affords_calls(calls):
                return
            pictures = {
                str(index): await get_picture(self._artifacts, report.picture)
                for index, report in enumerate(chosen)
                if report.picture is not None
            }
            cards = await self._scoring.score(self._state.edit, pictures, again=again, only=stochastic)
            self._budget.pay(vlm_calls=calls)
            for index, card in cards.items():
                report = chosen[int(index)]
                answers.setdefault(report.key, [report.card]).append(card)
                reports.average(report.key, averaged(answers[report.key], self._maps))

    def _contested(self, cohort: Cohort) -> list[TrialReport]:
        """Return the reports next to the boundary between candidates that are selected and the others."""
        known = [one for one in self._state.reports.of(cohort) if one.potential is not None]
        potentials = [one.potential for one in known if one.potential is not None]
        utilities = self._state.strategy.objective.utilities(potentials).tolist()
        return [known[index] for index in contested(utilities, cohort.keep, most=2 * REPEATED_EACH_SIDE)]

    @contextmanager
    def _watching(self, batch: Sequence[Trial]) -> Iterator[None]:
        """Trace a micro-batch and each of its candidates as spans while the block lasts."""
        span = self._observer.span
        with span("micro-batch", {"candidates": len(batch)}), ExitStack() as stack:
            for trial in batch:
                about = {"id": trial.candidate.id, "move": trial.candidate.move.value, "stop_step": trial.stop_step}
                stack.enter_context(span("candidate", about, current=False))
            yield


def micro_batches(trials: Sequence[Trial], size: int) -> list[tuple[Trial, ...]]:
    """Cut trials into batches of at most ``size`` of the same `batch_key`, in order of proposal."""
    groups = (tuple(group) for _, group in groupby(sorted(trials, key=batch_key), key=batch_key))
    return [group[start : start + size] for group in groups for start in range(0, len(group), size)]


async def overlapping(
    batches: Sequence[tuple[Trial, ...]],
    work: Callable[[tuple[Trial, ...]], Awaitable[T]],
    report: Callable[[T], Awaitable[None]],
    *,
    at_once: int,
    left_s: Callable[[], float | None],
) -> bool:
    """Work on batches, several at once, and report each as soon as it is done.

    Args:
        batches: In the order in which they are begun.
        work: Called once for each batch; cancelled when time is up.
        report: Called with what ``work`` returned, one call at a time, in order of completion. Never cut off by the
            time: what is reported is recorded.
        at_once: So many batches at most are worked on and not yet reported.
        left_s: Returns the seconds left for ``work``; None without a bound.

    Returns:
        Whether all batches were reported. Otherwise time was up.

    Raises:
        ExceptionGroup: Holds what ``work`` or ``report`` raised first; all other batches are cancelled.
    """
    slots, one_at_a_time = asyncio.Semaphore(at_once), asyncio.Lock()
    done = 0

    async def handle(batch: tuple[Trial, ...]) -> None:
        nonlocal done
        try:
            async with asyncio.timeout(left_s()) as limit:
                result = await work(batch)
        except TimeoutError:
            if not limit.expired():
                raise
            slots.release()
            return
        async with one_at_a_time:
            await report(result)
        done += 1
        slots.release()  # not in a finally: what fails here ends all

    async with asyncio.TaskGroup() as group:
        for batch in batches:
            await slots.acquire()
            left = left_s()
            if left is not None and left <= 0:
                break
            group.create_task(handle(batch))
    return done == len(batches)
