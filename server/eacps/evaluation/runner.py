"""Run a search: prepare, then ask, evaluate and tell in every round, then finish.

Progress is recorded as it is made (`eacps.evaluation.state`): what is served, then the prior, each micro-batch, each
round and the result. An interrupted search resumes from its records. What was under way is done again: the preparation,
micro-batches in flight, the repeated scores of the open round, the delivery.
"""

import asyncio
import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from contextvars import copy_context
from functools import partial
from typing import Any, TypeVar

from eacps.errors import (
    CheckpointChanged,
    DeadlineExceeded,
    EvaluationFailed,
    FieldViolation,
    InvalidRequest,
    TritonModelFailed,
    ungrouped,
)
from eacps.evaluation import codec
from eacps.evaluation.evaluate import Evaluator
from eacps.evaluation.finish import Delivery, find_winner, finished_update, provenance_record
from eacps.evaluation.generate import Generator
from eacps.evaluation.plan import SearchPictures, SearchSettings
from eacps.evaluation.prepare import Preparation
from eacps.evaluation.score import Scoring
from eacps.evaluation.services import ModelCalls, Services
from eacps.evaluation.state import Entry, PreparedSearch, Progress, Record, Recorder, Reports, evaluation_of
from eacps.evaluation.timing import BudgetTracker, Deadline, Stopwatch
from eacps.evaluation.updates import PriorReady, RoundFinished, SearchStarted, SearchUpdate
from eacps.search import factory
from eacps.search.budget import Price, StopReason
from eacps.search.calibration import Calibration
from eacps.search.cohort import Cohort, Outcome, Ranked
from eacps.search.context import SearchContext
from eacps.search.recipe import restarts_error
from eacps.search.spec import AdaptiveSpec, SearchSpec, on_build
from eacps.search.strategy import Strategy
from eacps.triton.types import ServedCheckpoint

_log = logging.getLogger(__name__)
_NO_DEADLINE = Deadline()
T = TypeVar("T")
_STRATEGY_THREADS = ThreadPoolExecutor(64, thread_name_prefix="strategy")
"""Started as they are needed, so that searches do not wait for each other's strategies."""


