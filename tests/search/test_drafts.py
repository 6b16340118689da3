"""Drafts: coarse trajectories from the same noise that say which candidates are worth a full one."""

import json
import math
from collections.abc import Mapping

import numpy as np
import pytest

from eacps.errors import InvalidSearchSpec
from eacps.search.calibration import Calibration, Landscape
from eacps.search.cohort import Candidate, Cohort, Failed, Move, Outcome, Trial, TrialKey, evaluations_of
from eacps.search.factory import restore
from eacps.search.potential import Potential
from eacps.search.pruning import Pruning, PruningMode
from eacps.search.recipe import Recipe
from eacps.search.spec import AdaptiveSpec, BestOfNSpec, SearchSpec
from tests.search.contexts import create
from tests.search.test_adaptive import STEPS, Field

TOLD = {2: 0.73, 3: 0.92}
"""How drafts of so many of eight steps correlated with finals on studio-mini."""
DRAFTED = Calibration(landscape=Landscape(1.2, 0.5, 0.05, 0.01), drafts={d / STEPS: r for d, r in TOLD.items()})


def drafts(steps: int, kept: float) -> Pruning:
    return Pruning(PruningMode.FIXED, ((steps / STEPS, kept),), drafts=True)


def outcomes(
    cohort: Cohort, field: Field, rng: np.random.Generator, correlations: Mapping[int, float] = TOLD
) -> dict[TrialKey, Outcome]:
    told: dict[TrialKey, Outcome] = {}
    for trial in cohort.trials:
        height, r = field.height(trial.candidate.recipe), correlations[trial.stop_step] if trial.draft else 1.0
        seen = r * height + math.sqrt(1 - r**2) * rng.standard_normal()
        told[trial.key] = Potential(min(1.0, max(0.0, 0.5 + 0.05 * seen)))
    return told


def reached(spec: SearchSpec, seed: int, told: Mapping[int, float]) -> float:
    """Height of a search's best; it never costs more than its trajectories."""
    calibration = Calibration(landscape=DRAFTED.landscape, drafts={d / STEPS: r for d, r in told.items()})
    strategy, field = create(spec, steps=STEPS, calibration=calibration), Field(seed, 1.6)
    rng, trials = np.random.default_rng([seed, 1]), list[Trial]()
    while not strategy.done and (cohort := strategy.ask()) is not None:
        trials += cohort.trials
        strategy.tell(outcomes(cohort, field, rng, told))
    assert evaluations_of(trials) <= spec.total_candidates * STEPS
    best = strategy.best()
    assert best is not None
    return field.height(best.candidate.recipe)


def test_a_candidates_trajectories_share_their_first_evaluation() -> None:
    def trial(name: str, stop: int, *, draft: bool = False) -> Trial:
        return Trial(Candidate(name, Recipe.from_seed(1), (), 0, Move.EXPLORE), stop, draft)

    assert evaluations_of([trial("a", 3, draft=True)]) == 3
    assert evaluations_of([trial("a", 3, draft=True), trial("a", 8)]) == 3 + 7
    assert evaluations_of([trial("a", 2, draft=True), trial("a", 3, draft=True), trial("a", 8)]) == 2 + 2 + 7
    assert evaluations_of([trial("a", 2), trial("a", 8), trial("b", 8), trial("c", 2, draft=True)]) == 8 + 8 + 2


