"""The course of one search: prior, rounds, result; each event told as it happens."""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Sequence

from eacps.errors import EvaluationFailed
from eacps.evaluation.deadline import Deadline
from eacps.evaluation.edit import Edit
from eacps.evaluation.findings import front_of, gains_of, lineage_of
from eacps.evaluation.ledger import Ledger
from eacps.evaluation.pictures import hash_of, thumbnail_of
from eacps.evaluation.pipeline import TrialReport, evaluate_cohort, evaluation_of, report_of
from eacps.evaluation.plan import SearchPlan
from eacps.evaluation.ports import Laboratory
from eacps.evaluation.scores import averaged
from eacps.evaluation.shelf import Shelf
from eacps.evaluation.stages import Stages
from eacps.evaluation.stopwatch import Stopwatch
from eacps.evaluation.updates import (
    CandidateScored,
    Evaluation,
    PriorReady,
    RoundFinished,
    SearchFinished,
    SearchStarted,
    SearchUpdate,
)
from eacps.evaluation.versions import versions
from eacps.search import factory
from eacps.search.budget import Price, StopReason
from eacps.search.calibration import Calibration
from eacps.search.cohort import Cohort, Outcome, Ranked, Skipped, TrialKey
from eacps.search.context import Context
from eacps.search.objective import Scalarisation
from eacps.search.potential import Potential
from eacps.search.repeats import contested
from eacps.search.scores import ScoreCard
from eacps.search.statistics import measured, summarise
from eacps.search.strategy import Strategy
from eacps.triton.types import ServedCheckpoint

_log = logging.getLogger(__name__)
REPEATED_EACH_SIDE = 2
"""Of the boundary between those selected and the others, candidates about whom a stochastic scorer is asked again."""


