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
from eacps.errors import EvaluationFailed, ungrouped
from eacps.evaluation import codec
from eacps.evaluation.generate import Generator, NotMade, batch_key
from eacps.evaluation.plan import SearchSettings
from eacps.evaluation.score import Scoring, averaged
from eacps.evaluation.services import Services
from eacps.evaluation.state import Entry, Latents, PreparedSearch, Report, report_of_failure, report_of_scores
from eacps.evaluation.timing import BudgetTracker
from eacps.evaluation.updates import CandidateScored
from eacps.scoring.score_maps import ScoreMaps
from eacps.search.cohort import Candidate, Cohort
from eacps.search.objective import contested
from eacps.search.potential import ScoreCard
from eacps.triton.types import Generated

REPEATED_EACH_SIDE = 2
"""Of the boundary between those selected and the others, candidates about whom a stochastic scorer is asked again."""
T = TypeVar("T")


@dataclass(frozen=True)
class Made:
    """A candidate's report, and its picture as it is shown; None where there is none."""

    report: Report
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
        """Evaluate those candidates of a cohort that have no outcome yet, and average what stochastic scorers say.

        Returns:
            Whether that was done before time was up.

        Raises:
            ExceptionGroup: Holds `TritonUnavailable`, `TritonModelFailed`, `CallTimedOut` as for `Generator.make`, or
                what `Scoring.score` raises.
        """
        batches = micro_batches(self._state.reports.unreported(cohort), self._settings.micro_batch)

        async def work(batch: tuple[Candidate, ...]) -> list[Made]:
            return await self._evaluate_batch(batch, expendable=len(batch) < len(cohort.candidates))

        in_time = await overlapping(
            batches, work, self._report, at_once=self._limits.unscored_batches, left_s=self._budget.left_s
        )
        return in_time and await self._ask_again(cohort)

    async def _evaluate_batch(self, batch: Sequence[Candidate], *, expendable: bool) -> list[Made]:
        """Evaluate a micro-batch, all of whose candidates are of the same `batch_key`.

        Args:
            batch: The candidates.
            expendable: Whether the search may go on without their pictures.
        """
        edit, objective = self._state.edit, self._state.strategy.objective
        with self._watching(batch):
            made = await self._generator.make(edit, batch, latents=await self._begin(batch), expendable=expendable)
            if isinstance(made, NotMade):
                return [Made(report_of_failure(candidate, made.reason), None) for candidate in batch]
            pictures = {candidate.id: picture for candidate, picture in zip(batch, made.pictures, strict=True)}
            with ungrouped():
                # Where the store fails, scores are asked for in vain; but large pictures take long to encode.
                async with asyncio.TaskGroup() as group:
                    keeping = group.create_task(self._keep(made))
                    scoring = group.create_task(self._scoring.score(edit, pictures))
        (shown, kept), cards = keeping.result(), scoring.result()
        return [
            Made(report_of_scores(candidate, one.png.digest, cards[candidate.id], objective, latents), one)
            for candidate, one, latents in zip(batch, shown, kept, strict=True)
        ]

    async def _begin(self, batch: Sequence[Candidate]) -> list[Float32]:
        """Return the latents of the pictures that a batch restarts; none where it begins with noise."""
        found = []
        for candidate in batch:
            if candidate.start_step:
                parent = self._state.reports[candidate.parents[0]]
                if parent.latents is None:
                    raise EvaluationFailed(f"{candidate.id} restarts {parent.candidate.id}, whose latents are not kept")
                flat = await get_vector(self._artifacts, parent.latents.digest)
                found.append(flat.reshape(parent.latents.shape))
        return found

    async def _keep(self, made: Generated) -> tuple[Sequence[EncodedPicture], Sequence[Latents | None]]:
        """Store what was made, in one go, with the latents where pictures may be restarted."""
        shown, restarts = await encode_pictures(list(made.pictures)), self._state.strategy.restarts
        vectors: list[Artifact] = [vector_artifact(one.ravel()) for one in made.latents] if restarts else []
        await self._artifacts.put([*(one.png for one in shown), *vectors])
        tokens, channels = made.latents.shape[1:]
        kept = [Latents(vector.digest, (tokens, channels)) for vector in vectors]
        return shown, kept or [None] * len(shown)

    async def _report(self, batch: Sequence[Made]) -> None:
        """Record the outcomes of a micro-batch."""
        await self._record([self._count_and_add(one) for one in batch])

    def _count_and_add(self, one: Made) -> Entry:
        """Count what a candidate cost, add its report to the state, and return the entry to record."""
        report, reports = one.report, self._state.reports
        steps = report.candidate.evaluations(self._state.strategy.steps)
        if report.picture is not None:
            self._budget.pay(steps=steps, pictures=1, vlm_calls=self._scoring.vlm_calls)
        reports.add(report)
        update = CandidateScored(
            candidate=report.candidate,
            steps=steps,
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
        answers: dict[str, list[ScoreCard]] = {}
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
                report, name = chosen[int(index)], chosen[int(index)].candidate.id
                answers.setdefault(name, [report.card]).append(card)
                reports.average(name, averaged(answers[name], self._maps))

    def _contested(self, cohort: Cohort) -> list[Report]:
        """Return the reports next to the boundary between candidates that are selected and the others."""
        known = [one for one in self._state.reports.of(cohort) if one.potential is not None]
        potentials = [one.potential for one in known if one.potential is not None]
        utilities = self._state.strategy.objective.utilities(potentials).tolist()
        return [known[index] for index in contested(utilities, cohort.keep, most=2 * REPEATED_EACH_SIDE)]

    @contextmanager
    def _watching(self, batch: Sequence[Candidate]) -> Iterator[None]:
        """Trace a micro-batch and each of its candidates as spans while the block lasts."""
        span = self._observer.span
        with span("micro-batch", {"candidates": len(batch)}), ExitStack() as stack:
            for candidate in batch:
                about = {"id": candidate.id, "move": candidate.move.value, "start_step": candidate.start_step}
                stack.enter_context(span("candidate", about, current=False))
            yield


def micro_batches(candidates: Sequence[Candidate], size: int) -> list[tuple[Candidate, ...]]:
    """Cut candidates into batches of at most ``size`` of the same `batch_key`, in order of proposal."""
    groups = (tuple(group) for _, group in groupby(sorted(candidates, key=batch_key), key=batch_key))
    return [group[start : start + size] for group in groups for start in range(0, len(group), size)]


async def overlapping(
    batches: Sequence[tuple[Candidate, ...]],
    work: Callable[[tuple[Candidate, ...]], Awaitable[T]],
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

    async def handle(batch: tuple[Candidate, ...]) -> None:
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