def test_a_round_is_drafted_and_its_promising_candidates_run_in_full() -> None:
    strategy = create(BestOfNSpec(1, 8, pruning=drafts(3, 0.25)), steps=STEPS, calibration=DRAFTED)
    first = strategy.ask()
    assert {(trial.stop_step, trial.draft) for trial in first.trials} == {(3, True)}
    assert len(first.trials) * 3 + len(first.trials) // 4 * 7 <= 8 * STEPS < (len(first.trials) + 1) * 3 + 4 * 7
    told = {trial.key: Potential(n / 100) for n, trial in enumerate(first.trials)}
    strategy.tell(told)
    second = strategy.ask()
    assert {(trial.stop_step, trial.draft) for trial in second.trials} == {(STEPS, False)}
    promising = [trial.candidate.id for trial in reversed(first.trials)][: len(first.trials) // 4]
    assert [trial.candidate.id for trial in second.trials] == promising
    strategy.tell({trial.key: Potential(0.5) for trial in second.trials})
    assert len(strategy.ranking()) == len(second.trials), "a draft is not a result"
    assert strategy.done


@pytest.mark.parametrize(("make", "searches", "told"), [(BestOfNSpec, 100, TOLD), (AdaptiveSpec, 24, {2: 0.97})])
def test_drafts_pay_where_they_tell(
    make: type[BestOfNSpec] | type[AdaptiveSpec], searches: int, told: Mapping[int, float]
) -> None:
    drafted = [reached(make(seed, 16, pruning=drafts(2, 0.25)), seed, told) for seed in range(searches)]
    gains = np.array(drafted) - [reached(make(seed, 16), seed, told) for seed in range(searches)]
    assert gains.mean() > 2 * gains.std(ddof=1) / math.sqrt(len(gains))


def test_a_draft_may_have_children_before_it_is_run_in_full() -> None:
    strategy = create(AdaptiveSpec(1, 16, pruning=drafts(3, 0.25)), steps=STEPS, calibration=DRAFTED)
    first = strategy.ask()
    strategy.tell({trial.key: Potential(0.9 if n < 2 else 0.4) for n, trial in enumerate(first.trials)})
    finished = strategy.ask()
    strategy.tell({trial.key: Failed("no picture") for trial in finished.trials})
    parents = {parent for trial in strategy.ask().trials for parent in trial.candidate.parents}
    assert parents
    assert parents <= {trial.candidate.id for trial in first.trials}


def test_the_model_believes_a_draft_as_far_as_the_calibration_says() -> None:
    found = {}
    for r in (0.3, 0.95):
        calibration = Calibration(landscape=Landscape(1.2, 0.5, 0.05, 0.01), drafts={0.25: r})
        strategy = create(AdaptiveSpec(1, 16, pruning=drafts(2, 0.25)), steps=STEPS, calibration=calibration)
        first = strategy.ask()
        strategy.tell({trial.key: Potential(0.4 + 0.2 * (n % 2)) for n, trial in enumerate(first.trials)})
        noises = {observation.noise for observation in strategy._observations()}  # type: ignore[attr-defined]
        found[r] = noises.pop()
        assert not noises
    assert found == {r: pytest.approx(1 / r**2 - 1) for r in (0.3, 0.95)}


@pytest.mark.parametrize("interrupted_after", [0, 1, 2, 3])
def test_restored_equals_uninterrupted(interrupted_after: int) -> None:
    def told(cohort: Cohort) -> dict[TrialKey, Outcome]:
        return {trial.key: Potential(height(trial.candidate.recipe, trial.draft)) for trial in cohort.trials}

    def height(recipe: Recipe, draft: bool) -> float:
        entropy = [draft, *recipe.seeds]
        return float(np.random.default_rng(entropy).uniform())

    strategy = create(AdaptiveSpec(5, 14, rounds=3, pruning=drafts(3, 0.25)), steps=STEPS, calibration=DRAFTED)
    for _ in range(interrupted_after):
        strategy.tell(told(strategy.ask()))
    pending = strategy.ask()
    other = restore(json.loads(json.dumps(strategy.snapshot())))
    assert other.pending == pending
    for one in (strategy, other):
        one.tell(told(pending))
        while not one.done and (cohort := one.ask()) is not None:
            one.tell(told(cohort))
    assert other.snapshot() == strategy.snapshot()


def test_drafts_are_asked_for_by_name_only() -> None:
    with pytest.raises(InvalidSearchSpec, match="drafts"):
        Pruning(PruningMode.AUTO, drafts=True)


def test_a_calibration_knows_drafts() -> None:
    known = Calibration.from_dict({"drafts": {"0.25": 0.7, "0.5": 0.9}})
    assert known.draft_correlation(0.375) == pytest.approx(0.8)
    assert known.draft_correlation(0.1) is None
    assert Calibration.restored(known.to_dict()) == known