class Session:
    """One search under way.

    Args:
        plan: What is searched for.
        laboratory: Where.
        deadline: Bounds every call.
        emit: Told every update; may block while the reader is slow.
        told: Of a search that was cut off and goes on, the trials whose reports came out before, in their order.
    """

    def __init__(
        self,
        plan: SearchPlan,
        laboratory: Laboratory,
        deadline: Deadline,
        emit: Callable[[SearchUpdate], Awaitable[None]],
        *,
        told: Sequence[TrialKey] = (),
    ) -> None:
        self._plan, self._laboratory, self._emit, self._told = plan, laboratory, emit, told
        self._stopwatch = Stopwatch(observer=laboratory.observer)
        self._shelf = Shelf(laboratory.artifacts)
        self._stages = Stages(plan, laboratory, self._shelf, deadline, self._stopwatch)
        self._reports: dict[TrialKey, TrialReport] = {}
        self._proposed: dict[TrialKey, int] = {}  # order of proposal
        self._best: TrialReport | None = None
        self._cards: dict[TrialKey, list[ScoreCard]] = {}  # of those asked about again, every answer
        self._steps = 0  # of the full schedule
        self._calibration = Calibration()
        price = Price(2 if plan.guided else 1, self._stages.vlm_calls)
        self._ledger = Ledger(plan.budget, price, deadline, megapixels=plan.scene[..., 0].size / 1e6)

    async def run(self) -> None:
        """Run the search to its end. Raises what `eacps.evaluation.run_search` raises."""
        checkpoint = await self._stages.describe()
        strategy = self._strategy(checkpoint)
        await self._start(checkpoint, strategy)
        edit = await self._stages.prepare(checkpoint)
        self._plan = self._plan.without_pictures()
        prior = await self._report_prior(edit)
        while not strategy.done:
            await self._read_clock()
            cohort = strategy.ask(self._ledger.allowance())
            if cohort is not None:
                await self._round(strategy, cohort, edit)
        await self._finish(edit, strategy, prior)

    async def _read_clock(self) -> None:
        """Record the time spent, so that a search which is cut off and goes on has not had it for nothing."""
        reading = await self._stages.read_clock(len(self._proposed), self._ledger.spent.wall_s)
        self._ledger.spend_time(reading.elapsed_s)
        self._stopwatch.at_least(reading.stages_s)

    def _strategy(self, checkpoint: ServedCheckpoint) -> Strategy:
        self._steps = self._plan.steps or checkpoint.default_steps
        self._calibration = Calibration.from_dict(checkpoint.calibration)
        return factory.create(self._plan.spec, Context(self._steps, self._plan.objective, self._calibration))

    async def _start(self, checkpoint: ServedCheckpoint, strategy: Strategy) -> None:
        plan, weights = self._plan, self._plan.objective.weights
        _log.info(
            "search %s: %s, %d trajectories of %d steps on %s, scored by %s; pruning: %s",
            plan.search_id,
            plan.spec.strategy,
            plan.spec.total_candidates,
            strategy.steps,
            checkpoint.name,
            ", ".join(plan.scorers),
            strategy.pruning.reason,
        )
        await self._emit(
            SearchStarted(
                search_id=plan.search_id,
                planned_candidates=plan.spec.total_candidates,
                random_seed=plan.spec.seed,
                checkpoint=checkpoint,
                steps=strategy.steps,
                weights={**dict.fromkeys(plan.scorers, 0.0), **weights.normalised},
                floors=plan.objective.floors,
                held_out=plan.objective.held_out,
                questions={name: question.template for name, question in plan.questions.items()},
            )
        )

    async def _report_prior(self, edit: Edit) -> Evaluation:
        cards = await self._stages.score(edit, {"prior": edit.digests["prior"]})
        self._ledger.pay(vlm_calls=self._stages.vlm_calls)
        self._shelf.put_away(edit.digests["prior"])
        evaluation = evaluation_of(cards["prior"], self._plan.objective)
        await self._emit(
            PriorReady(
                prior=edit.digests["prior"],
                scene=edit.digests["scene"],
                evaluation=evaluation,
                scene_box=edit.scene_box,
                character_box=edit.character_box,
                frame=edit.inputs.frame.rectangle,
            )
        )
        return evaluation

    async def _round(self, strategy: Strategy, cohort: Cohort, edit: Edit) -> None:
        self._proposed |= {trial.key: len(self._proposed) + index for index, trial in enumerate(cohort.trials)}
        in_time = await self._within_time(self._evaluate(cohort, edit))
        if in_time:
            await self._within_time(self._repeat(strategy, cohort, edit))
        outcomes: dict[TrialKey, Outcome] = {
            key: self._reports[key].outcome if key in self._reports else Skipped() for key in cohort.keys
        }
        strategy.tell(outcomes)
        best = strategy.best()
        self._best = None if best is None else self._reports[TrialKey(best.candidate.id, self._steps)]
        await self._let_go(cohort)
        await self._stages.forget_previews(strategy.promising)
        if in_time and not any(isinstance(report.outcome, Potential) for report in self._reports.values()):
            # Pictures were made, or the sampler's own error would have ended the search.
            reasons = sorted(one.failure or "" for one in self._reports.values() if one.picture is not None)
            raise EvaluationFailed(f"not one of {len(reasons)} pictures could be scored: {reasons[0]}")
        if best is not None and not strategy.promising:
            await self._emit(self._round_finished(cohort, best))
        if not strategy.done and (reason := self._reason_to_stop(best, in_time=in_time)):
            strategy.stop(reason)

    def _reason_to_stop(self, best: Ranked | None, *, in_time: bool) -> StopReason | None:
        target = self._plan.budget.target_potential
        if target is not None and best is not None and best.potential.feasible and best.potential.value >= target:
            return StopReason.TARGET_REACHED
        return None if in_time else StopReason.WALL_TIME

    async def _within_time(self, work: Awaitable[None]) -> bool:
        """Do work until the search's time is up; False where it was cut off."""
        try:
            async with asyncio.timeout(self._ledger.left_s()) as limit:
                await work
        except TimeoutError:
            if not limit.expired():
                raise
            return False
        return True

    async def _evaluate(self, cohort: Cohort, edit: Edit) -> None:
        await evaluate_cohort(
            cohort,
            plan=self._plan,
            edit=edit,
            stages=self._stages,
            unscored_batches=self._laboratory.pace.unscored_batches,
            report=self._report,
            told=[key for key in self._told if key in cohort.keys],
        )

    async def _repeat(self, strategy: Strategy, cohort: Cohort, edit: Edit) -> None:
        """Ask stochastic scorers again about the candidates on whom the next selection turns, and average."""
        stochastic = self._stages.stochastic
        if not stochastic:
            return
        reports = [self._reports[trial.key] for trial in cohort.trials]
        scored = [report for report in reports if isinstance(report.outcome, Potential)]
        for again in range(1, self._plan.score_repeats):
            utilities = strategy.objective.utilities([_potential(report) for report in scored])
            chosen = [
                scored[place] for place in contested(utilities.tolist(), cohort.keep, most=2 * REPEATED_EACH_SIDE)
            ]
            calls = len(chosen) * sum(stochastic.values())
            if not chosen or not self._ledger.affords_calls(calls):
                return
            pictures = {report.trial.candidate.id: report.picture or "" for report in chosen}
            cards = await self._stages.score(edit, pictures, again=again, only=stochastic)
            self._ledger.pay(vlm_calls=calls)
            for report in chosen:
                self._cards.setdefault(report.trial.key, [_card(report)]).append(cards[report.trial.candidate.id])
                card = averaged(self._cards[report.trial.key], self._calibration)
                repeated = report_of(report.trial, report.picture or "", card, self._plan.objective)
                self._reports[report.trial.key] = repeated
                scored[scored.index(report)] = repeated

    async def _report(self, report: TrialReport) -> None:
        key = report.trial.key
        self._pay(report)
        self._reports[key] = report
        before, self._best = self._best, self._better(self._best, report)
        thumbnail, digest = b"", ""
        if report.picture is not None:
            picture = await self._shelf.get(report.picture)
            thumbnail, digest = await thumbnail_of(picture), await hash_of(picture)
            self._shelf.put_away(report.picture)
        await self._emit(
            CandidateScored(
                candidate=report.trial.candidate,
                stop_step=key.stop_step,
                preview=key.stop_step < self._steps,
                evaluation=report.evaluation,
                failure=report.failure,
                thumbnail=thumbnail,
                picture=report.picture,
                picture_sha256=digest,
                done=len(self._reports),
                best_potential=None if self._best is None else _potential(self._best).value,
            )
        )
        if not self._looks_again:
            for one in (before, report):
                await self._drop(one)

    @property
    def _looks_again(self) -> bool:
        """Whether a picture may win though a later one was better when it came: scores change, or ranks do."""
        return bool(self._stages.stochastic) or self._plan.objective.method is Scalarisation.RANK_SUM

    def _pay(self, report: TrialReport) -> None:
        if report.picture is None:
            return
        candidate_id, stop = report.trial.key
        earlier = [key.stop_step for key in self._reports if key.candidate_id == candidate_id]
        self._ledger.pay(steps=stop - max(earlier, default=0), pictures=1, vlm_calls=self._stages.vlm_calls)

    def _better(self, best: TrialReport | None, report: TrialReport) -> TrialReport | None:
        """Of two reports the one that the strategy will rank first, though results arrive shuffled."""
        if not isinstance(report.outcome, Potential) or report.trial.stop_step < self._steps:
            return best
        if not self._plan.objective.takes(report.outcome):
            return best
        candidates = [report] if best is None else [best, report]
        utilities = self._plan.objective.utilities([_potential(one) for one in candidates])
        order = zip(utilities, candidates, strict=True)
        return max(order, key=lambda pair: (pair[0], -self._proposed[pair[1].trial.key]))[1]

    async def _let_go(self, cohort: Cohort) -> None:
        """Keep of a cohort's pictures the best one's bytes, and nothing else; all where ranks may change later."""
        if self._looks_again and self._plan.objective.method is not Scalarisation.RANK_SUM:
            for key in cohort.keys & self._reports.keys():
                await self._drop(self._reports[key])

    async def _drop(self, report: TrialReport | None) -> None:
        if report is not None and report.picture is not None and report is not self._best:
            await self._shelf.drop(report.picture)

    def _round_finished(self, cohort: Cohort, best: Ranked) -> RoundFinished:
        outcomes = [self._reports[key].outcome for key in sorted(cohort.keys & self._reports.keys())]
        values = [outcome.value for outcome in outcomes if isinstance(outcome, Potential) and outcome.complete]
        return RoundFinished(
            generation=cohort.generation,
            best_candidate_id=best.candidate.id,
            best_potential=best.potential.value,
            mean_potential=math.fsum(values) / len(values) if values else None,
            note=cohort.note,
        )

    async def _finish(self, edit: Edit, strategy: Strategy, prior: Evaluation) -> None:
        best = strategy.best()
        picture, evaluation = self._winner(edit, best, prior)
        delivered = await self._stages.deliver(edit, picture)
        timings = {**self._stopwatch.spent_s(), "total": self._ledger.spent.wall_s}
        _log.info("search %s: %s after %.2f s", self._plan.search_id, strategy.stop_reason, timings["total"])
        finals = [one for one in strategy.history() if one.trial.stop_step == strategy.steps]
        first = self._reports.get(finals[0].trial.key) if finals else None
        await self._emit(
            SearchFinished(
                best=None if best is None else best.candidate,
                picture=picture,
                evaluation=evaluation,
                lineage=() if best is None else lineage_of(best.candidate.id, self._reports),
                statistics=summarise(strategy.history(), steps=strategy.steps),
                missing_scores=self._missing_scores(),
                prior_potential=measured(prior.potential),
                stop_reason=strategy.stop_reason or StopReason.COMPLETED,
                spent=self._ledger.spent,
                pareto_front=front_of(strategy),
                gains=gains_of(
                    evaluation,
                    None if first is None else first.evaluation,
                    prior,
                    self._plan.objective,
                    self._plan.scorers,
                ),
                pruning=strategy.pruning.reason,
                diversity=strategy.diversity,
                timings_s=timings,
                versions=versions(edit.checkpoint, self._stages.judges),
                noise_shape=edit.checkpoint.latent_shape_of(edit.inputs.frame.size),
                delivered=delivered,
            )
        )

    def _winner(self, edit: Edit, best: Ranked | None, prior: Evaluation) -> tuple[str, Evaluation]:
        """The best picture's artifact and scores; the prior where time was up before any other was done."""
        if best is None:
            return edit.digests["prior"], prior
        report = self._reports[TrialKey(best.candidate.id, self._steps)]
        if report.picture is None or report.evaluation is None:
            raise EvaluationFailed(f"the best candidate {best.candidate.id} has no picture")
        return report.picture, report.evaluation

    def _missing_scores(self) -> int:
        evaluations = (report.evaluation for report in self._reports.values())
        return sum(len(evaluation.card.missing) for evaluation in evaluations if evaluation is not None)


def _potential(report: TrialReport) -> Potential:
    if not isinstance(report.outcome, Potential):
        raise EvaluationFailed(f"{report.trial.candidate.id} has no potential")
    return report.outcome


def _card(report: TrialReport) -> ScoreCard:
    if report.evaluation is None:
        raise EvaluationFailed(f"{report.trial.candidate.id} was not scored")
    return report.evaluation.card