class SearchRunner:
    """Runs one search.

    Args:
        settings: Of the search.
        services: Models, scorers and artifacts.
        recorder: Stores its progress.
        deadline: Time at which to stop with the best candidate so far.
        progress: Records of an interrupted search; None for a new one.
    """

    def __init__(
        self,
        settings: SearchSettings,
        services: Services,
        recorder: Recorder,
        *,
        deadline: Deadline = _NO_DEADLINE,
        progress: Progress | None = None,
    ) -> None:
        self._settings, self._services, self._recorder = settings, services, recorder
        self._deadline, self._progress = deadline, progress
        spent: Mapping[str, Any] = {} if progress is None else json.loads(progress.spent)
        self._stopwatch = Stopwatch(observer=services.observer, spent_s=spent.get("stages_s"))
        self._calls = ModelCalls(settings.search_id, services.models, deadline, limits=services.limits)
        self._delivery = Delivery(services, self._stopwatch)
        self._preparation = Preparation(services, self._delivery, calls=self._calls, stopwatch=self._stopwatch)
        self._scoring = Scoring(settings, services, calls=self._calls, stopwatch=self._stopwatch)
        price = Price(2 if settings.guided else 1, self._scoring.vlm_calls)
        self._budget = BudgetTracker(settings.budget, price, deadline, spent=spent, observer=services.observer)

    async def run(self, pictures: SearchPictures | None) -> None:
        """Run the search to its end.

        Record `SearchStarted`, `PriorReady`, `CandidateScored` for each candidate, `RoundFinished` after each round,
        and finally `SearchFinished`. If the task is cancelled, everything that it started ends before it returns, down
        to the denoising step.

        Args:
            pictures: Of the search. They are released once they are fitted. None only where the prior is recorded.

        Raises:
            NoFaceFound: A picture shows no face, or not the chosen one.
            EvaluationFailed: Pictures of the first round were made, but not one could be scored.
            DeadlineExceeded: Time was up before the prior was made.
            InvalidRequest: A model does not take what the caller asked for, such as a prompt of too many tokens.
            CheckpointChanged: Other weights are served than those with which the search began.
            TritonModelFailed, CallTimedOut: The prior could not be made, or two micro-batches in a row, or the only one
                of a round.
            TritonUnavailable: Triton is down; the recorded progress remains valid.
        """
        try:
            with ungrouped(), ExitStack() as expecting:  # all calls are meant for the checkpoint that is described
                state = await self._prepare(pictures, expecting)
                del pictures
                evaluator = self._evaluator(state)
                while (cohort := state.strategy.pending) is not None:
                    in_time = await evaluator.evaluate(cohort)
                    await self._tell(state, cohort, in_time=in_time)
                await self._finish(state)
        except asyncio.CancelledError:
            _log.info("search %s: interrupted", self._settings.search_id)
            raise

    async def _prepare(self, pictures: SearchPictures | None, expecting: ExitStack) -> PreparedSearch:
        """Make the prior, or restore what was recorded."""
        if self._progress is not None and codec.has_prior(self._progress):
            return await self._restored(self._progress, expecting)
        if pictures is None:
            raise ValueError("a search without a prior needs its pictures")
        self._budget.keep_for_delivery(pictures.megapixels)
        try:
            async with asyncio.timeout(self._deadline.left_s()) as limit:
                return await self._prepared_anew(pictures, expecting)
        except TimeoutError as exc:
            if not limit.expired():
                raise
            raise DeadlineExceeded("time is up") from exc

    async def _prepared_anew(self, pictures: SearchPictures, expecting: ExitStack) -> PreparedSearch:
        checkpoint = await self._checkpoint(expecting)
        context = self._context(checkpoint)
        _check_start(self._settings.spec, context.steps)
        strategy = factory.create(on_build(self._settings.spec, checkpoint.build), context)
        if self._progress is None:
            await self._record([Entry(self._started(checkpoint, strategy))], codec.checkpoint_part(checkpoint))
        edit = await self._preparation.edit_of(self._settings, pictures, checkpoint)
        card = (await self._scoring.score(edit, {"prior": edit.prior}))["prior"]
        self._budget.pay(vlm_calls=self._scoring.vlm_calls)
        reports = Reports(strategy.objective)
        state = PreparedSearch(edit, evaluation_of(card, strategy.objective), strategy, reports)
        await self._ask(state)
        parts = await _off_the_loop(partial(codec.strategy_parts, state))
        await self._record([Entry(_prior_ready(state))], codec.prepared_part(state) | parts)
        return state

    async def _restored(self, progress: Progress, expecting: ExitStack) -> PreparedSearch:
        strategy = await _off_the_loop(partial(codec.strategy_in, progress))
        left_s = self._budget.left_s()
        over = strategy.done or (left_s is not None and left_s <= 0)  # then nothing is left to ask of any model
        checkpoint = codec.checkpoint_in(progress) if over else await self._checkpoint(expecting)
        state = await codec.restore_state(progress, strategy, checkpoint, self._services.artifacts)
        _log.info("search %s: resumes after %d candidates", self._settings.search_id, len(state.reports))
        return state

    async def _checkpoint(self, expecting: ExitStack) -> ServedCheckpoint:
        """Ask what is served, check that it is what the search began with, and accept no other from now on."""
        served = await self._preparation.describe()
        expecting.enter_context(self._services.models.expecting(served.build))
        if self._progress is None:
            return served
        first = codec.checkpoint_in(self._progress)
        if (served.fingerprint, served.build) != (first.fingerprint, first.build):
            raise CheckpointChanged(f"the search began on {first.in_words}; {served.in_words} is served now")
        return first

    def _context(self, checkpoint: ServedCheckpoint) -> SearchContext:
        calibration = Calibration.from_dict(checkpoint.calibration)
        return SearchContext(self._settings.steps or checkpoint.default_steps, self._settings.objective, calibration)

    def _evaluator(self, state: PreparedSearch) -> Evaluator:
        generator = Generator(
            self._settings,
            self._services,
            calls=self._calls,
            stopwatch=self._stopwatch,
            last_batch_failed=state.reports.last_failed,
        )
        return Evaluator(
            state,
            self._settings,
            generator=generator,
            scoring=self._scoring,
            budget=self._budget,
            services=self._services,
            record=self._record,
        )

    def _started(self, checkpoint: ServedCheckpoint, strategy: Strategy) -> SearchStarted:
        settings, objective = self._settings, self._settings.objective
        _log.info(
            "search %s: %s, %d trajectories of %d steps on %s, scored by %s",
            settings.search_id,
            settings.spec.strategy,
            settings.spec.total_candidates,
            strategy.steps,
            checkpoint.name,
            ", ".join(settings.scorers),
        )
        return SearchStarted(
            search_id=settings.search_id,
            planned_candidates=settings.spec.total_candidates,
            random_seed=settings.spec.seed,
            checkpoint=checkpoint,
            steps=strategy.steps,
            weights={**dict.fromkeys(settings.scorers, 0.0), **objective.weights.normalized},
            floors=objective.floors,
            held_out=objective.held_out,
            questions={name: question.template for name, question in settings.questions.items()},
            notes=settings.notes,
        )

    async def _ask(self, state: PreparedSearch) -> None:
        """Have the strategy propose the next cohort, within what it may cost."""
        if not state.strategy.done:
            cohort = await _off_the_loop(partial(state.strategy.ask, self._budget.allowance()))
            if cohort is not None:
                state.reports.propose(cohort.candidates)

    async def _tell(self, state: PreparedSearch, cohort: Cohort, *, in_time: bool) -> None:
        """Tell the strategy the outcomes of its cohort, ask for the next one, and record the state."""
        strategy, reports = state.strategy, state.reports
        recorded = len(strategy.history())
        best = await _off_the_loop(partial(_best_after, strategy, reports.outcomes(cohort)))
        reports.set_best(best)
        if in_time and not reports.any_scored:
            raise _nothing_scored(reports)
        updates: list[SearchUpdate] = []
        if best is not None:
            updates.append(_round_finished(state, cohort, best))
        if not strategy.done and (reason := self._reason_to_stop(best, in_time=in_time)):
            strategy.stop(reason)
        await self._ask(state)
        parts = await _off_the_loop(partial(codec.strategy_parts, state, recorded=recorded))
        await self._record([Entry(update) for update in updates], parts)

    def _reason_to_stop(self, best: Ranked | None, *, in_time: bool) -> StopReason | None:
        target = self._settings.budget.target_potential
        if target is not None and best is not None and best.potential.feasible and best.potential.value >= target:
            return StopReason.TARGET_REACHED
        return None if in_time else StopReason.WALL_TIME

    async def _finish(self, state: PreparedSearch) -> None:
        winner, settings = await _off_the_loop(partial(find_winner, state)), self._settings
        record = provenance_record(
            state.edit,
            search_id=settings.search_id,
            candidate_id="" if winner.candidate is None else winner.candidate.id,
            recipe=None if winner.candidate is None else winner.candidate.recipe,
            prompt=settings.prompt,
            negative_prompt=settings.negative_prompt,
            card=winner.evaluation.card,
        )
        delivered = await self._delivery.deliver(state.edit, winner.picture, record)
        spent, identities = self._budget.spent, self._scoring.identities
        timings_s = {**self._stopwatch.spent_s(), "total": spent.wall_s}
        _log.info("search %s: %s after %.2f s", settings.search_id, state.strategy.stop_reason, spent.wall_s)
        finished = partial(
            finished_update, state, winner, delivered=delivered, spent=spent, timings_s=timings_s, identities=identities
        )
        await self._record([Entry(await _off_the_loop(finished))])

    async def _record(self, entries: Sequence[Entry], parts: Mapping[str, str] | None = None) -> None:
        spent = codec.to_text({**self._budget.to_json(), "stages_s": self._stopwatch.spent_s()})
        await self._recorder.record(Record(entries, spent, parts or {}))


