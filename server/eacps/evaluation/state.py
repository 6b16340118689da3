"""The state of a search, and its records, from which an interrupted search resumes.

The state is the edit, the scores of the prior, the strategy, and the reports of the candidates: their pictures, scores
and potentials. A search records every piece of progress as one `Record`: what it reports, and the parts of its state
that changed. A recorder stores each record as a whole or not at all. All records together are the `Progress` of a
search. `eacps.evaluation.codec` encodes the state.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from eacps.evaluation.plan import Edit
from eacps.evaluation.updates import Evaluation, SearchUpdate
from eacps.search.cohort import Candidate, Cohort, Failed, Outcome, Ranked, Skipped
from eacps.search.objective import Objective
from eacps.search.potential import Potential, ScoreCard
from eacps.search.strategy import Strategy


@dataclass(frozen=True)
class Latents:
    """Latents of a finished picture, from which restarts of it begin.

    Args:
        digest: Artifact of ``float32 [tokens, channels]``.
        shape: Tokens and channels.
    """

    digest: str
    shape: tuple[int, int]


@dataclass(frozen=True)
class Report:
    """The outcome of a candidate.

    Args:
        candidate: Which.
        picture: Artifact of its picture; None where there is none.
        evaluation: Its scores; None where there is no picture.
        failure: Why it has no potential; None where it has one.
        latents: Of the picture; None where it is never restarted.
    """

    candidate: Candidate
    picture: str | None
    evaluation: Evaluation | None
    failure: str | None
    latents: Latents | None = None

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


def report_of_scores(
    candidate: Candidate, picture: str, card: ScoreCard, objective: Objective, latents: Latents | None = None
) -> Report:
    """Return the report of a candidate whose picture was scored."""
    evaluation = evaluation_of(card, objective)
    failure = None
    if evaluation.potential is None:
        failure = "not one scorer answered: " + "; ".join(f"{name}: {why}" for name, why in card.missing.items())
    return Report(candidate, picture, evaluation, failure, latents)


def report_of_failure(candidate: Candidate, reason: str) -> Report:
    """Return the report of a candidate that has no picture."""
    return Report(candidate, None, None, reason)


class Reports:
    """Reports of one search, by the ids of the candidates.

    Args:
        objective: Ranks them.
    """

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self._reports: dict[str, Report] = {}
        self._proposed: dict[str, int] = {}
        self._best: Report | None = None
        self._averaged: dict[str, ScoreCard] = {}

    def __len__(self) -> int:
        return len(self._reports)

    def __iter__(self) -> Iterator[Report]:
        return iter(self._reports.values())

    def __contains__(self, candidate_id: str) -> bool:
        return candidate_id in self._reports

    def __getitem__(self, candidate_id: str) -> Report:
        return self._reports[candidate_id]

    @property
    def best_potential(self) -> float | None:
        """Highest potential so far; None where there is none yet."""
        return None if self._best is None or self._best.potential is None else self._best.potential.value

    @property
    def averaged(self) -> Mapping[str, ScoreCard]:
        """Mean scores of the candidates about which stochastic scorers were asked again."""
        return self._averaged

    @property
    def any_scored(self) -> bool:
        """Whether any candidate has a potential."""
        return any(report.potential is not None for report in self)

    @property
    def last_failed(self) -> bool:
        """Whether the last candidate has no picture."""
        last = next(reversed(self._reports.values()), None)
        return last is not None and last.picture is None

    def propose(self, candidates: Iterable[Candidate]) -> None:
        """Note the order in which candidates are proposed: of equals the first proposed ranks first."""
        for candidate in candidates:
            self._proposed.setdefault(candidate.id, len(self._proposed))

    def add(self, report: Report) -> None:
        """Record a report of a proposed candidate."""
        self._reports[report.candidate.id] = report
        self._best = self._better(self._best, report)

    def average(self, candidate_id: str, card: ScoreCard) -> None:
        """Record mean scores of a candidate that was reported before."""
        self._averaged[candidate_id] = card
        before = self._reports[candidate_id]
        if before.picture is not None:
            after = report_of_scores(before.candidate, before.picture, card, self._objective, before.latents)
            self._reports[candidate_id] = after

    def set_best(self, best: Ranked | None) -> None:
        """Take for the best so far what the strategy ranks first: scores, or ranks among them, may have changed."""
        self._best = None if best is None else self._reports[best.candidate.id]

    def unreported(self, cohort: Cohort) -> list[Candidate]:
        """Return the candidates of a cohort that are still to be evaluated."""
        return [candidate for candidate in cohort.candidates if candidate.id not in self._reports]

    def of(self, cohort: Cohort) -> list[Report]:
        """Return the reports of a cohort, in order of proposal."""
        return [self._reports[one.id] for one in cohort.candidates if one.id in self._reports]

    def outcomes(self, cohort: Cohort) -> dict[str, Outcome]:
        """Return what the strategy takes in: candidates that were not evaluated are skipped."""
        known: dict[str, Outcome] = {report.candidate.id: report.outcome for report in self.of(cohort)}
        return {one.id: known.get(one.id, Skipped()) for one in cohort.candidates}

    def _better(self, best: Report | None, report: Report) -> Report | None:
        """Return the one of two reports that the strategy will rank first, though results arrive shuffled."""
        known = report.potential
        if known is None or not self._objective.takes(known):
            return best
        if best is None or best.potential is None:
            return report
        of_best, of_report = self._objective.utilities([best.potential, known])
        earlier = self._proposed[report.candidate.id] < self._proposed[best.candidate.id]
        return report if of_report > of_best or (of_report == of_best and earlier) else best


@dataclass(frozen=True)
class PreparedSearch:
    """The state of a search between preparation and finish.

    Args:
        edit: Shared by all candidates.
        prior_evaluation: Scores of the prior.
        strategy: Proposes the cohorts.
        reports: Outcomes of the candidates.
    """

    edit: Edit
    prior_evaluation: Evaluation
    strategy: Strategy
    reports: Reports


@dataclass(frozen=True)
class Entry:
    """One event of a search.

    Args:
        update: The event.
        report: Encoded `Report` of a candidate; None for other events.
    """

    update: SearchUpdate
    report: str | None = None


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
        """Store a record as a whole. If this raises, it may be stored or not: the progress has to be read again."""
        ...


@dataclass(frozen=True)
class Progress:
    """Everything that was recorded of a search.

    Args:
        parts: The latest of each part of its state, by name; at least the checkpoint.
        reports: Encoded, in the order in which they were recorded.
        spent: Budget spent, as last recorded, as JSON.
    """

    parts: Mapping[str, str]
    reports: Sequence[str]
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
        reports = [entry.report for record in kept for entry in record.entries if entry.report is not None]
        return Progress(parts, reports, kept[-1].spent)
