"""The course of one search: prior, rounds, result; each event told as it happens."""

import logging
import math
from collections.abc import Awaitable, Callable

from eacps.errors import EvaluationFailed
from eacps.evaluation.deadline import Deadline
from eacps.evaluation.edit import Edit
from eacps.evaluation.pictures import hash_of, png_of, thumbnail_of
from eacps.evaluation.pipeline import TrialReport, evaluate_cohort, evaluation_of
from eacps.evaluation.plan import SearchPlan
from eacps.evaluation.ports import Laboratory
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
from eacps.search.cohort import Cohort, Ranked, TrialKey
from eacps.search.potential import Potential
from eacps.search.statistics import measured, summarise
from eacps.search.strategy import Strategy
from eacps.triton.types import ServedCheckpoint

_log = logging.getLogger(__name__)


class Session:
    """One search under way.

    Args:
        plan: What is searched for.
        laboratory: Where.
        deadline: Bounds every call.
        emit: Told every update; may block while the reader is slow.
    """

    def __init__(
        self,
        plan: SearchPlan,
        laboratory: Laboratory,
        deadline: Deadline,
        emit: Callable[[SearchUpdate], Awaitable[None]],
    ) -> None:
        self._plan, self._laboratory, self._emit = plan, laboratory, emit
        self._stopwatch = Stopwatch()
        self._shelf = Shelf(laboratory.artifacts)
        self._stages = Stages(plan, laboratory, self._shelf, deadline, self._stopwatch)
        self._reports: dict[TrialKey, TrialReport] = {}
        self._proposed: dict[TrialKey, int] = {}  # order of proposal
        self._best: TrialReport | None = None

    async def run(self) -> None:
        """Run the search to its end. Raises what `eacps.evaluation.run_search` raises."""
        with self._stopwatch.measure("total"):
            checkpoint = await self._stages.describe()
            strategy = factory.create(self._plan.spec, steps=self._plan.steps or checkpoint.default_steps)
            await self._start(checkpoint, strategy)
            edit = await self._stages.prepare(checkpoint)
            self._plan = self._plan.without_pictures()
            prior = await self._report_prior(edit)
            while not strategy.done:
                await self._round(strategy, edit)
            best = strategy.best()
            if best is None:  # the first round would have raised
                raise EvaluationFailed("no candidate could be evaluated")
        await self._finish(edit, strategy, best, prior)

    async def _start(self, checkpoint: ServedCheckpoint, strategy: Strategy) -> None:
        plan = self._plan
        _log.info(
            "search %s: %d candidates of %d steps on %s, scored by %s",
            plan.search_id,
            plan.spec.total_candidates,
            strategy.steps,
            checkpoint.name,
            ", ".join(sorted(plan.weights.raw)),
        )
        await self._emit(
            SearchStarted(
                search_id=plan.search_id,
                planned_candidates=plan.spec.total_candidates,
                random_seed=plan.spec.seed,
                checkpoint=checkpoint,
                steps=strategy.steps,
                weights={**dict.fromkeys(plan.weights.raw, 0.0), **plan.weights.normalised},
            )
        )

    async def _report_prior(self, edit: Edit) -> Evaluation:
        cards = await self._stages.score(edit, {"prior": edit.digests["prior"]})
        self._shelf.put_away(edit.digests["prior"])
        evaluation = evaluation_of(cards["prior"], self._plan.weights)
        await self._emit(
            PriorReady(
                prior=await png_of(edit.prior),
                scene=await png_of(edit.inputs.scene),
                evaluation=evaluation,
                scene_box=edit.scene_box,
                character_box=edit.character_box,
            )
        )
        return evaluation

    async def _round(self, strategy: Strategy, edit: Edit) -> None:
        cohort = strategy.ask()
        self._proposed |= {trial.key: len(self._proposed) + index for index, trial in enumerate(cohort.trials)}
        await evaluate_cohort(
            cohort,
            plan=self._plan,
            edit=edit,
            stages=self._stages,
            unscored_batches=self._laboratory.pace.unscored_batches,
            report=self._report,
        )
        strategy.tell({key: self._reports[key].outcome for key in cohort.keys})
        best = strategy.best()
        if best is None:
            # Pictures were made, or the sampler's own error would have ended the search.
            reasons = sorted(one.failure or "" for one in self._reports.values() if one.picture is not None)
            raise EvaluationFailed(f"not one of {len(reasons)} pictures could be scored: {reasons[0]}")
        await self._emit(self._round_finished(cohort, best))

    async def _report(self, report: TrialReport) -> None:
        self._reports[report.trial.key] = report
        before, self._best = self._best, self._better(self._best, report)
        thumbnail, digest = b"", ""
        if report.picture is not None:
            picture = await self._shelf.get(report.picture)
            thumbnail, digest = await thumbnail_of(picture), await hash_of(picture)
        await self._emit(
            CandidateScored(
                candidate=report.trial.candidate,
                evaluation=report.evaluation,
                failure=report.failure,
                thumbnail=thumbnail,
                picture_sha256=digest,
                done=len(self._reports),
                best_potential=None if self._best is None else _value(self._best),
            )
        )
        for one in (before, report):
            await self._let_go(one)

    def _better(self, best: TrialReport | None, report: TrialReport) -> TrialReport | None:
        """Of two reports the one that the strategy will rank first, though results arrive shuffled."""
        if not isinstance(report.outcome, Potential):
            return best
        candidates = [report] if best is None else [best, report]
        return max(candidates, key=lambda one: (_value(one), -self._proposed[one.trial.key]))

    async def _let_go(self, report: TrialReport | None) -> None:
        """Keep of reported pictures the best one's bytes, and nothing else."""
        if report is None or report.picture is None:
            return
        self._shelf.put_away(report.picture)
        if report is not self._best:
            await self._shelf.drop(report.picture)

    def _round_finished(self, cohort: Cohort, best: Ranked) -> RoundFinished:
        outcomes = [self._reports[trial.key].outcome for trial in cohort.trials]
        values = [outcome.value for outcome in outcomes if isinstance(outcome, Potential) and outcome.complete]
        return RoundFinished(
            generation=cohort.generation,
            best_candidate_id=best.candidate.id,
            best_potential=best.potential.value,
            mean_potential=math.fsum(values) / len(values) if values else None,
        )

    async def _finish(self, edit: Edit, strategy: Strategy, best: Ranked, prior: Evaluation) -> None:
        report = self._reports[TrialKey(best.candidate.id, strategy.steps)]
        if report.picture is None or report.evaluation is None:
            raise EvaluationFailed(f"the best candidate {best.candidate.id} has no picture")
        timings = self._stopwatch.spent_s()
        _log.info("search %s: best %.4f after %.2f s", self._plan.search_id, best.potential.value, timings["total"])
        await self._emit(
            SearchFinished(
                best=best.candidate,
                picture=await self._laboratory.artifacts.get(report.picture),
                evaluation=report.evaluation,
                lineage=self._lineage(best, strategy.steps),
                statistics=summarise(strategy.history(), steps=strategy.steps),
                missing_scores=self._missing_scores(),
                prior_potential=measured(prior.potential),
                denoiser_evaluations=self._denoiser_evaluations(),
                timings_s=timings,
                versions=versions(edit.checkpoint, self._stages.judges),
                noise_shape=edit.checkpoint.latent_shape,
            )
        )

    def _lineage(self, best: Ranked, steps: int) -> tuple[str, ...]:
        ids = [best.candidate.id]
        while parents := self._reports[TrialKey(ids[-1], steps)].trial.candidate.parents:
            ids.append(parents[0])
        return tuple(ids)

    def _missing_scores(self) -> int:
        evaluations = (report.evaluation for report in self._reports.values())
        return sum(len(evaluation.card.missing) for evaluation in evaluations if evaluation is not None)

    def _denoiser_evaluations(self) -> int:
        steps = sum(key.stop_step for key, report in self._reports.items() if report.picture is not None)
        return steps * (2 if self._plan.guided else 1)


def _value(report: TrialReport) -> float:
    return report.outcome.value if isinstance(report.outcome, Potential) else 0.0