async def _off_the_loop(work: Callable[[], T]) -> T:
    """Compute with a strategy in a thread.

    A model of the landscape takes seconds for thousands of candidates, their ranking, encoding and decoding tenths of a
    second. If the task is cancelled meanwhile, the thread goes on with a strategy that nobody uses any more.
    """
    context = copy_context()  # log lines name the search
    return await asyncio.get_running_loop().run_in_executor(_STRATEGY_THREADS, partial(context.run, work))


def _best_after(strategy: Strategy, outcomes: Mapping[str, Outcome]) -> Ranked | None:
    """Tell a strategy the outcomes of its cohort, and return the best candidate so far."""
    strategy.tell(outcomes)
    return strategy.best()


def _check_start(spec: SearchSpec, steps: int) -> None:
    """Refuse points to begin from whose restarts are beyond the schedule."""
    points = spec.start if isinstance(spec, AdaptiveSpec) else ()
    errors = [(number, restarts_error(point.recipe, steps)) for number, point in enumerate(points)]
    if found := [FieldViolation(f"search.start[{n}].recipe.restarts", error) for n, error in errors if error]:
        raise InvalidRequest(found)


def _prior_ready(state: PreparedSearch) -> PriorReady:
    edit = state.edit
    return PriorReady(
        prior=edit.digests["prior"],
        scene=edit.digests["scene"],
        evaluation=state.prior_evaluation,
        scene_box=edit.replaced_face,
        character_box=edit.character_box,
        frame=edit.inputs.frame.rectangle,
        mode=edit.inputs.prior,
    )


def _round_finished(state: PreparedSearch, cohort: Cohort, best: Ranked) -> RoundFinished:
    potentials = [report.potential for report in state.reports.of(cohort)]
    values = [one.value for one in potentials if one is not None and one.complete]
    return RoundFinished(
        generation=cohort.generation,
        best_candidate_id=best.candidate.id,
        best_potential=best.potential.value,
        mean_potential=math.fsum(values) / len(values) if values else None,
        note=cohort.note,
    )


def _nothing_scored(reports: Reports) -> Exception:
    """The error of a search whose first round has not one potential."""
    unscored = sorted(report.failure or "" for report in reports if report.picture is not None)
    if unscored:
        return EvaluationFailed(f"not one of {len(unscored)} pictures could be scored: {unscored[0]}")
    return TritonModelFailed(next(report.failure or "" for report in reports))
