"""The state of a search, and its records, from which an interrupted search resumes.

The state is the edit, the scores of the prior, the strategy, and the reports of the trials: their pictures, scores and
potentials. A search records every piece of progress as one `Record`: what it reports, and the parts of its state that
changed. A recorder stores each record as a whole or not at all. All records together are the `Progress` of a search.
`eacps.evaluation.codec` encodes the state.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from eacps.evaluation.plan import Edit
from eacps.evaluation.updates import Evaluation, SearchUpdate
from eacps.search.cohort import Cohort, Failed, Outcome, Ranked, Skipped, Trial, TrialKey
from eacps.search.objective import Objective
from eacps.search.potential import Potential
from eacps.search.scores import ScoreCard
from eacps.search.strategy import Strategy


@dataclass(frozen=True)
class Latents:
    """Latents from which the trajectory of a previewed candidate continues.

    Args:
        digest: Artifact of ``float32 [tokens, channels]``.
        shape: Tokens and channels.
    """

    digest: str
    shape: tuple[int, int]


@dataclass(frozen=True)
class TrialReport:
    """The outcome of a trial.

    Args:
        trial: Which.
        picture: Artifact of its picture; None where there is none.
        evaluation: Its scores; None where there is no picture.
        failure: Why it has no potential; None where it has one.
        latents: Of a preview, and of a finished picture that may be restarted; None where they are not needed.
    """

    trial: Trial
    picture: str | None
    evaluation: Evaluation | None
    failure: str | None
    latents: Latents | None = None

    @property
    def key(self) -> TrialKey:
        """Name of the trial."""
        return self.trial.key

    @property
    def outcome(self) -> Outcome:
        """What the strategy takes in."""
        if self.evaluation is None or self.evaluation.potential is None:
            return Failed(self.failure or "not evaluated")
        return self.evaluation.potential

    @property
    def potential(self) -> Potential | None:
        """Its potential; None where it has none."""
        return None if self.evaluation is None else self.evaluation.potential

    @property
    def card(self) -> ScoreCard:
        """Its scores; an empty card where it has no picture."""
        return ScoreCard({}) if self.evaluation is None else self.evaluation.card


def evaluation_of(card: ScoreCard, objective: Objective) -> Evaluation:
    """Return what scores amount to; no potential where not one weighted scorer answered."""
    answered = any(name in card.values for name in objective.weights.normalized)
    return Evaluation(card, objective.potential(card) if answered else None)


def scored(
    trial: Trial, picture: str, card: ScoreCard, objective: Objective, latents: Latents | None = None
) -> TrialReport:
    """Return the report of a trial whose picture was scored."""
    evaluation = evaluation_of(card, objective)
    failure = None
    if evaluation.potential is None:
        failure = "not one scorer answered: " + "; ".join(f"{name}: {why}" for name, why in card.missing.items())
    return TrialReport(trial, picture, evaluation, failure, latents)


def failed(trial: Trial, reason: str) -> TrialReport:
    """Return the report of a trial that has no picture."""
    return TrialReport(trial, None, None, reason)


class Reports:
    """Reports of one search.

    Args:
        objective: Ranks them.
        steps: Of the full schedule; only trials that stop there may be the best.
    """

    def __init__(self, objective: Objective, steps: int) -> None:
        self._objective, self._steps = objective, steps
        self._reports: dict[TrialKey, TrialReport] = {}
        self._proposed: dict[TrialKey, int] = {}
        self._latents: dict[str, TrialReport] = {}  # by candidate: its furthest trial that left latents
        self._best: TrialReport | None = None
        self._averaged: dict[TrialKey, ScoreCard] = {}

    def __len__(self) -> int:
        return len(self._reports)

    def __iter__(self) -> Iterator[TrialReport]:
        return iter(self._reports.values())

    def __contains__(self, key: TrialKey) -> bool:
        return key in self._reports

    def __getitem__(self, key: TrialKey) -> TrialReport:
        return self._reports[key]

    @property
    def best_potential(self) -> float | None:
        """Highest potential so far; None where there is none yet."""
        return None if self._best is None or self._best.potential is None else self._best.potential.value

    @property
    def averaged(self) -> Mapping[TrialKey, ScoreCard]:
        """Mean scores of the trials about which stochastic scorers were asked again."""
        return self._averaged

    @property
    def any_scored(self) -> bool:
        """Whether any trial has a potential."""
        return any(report.potential is not None for report in self)

    @property
    def last_failed(self) -> bool:
        """Whether the last trial has no picture."""
        last = next(reversed(self._reports.values()), None)
        return last is not None and last.picture is None

    def propose(self, trials: Iterable[Trial]) -> None:
        """Note the order in which trials are proposed: of equals the first proposed ranks first."""
        for trial in trials:
            self._proposed.setdefault(trial.key, len(self._proposed))

    def add(self, report: TrialReport) -> None:
        """Take in a report of a proposed trial."""
        self._reports[report.key] = report
        if report.latents is not None:
            self._latents[report.key.candidate_id] = report
        self._best = self._better(self._best, report)

    def average(self, key: TrialKey, card: ScoreCard) -> None:
        """Take in mean scores of a trial that was reported before."""
        self._averaged[key] = card
        before = self._reports[key]
        if before.picture is not None:
            self._reports[key] = scored(before.trial, before.picture, card, self._objective, before.latents)

    def settle(self, best: TrialKey | None) -> None:
        """Take for the best so far what the strategy ranks first: scores, or ranks among them, may have changed."""
        self._best = None if best is None else self._reports[best]

    def unreported(self, cohort: Cohort) -> list[Trial]:
        """Return the trials of a cohort that are still to be evaluated."""
        return [trial for trial in cohort.trials if trial.key not in self._reports]

    def of(self, cohort: Cohort) -> list[TrialReport]:
        """Return the reports of a cohort, in order of proposal."""
        return [self._reports[trial.key] for trial in cohort.trials if trial.key in self._reports]

    def outcomes(self, cohort: Cohort) -> dict[TrialKey, Outcome]:
        """Return what the strategy takes in: trials that were not evaluated are skipped."""
        known: dict[TrialKey, Outcome] = {report.key: report.outcome for report in self.of(cohort)}
        return {key: known.get(key, Skipped()) for key in cohort.keys}

    def goes_on_from(self, trial: Trial) -> TrialReport | None:
        """Return the report whose latents a trial begins with, its preview's or its parent's; None: it begins anew."""
        candidate = trial.candidate
        if candidate.start_step:
            return self._latents.get(candidate.parents[0])
        preview = self._latents.get(candidate.id)
        if trial.draft or preview is None or preview.key.stop_step >= trial.stop_step:
            return None
        return preview

    def steps_of(self, trial: Trial) -> int:
        """Return the denoising steps that a trial's picture takes, without those of its preview."""
        if trial.draft:
            return trial.stop_step
        preview = None if trial.candidate.start_step else self.goes_on_from(trial)
        return trial.candidate.evaluations(trial.stop_step) - (0 if preview is None else preview.key.stop_step)

    def _better(self, best: TrialReport | None, report: TrialReport) -> TrialReport | None:
        """Return the one of two reports that the strategy will rank first, though results arrive shuffled."""
        known = report.potential
        if known is None or report.key.stop_step < self._steps or not self._objective.takes(known):
            return best
        if best is None or best.potential is None:
            return report
        of_best, of_report = self._objective.utilities([best.potential, known])
        earlier = self._proposed[report.key] < self._proposed[best.key]
        return report if of_report > of_best or (of_report == of_best and earlier) else best


