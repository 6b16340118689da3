"""A cohort through generation and scoring, in micro-batches: while one is scored, the next is generated."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from eacps.evaluation.edit import Edit
from eacps.evaluation.plan import SearchPlan
from eacps.evaluation.stages import Stages
from eacps.evaluation.updates import Evaluation
from eacps.search.cohort import Cohort, Failed, Outcome, Trial, TrialKey
from eacps.search.objective import Objective
from eacps.search.scores import ScoreCard


@dataclass(frozen=True)
class TrialReport:
    """What became of a trial.

    Args:
        trial: Which.
        picture: Artifact of its picture; None where there is none.
        evaluation: Its scores; None where there is no picture.
        failure: Why it has no potential; None where it has one.
    """

    trial: Trial
    picture: str | None
    evaluation: Evaluation | None
    failure: str | None

    @property
    def outcome(self) -> Outcome:
        """What the strategy is told."""
        if self.evaluation is None or self.evaluation.potential is None:
            return Failed(self.failure or "not evaluated")
        return self.evaluation.potential


async def evaluate_cohort(
    cohort: Cohort,
    *,
    plan: SearchPlan,
    edit: Edit,
    stages: Stages,
    unscored_batches: int,
    report: Callable[[TrialReport], Awaitable[None]],
    told: Sequence[TrialKey] = (),
) -> None:
    """Evaluate all trials of a cohort and report each as soon as it is known.

    Args:
        cohort: What the strategy asks for.
        plan: Of the search.
        edit: What all candidates share.
        stages: Do the work.
        unscored_batches: So many micro-batches at most are under way, not yet scored and reported.
        report: Called once for every trial, one at a time, in order of completion.
        told: Trials of the cohort that were reported before in this order, in a run of the search that was cut off.
            They are reported in the same order again, before all others.

    Raises:
        ExceptionGroup: Holds what ended the cohort, such as two failed micro-batches in a row.
    """
    slots = asyncio.Semaphore(unscored_batches)
    one_at_a_time = asyncio.Lock()
    first, waiting = list(told), dict[TrialKey, TrialReport]()

    batches = micro_batches(cohort.trials, plan.micro_batch)

    async def evaluate(batch: Sequence[Trial]) -> None:
        # The sampler takes one batch at a time; encoding and scoring one overlap the generation of the next.
        with stages.watching(batch):
            pictures = await stages.generate(edit, batch, expendable=len(batches) > 1)
            reports = await _reports(batch, pictures, plan=plan, edit=edit, stages=stages)
        async with one_at_a_time:
            waiting.update((one.trial.key, one) for one in reports)
            while first and first[0] in waiting:
                await report(waiting.pop(first.pop(0)))
            while waiting and not first:
                await report(waiting.pop(next(iter(waiting))))  # waits for a slow reader, and generation with it
        slots.release()  # not in a finally: whatever fails here ends the whole cohort

    async with asyncio.TaskGroup() as group:
        for batch in batches:
            await slots.acquire()
            group.create_task(evaluate(batch))


def micro_batches(trials: Sequence[Trial], size: int) -> list[tuple[Trial, ...]]:
    """Cut trials into batches of at most ``size`` that stop at the same step, in order of proposal."""
    by_stop = sorted(trials, key=lambda trial: trial.stop_step)
    groups = (tuple(group) for _, group in groupby(by_stop, key=lambda trial: trial.stop_step))
    return [group[start : start + size] for group in groups for start in range(0, len(group), size)]


def evaluation_of(card: ScoreCard, objective: Objective) -> Evaluation:
    """Give what scores amount to; no potential where not one weighted scorer answered."""
    answered = any(name in card.values for name in objective.weights.normalised)
    return Evaluation(card, objective.potential(card) if answered else None)


async def _reports(
    batch: Sequence[Trial], pictures: Mapping[str, str] | str, *, plan: SearchPlan, edit: Edit, stages: Stages
) -> list[TrialReport]:
    if isinstance(pictures, str):
        return [TrialReport(trial, None, None, pictures) for trial in batch]
    cards = await stages.score(edit, pictures)
    return [
        report_of(trial, pictures[trial.candidate.id], cards[trial.candidate.id], plan.objective) for trial in batch
    ]


def report_of(trial: Trial, picture: str, card: ScoreCard, objective: Objective) -> TrialReport:
    """Give what became of a trial whose picture was scored."""
    evaluation = evaluation_of(card, objective)
    failure = None
    if evaluation.potential is None:
        failure = "not one scorer answered: " + "; ".join(f"{name}: {why}" for name, why in card.missing.items())
    return TrialReport(trial, picture, evaluation, failure)
