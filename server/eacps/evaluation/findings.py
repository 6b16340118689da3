"""What a finished search found, put together for its last update."""

from collections.abc import Iterable, Mapping

from eacps.evaluation.pipeline import TrialReport
from eacps.evaluation.updates import Evaluation, Gain
from eacps.search.cohort import TrialKey
from eacps.search.objective import Objective, pareto_front
from eacps.search.strategy import Strategy


def gains_of(
    best: Evaluation, first: Evaluation | None, prior: Evaluation, objective: Objective, scorers: Iterable[str]
) -> dict[str, Gain]:
    """Compare the best with candidate 0 and with the prior, scorer by scorer, in raw scores."""
    return {
        name: Gain(
            held_out=name in objective.held_out,
            over_first=_difference(best, first, name),
            over_prior=_difference(best, prior, name),
        )
        for name in scorers
    }


def front_of(strategy: Strategy) -> tuple[str, ...]:
    """Name the final candidates that no other one beats in every weighted score, best first."""
    ranking = strategy.ranking()
    return tuple(ranking[place].candidate.id for place in pareto_front([one.potential for one in ranking]))


def lineage_of(candidate_id: str, reports: Mapping[TrialKey, TrialReport]) -> tuple[str, ...]:
    """Name the ancestors of a candidate, itself first; of two parents the first one's."""
    parents = {key.candidate_id: report.trial.candidate.parents for key, report in reports.items()}
    ids = [candidate_id]
    while parents[ids[-1]]:
        ids.append(parents[ids[-1]][0])
    return tuple(ids)


def _difference(one: Evaluation, other: Evaluation | None, name: str) -> float | None:
    if other is None or name not in one.card.raw or name not in other.card.raw:
        return None
    return one.card.raw[name] - other.card.raw[name]
