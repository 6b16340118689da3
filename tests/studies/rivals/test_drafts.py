"""Drafts: coarse trajectories from the same noise that say which candidates are worth a full one."""

import json
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pytest

from eacps.search.calibration import Calibration, Landscape
from eacps.search.cohort import Cohort, Failed, Move, Outcome
from eacps.search.context import SearchContext
from eacps.search.potential import Potential
from eacps.search.recipe import Recipe
from eacps.search.spec import AdaptiveSpec, BestOfNSpec, SearchSpec
from studies.rivals.drafts import DraftCohort
from studies.rivals.factory import create, restore
from studies.rivals.settings import DraftedAdaptiveSpec, DraftedBestOfNSpec, RivalSpec
from tests.search.contexts import OBJECTIVE
from tests.search.test_adaptive import STEPS, Field

KNOWN = {2: 0.73, 3: 0.92}
"""How drafts of so many of eight steps correlated with finals on studio-mini."""
CONTEXT = SearchContext(STEPS, OBJECTIVE, Calibration(landscape=Landscape(1.2, 0.5, 0.05, 0.01)))


def settings(steps: int, correlation: float | None = None) -> dict[str, Any]:
    r = correlation or KNOWN[steps]
    return {"steps_share": steps / STEPS, "kept_share": 0.25, "correlation": r, "slope": r}


def outcomes(cohort: Cohort, field: Field, rng: np.random.Generator, told: Mapping[int, float]) -> dict[str, Outcome]:
    found: dict[str, Outcome] = {}
    for candidate in cohort.candidates:
        r = told[cohort.steps] if isinstance(cohort, DraftCohort) else 1.0
        seen = r * field.height(candidate.recipe) + math.sqrt(1 - r**2) * rng.standard_normal()
        found[candidate.id] = Potential(min(1.0, max(0.0, 0.5 + 0.05 * seen)))
    return found


def reached(spec: SearchSpec | RivalSpec, seed: int, told: Mapping[int, float]) -> float:
    """Height of a search's best; it never costs more than its trajectories."""
    strategy, field = create(spec, CONTEXT), Field(seed, 1.6)
    rng, spent, drafted = np.random.default_rng([seed, 1]), 0, set[str]()
    while not strategy.done and (cohort := strategy.ask()) is not None:
        if isinstance(cohort, DraftCohort):
            spent += cohort.steps * len(cohort.candidates)
            drafted |= cohort.ids
        else:
            spent += sum(one.evaluations(STEPS) - (one.id in drafted) for one in cohort.candidates)
        strategy.tell(outcomes(cohort, field, rng, told))
    assert spent <= spec.total_candidates * STEPS
    best = strategy.best()
    assert best is not None
    return field.height(best.candidate.recipe)


def test_a_round_is_drafted_and_its_promising_candidates_run_in_full() -> None:
    strategy = create(DraftedBestOfNSpec(1, 8, **settings(3)), CONTEXT)
    first = strategy.ask()
    assert isinstance(first, DraftCohort)
    assert first.steps == 3
    count = len(first.candidates)
    assert count * 3 + 4 * 7 <= 8 * STEPS < (count + 1) * 3 + 4 * 7
    strategy.tell({candidate.id: Potential(n / 100) for n, candidate in enumerate(first.candidates)})
    second = strategy.ask()
    assert second is not None
    assert not isinstance(second, DraftCohort)
    assert second.generation == 0
    assert second.candidates == first.candidates[::-1][:4]
    strategy.tell({candidate.id: Potential(0.5) for candidate in second.candidates})
    assert len(strategy.ranking()) == len(second.candidates), "a draft is not a result"
    assert strategy.done


@pytest.mark.parametrize(
    ("make", "plain", "searches", "told"),
    [(DraftedBestOfNSpec, BestOfNSpec, 100, KNOWN), (DraftedAdaptiveSpec, AdaptiveSpec, 24, {2: 0.97})],
)
def test_drafts_pay_where_they_tell(
    make: type[DraftedBestOfNSpec] | type[DraftedAdaptiveSpec],
    plain: type[BestOfNSpec] | type[AdaptiveSpec],
    searches: int,
    told: Mapping[int, float],
) -> None:
    restarts = {"restarts": False} if plain is AdaptiveSpec else {}
    drafted = [reached(make(seed, 16, **settings(2, told[2])), seed, told) for seed in range(searches)]
    gains = np.array(drafted) - [reached(plain(seed, 16, **restarts), seed, told) for seed in range(searches)]
    assert gains.mean() > 2 * gains.std(ddof=1) / math.sqrt(len(gains))


def test_a_draft_may_have_children_before_it_is_run_in_full() -> None:
    strategy = create(DraftedAdaptiveSpec(1, 16, **settings(3)), CONTEXT)
    first = strategy.ask()
    assert first is not None
    strategy.tell({one.id: Potential(0.9 if n < 2 else 0.4) for n, one in enumerate(first.candidates)})
    finished = strategy.ask()
    assert finished is not None
    strategy.tell({candidate.id: Failed("no picture") for candidate in finished.candidates})
    following = strategy.ask()
    assert following is not None
    parents = {parent for candidate in following.candidates for parent in candidate.parents}
    assert parents
    assert parents <= first.ids