@dataclass(frozen=True)
class PreparedSearch:
    """The state of a search between preparation and finish.

    Args:
        edit: Shared by all candidates.
        prior: Scores of the prior.
        strategy: Proposes the cohorts.
        reports: Outcomes of the trials.
    """

    edit: Edit
    prior: Evaluation
    strategy: Strategy
    reports: Reports

    def key_of(self, ranked: Ranked | None) -> TrialKey | None:
        """Return the trial of a ranked candidate's final picture."""
        return None if ranked is None else TrialKey(ranked.candidate.id, self.strategy.steps)


@dataclass(frozen=True)
class Entry:
    """One event of a search.

    Args:
        update: The event.
        trial: Encoded `TrialReport` of a candidate; None for other events.
    """

    update: SearchUpdate
    trial: str | None = None


@dataclass(frozen=True)
class Record:
    """One step of progress of a search.

    Args:
        entries: Its events, in order.
        spent: Budget spent so far, as JSON.
        parts: Encoded parts of the state that changed, by name.
    """

    entries: Sequence[Entry]
    spent: str
    parts: Mapping[str, str] = field(default_factory=dict)


class Recorder(Protocol):
    """Stores the records of one search."""

    async def record(self, record: Record) -> None:
        """Store a record as a whole; if this raises, nothing is stored."""
        ...


@dataclass(frozen=True)
class Progress:
    """Everything that was recorded of a search.

    Args:
        parts: The latest of each part of its state, by name; at least the checkpoint.
        trials: Encoded reports, in the order in which they were recorded.
        spent: Budget spent, as last recorded, as JSON.
    """

    parts: Mapping[str, str]
    trials: Sequence[str]
    spent: str


class MemoryRecorder:
    """A `Recorder` in memory."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    @property
    def updates(self) -> list[SearchUpdate]:
        """All events, in order."""
        return [entry.update for record in self.records for entry in record.entries]

    async def record(self, record: Record) -> None:
        """See `Recorder.record`."""
        self.records.append(record)

    def progress(self, records: int | None = None) -> Progress | None:
        """Return the progress after the first ``records`` records, by default all; None if there are none."""
        kept = self.records[:records]
        if not kept:
            return None
        parts = {name: text for record in kept for name, text in record.parts.items()}
        trials = [entry.trial for record in kept for entry in record.entries if entry.trial is not None]
        return Progress(parts, trials, kept[-1].spent)
