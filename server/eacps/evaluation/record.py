"""What remains of a search: enough to make every one of its pictures again, and to see how it was found."""

from collections.abc import Mapping
from typing import Any

from eacps.evaluation.edit import Edit
from eacps.evaluation.pipeline import TrialReport
from eacps.evaluation.plan import SearchPlan
from eacps.evaluation.steps import Json
from eacps.evaluation.versions import versions
from eacps.search.cohort import TrialKey
from eacps.search.strategy import Strategy


def record_of(plan: SearchPlan, edit: Edit, strategy: Strategy, reports: Mapping[TrialKey, TrialReport]) -> Json:
    """Give the record of a finished search, JSON-able, pictures by content hash."""
    return {
        "versions": versions(edit.checkpoint),
        "noise": {"shape": list(edit.checkpoint.latent_shape), "dtype": "float32"},
        "artifacts": dict(edit.digests),
        "prompt": plan.prompt,
        "negative_prompt": plan.negative_prompt,
        "sampler": {"steps": edit.steps, "true_cfg_scale": plan.true_cfg_scale},
        "spec": plan.spec.to_dict(),
        "weights": plan.weights.normalised,
        "trials": [_trial(reports[evaluated.trial.key]) for evaluated in strategy.history()],
    }


def _trial(report: TrialReport) -> dict[str, Any]:
    evaluation = report.evaluation
    card = evaluation.card if evaluation is not None else None
    known = evaluation.potential if evaluation is not None else None
    return {
        **report.trial.candidate.to_dict(),
        "stop_step": report.trial.stop_step,
        "picture": report.picture,
        "scores": dict(card.values) if card is not None else {},
        "missing": dict(card.missing) if card is not None else {},
        "potential": known.value if known is not None else None,
        "failure": report.failure,
    }