def test_the_model_believes_a_draft_as_far_as_drafts_correlate() -> None:
    for r in (0.3, 0.95):
        strategy = create(DraftedAdaptiveSpec(1, 16, **settings(2, r)), CONTEXT)
        first = strategy.ask()
        assert first is not None
        strategy.tell({one.id: Potential(0.4 + 0.2 * (n % 2)) for n, one in enumerate(first.candidates)})
        noises = {one.noise for one in strategy._observations()}  # type: ignore[attr-defined]
        (noise,) = noises
        assert noise == pytest.approx(1 / r**2 - 1)


def test_drafts_are_read_on_the_scale_of_full_trajectories() -> None:
    """Their means, known of the promising alone, and what the model then expects of one that was not run."""
    r, slope = 0.8, 1.6
    strategy = create(DraftedAdaptiveSpec(1, 32, **settings(2, r) | {"slope": slope}), CONTEXT)
    first = strategy.ask()
    assert first is not None
    drafts = {one.id: 0.4 + 0.01 * n for n, one in enumerate(first.candidates)}
    strategy.tell({name: Potential(value) for name, value in drafts.items()})
    run = strategy.ask()
    assert run is not None
    mean = sum(drafts.values()) / len(drafts)
    strategy.tell({one.id: Potential(0.3 + slope * (drafts[one.id] - mean)) for one in run.candidates})
    seen = {one.recipe: one.value for one in strategy._observations() if one.noise}  # type: ignore[attr-defined]
    assert len(seen) == len(drafts) - len(run.candidates)
    for candidate in first.candidates:
        if candidate.id not in run.ids:
            expected = 0.3 + r**2 * (seen[candidate.recipe] - 0.3)
            assert expected == pytest.approx(0.3 + slope * (drafts[candidate.id] - mean))


def test_nothing_is_drafted_that_is_run_in_full_anyway() -> None:
    few = create(DraftedBestOfNSpec(1, 4, **settings(3)), CONTEXT).ask()
    assert few is not None
    assert not isinstance(few, DraftCohort)
    assert len(few.candidates) == 4
    small = create(DraftedAdaptiveSpec(1, 1, **settings(2)), CONTEXT).ask()
    assert small is not None
    assert not isinstance(small, DraftCohort)


@pytest.mark.parametrize("trajectories", [6, 8, 16, 64])
def test_best_of_n_runs_four_of_its_drafts_at_least(trajectories: int) -> None:
    strategy = create(DraftedBestOfNSpec(1, trajectories, **settings(2) | {"kept_share": 0.0625}), CONTEXT)
    drafts = strategy.ask()
    assert isinstance(drafts, DraftCohort)
    strategy.tell({one.id: Potential(0.5) for one in drafts.candidates})
    run = strategy.ask()
    assert run is not None
    assert len(run.candidates) == max(4, len(drafts.candidates) // 16)
    assert 2 * len(drafts.candidates) + 7 * len(run.candidates) <= 8 * trajectories


def test_diversity_is_that_of_all_drafted_seeds() -> None:
    strategy = create(DraftedAdaptiveSpec(1, 32, **settings(2)), CONTEXT)
    first = strategy.ask()
    assert first is not None
    strategy.tell({one.id: Potential(0.3 + 0.02 * n) for n, one in enumerate(first.candidates)})
    second = strategy.ask()
    assert second is not None
    strategy.tell({candidate.id: Potential(0.9) for candidate in second.candidates})
    assert strategy.diversity is not None
    assert strategy.diversity.spread > 0.05
    assert not strategy.diversity.low


def test_with_restarts_the_first_round_alone_is_drafted() -> None:
    strategy = create(DraftedAdaptiveSpec(1, 32, **settings(3), restarts=True), CONTEXT)
    drafts = strategy.ask()
    assert isinstance(drafts, DraftCohort)
    strategy.tell({one.id: Potential(0.5 - 0.001 * n) for n, one in enumerate(drafts.candidates)})
    run = strategy.ask()
    assert run is not None
    strategy.tell({one.id: Potential(0.5) for one in run.candidates})
    assert 3 * len(drafts.candidates) + 7 * len(run.candidates) <= 8 * STEPS, "a quarter of 32"
    later = strategy.ask()
    assert later is not None
    assert not isinstance(later, DraftCohort)
    parents = {parent for one in later.candidates if one.move is Move.RESTART for parent in one.parents}
    assert parents
    assert parents <= run.ids, "a draft has no picture to restart"


@pytest.mark.parametrize("interrupted_after", [0, 1, 2, 3])
@pytest.mark.parametrize("make", [DraftedBestOfNSpec, DraftedAdaptiveSpec, partial(DraftedAdaptiveSpec, restarts=True)])
def test_restored_equals_uninterrupted(make: Callable[..., RivalSpec], interrupted_after: int) -> None:
    def told(cohort: Cohort) -> dict[str, Outcome]:
        return {one.id: Potential(height(one.recipe, isinstance(cohort, DraftCohort))) for one in cohort.candidates}

    def height(recipe: Recipe, draft: bool) -> float:
        return float(np.random.default_rng([draft, *recipe.seeds]).uniform())

    strategy = create(make(5, 14, **settings(3)), CONTEXT)
    for _ in range(interrupted_after):
        if (cohort := None if strategy.done else strategy.ask()) is not None:
            strategy.tell(told(cohort))
    pending = None if strategy.done else strategy.ask()
    other = restore(json.loads(json.dumps(strategy.snapshot())))
    assert other.pending == pending
    for one in (strategy, other):
        if pending is not None:
            one.tell(told(pending))
        while not one.done and (cohort := one.ask()) is not None:
            one.tell(told(cohort))
    assert other.snapshot() == strategy.snapshot()
