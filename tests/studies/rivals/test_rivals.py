"""Every rival keeps the rules of ask/tell, finds a known optimum better than chance, and continues from snapshots."""

import json
from typing import Any

import numpy as np
import pytest

from eacps.errors import InvalidSearchSpec
from eacps.search.cohort import Candidate, Failed, Move
from eacps.search.potential import Potential
from eacps.search.recipe import Recipe, correlation
from eacps.search.spec import BestOfNSpec
from studies.contenders import rival_contenders
from studies.rivals.factory import create, restore
from studies.rivals.settings import CrossEntropySpec, TrustRegionSpec, ZenoSpec
from tests.studies.rivals.target import CONTEXT, STEPS, outcomes, reached, started

RIVALS = [pytest.param(contender.spec, id=contender.name) for contender in rival_contenders()]


def proposals(spec: Any) -> list[list[Candidate]]:
    strategy, rounds = started(spec), []
    while not strategy.done:
        cohort = strategy.ask()
        assert cohort is not None
        rounds.append(list(cohort.candidates))
        strategy.tell(outcomes(cohort))
    return rounds


@pytest.mark.parametrize("make", RIVALS)
def test_it_comes_nearer_to_the_optimum_than_best_of_n(make: Any) -> None:
    gains = np.array([reached(BestOfNSpec(seed, 64)) - reached(make(64, seed)) for seed in range(24)])
    assert gains.mean() > 2 * gains.std(ddof=1) / np.sqrt(len(gains))


@pytest.mark.parametrize("make", RIVALS)
@pytest.mark.parametrize("budget", [1, 2, 8, 33])
def test_it_spends_its_budget_and_nothing_repeats(make: Any, budget: int) -> None:
    candidates = [candidate for proposed in proposals(make(budget, 5)) for candidate in proposed]
    unspent = budget * STEPS - sum(candidate.evaluations(STEPS) for candidate in candidates)
    assert unspent == 0 if all(one.move is not Move.RESTART for one in candidates) else 0 <= unspent < 4 * STEPS
    ids, recipes = {candidate.id for candidate in candidates}, {one.recipe for one in candidates}
    assert len(ids) == len(recipes) == len(candidates) >= budget
    assert candidates[0].recipe == Recipe.from_seed(5), "the plain user's picture comes first"


@pytest.mark.parametrize("make", RIVALS)
@pytest.mark.parametrize("interrupted_after", [0, 1, 3])
def test_a_restored_search_equals_one_that_was_never_interrupted(make: Any, interrupted_after: int) -> None:
    strategy = started(make(24, 9))
    for _ in range(interrupted_after):
        strategy.tell(outcomes(strategy.ask()))
    pending = strategy.ask()
    other = restore(json.loads(json.dumps(strategy.snapshot())))
    assert other.pending == pending
    for one in (strategy, other):
        one.tell(outcomes(pending))
        while not one.done:
            one.tell(outcomes(one.ask()))
    assert other.snapshot() == strategy.snapshot()


@pytest.mark.parametrize("make", RIVALS)
def test_where_all_fails_it_goes_on_with_fresh_seeds(make: Any) -> None:
    strategy = started(make(12, 2))
    while not strategy.done:
        cohort = strategy.ask()
        if cohort.generation:
            assert all(not candidate.parents for candidate in cohort.candidates)
        strategy.tell({candidate.id: Failed("no picture") for candidate in cohort.candidates})
    assert len(strategy.history()) == 12
    assert strategy.best() is None


def test_a_region_turns_by_its_angle_and_shrinks_where_it_fails() -> None:
    strategy = started(TrustRegionSpec(3, 30, regions=1, rounds=10, angle=0.7, shrink=0.5, least_angle=0.3))
    first = strategy.ask()
    best = max(outcomes(first).items(), key=lambda pair: pair[1].value)[0]
    strategy.tell(outcomes(first))
    center = next(candidate for candidate in first.candidates if candidate.id == best)
    for angle in (0.7, 0.35):
        cohort = strategy.ask()
        for candidate in cohort.candidates:
            assert candidate.parents == (best,)
            assert correlation(candidate.recipe, center.recipe) == pytest.approx(np.cos(angle))
        strategy.tell({candidate.id: Potential(0.0) for candidate in cohort.candidates})
    given_up = strategy.ask()
    assert all(not candidate.parents for candidate in given_up.candidates), "0.175 is below the least angle"


def test_zeno_draws_around_the_weighted_mean_of_the_last_round() -> None:
    strategy = started(ZenoSpec(3, 40, rounds=2, angle=0.5, temperature=1e-3))
    first = strategy.ask()
    assert [correlation(t.recipe, Recipe.from_seed(3)) for t in first.candidates[1:]] == pytest.approx(
        [np.cos(0.5)] * 19
    )
    told = outcomes(first)
    strategy.tell(told)
    best = max(told, key=lambda key: told[key].value)
    winner = next(candidate for candidate in first.candidates if candidate.id == best)
    for candidate in strategy.ask().candidates:  # at such a temperature the best draw has all of the weight
        assert correlation(candidate.recipe, winner.recipe) == pytest.approx(np.cos(0.5), abs=1e-6)


def test_cross_entropy_draws_as_far_from_the_elites_mean_as_they_do() -> None:
    strategy = started(CrossEntropySpec(3, 64, rounds=2, elite_share=0.125))
    first = strategy.ask()
    told = outcomes(first)
    strategy.tell(told)
    elites = sorted(first.candidates, key=lambda candidate: -told[candidate.id].value)[:4]
    for candidate in strategy.ask().candidates:
        assert set(candidate.parents) == {elite.id for elite in elites}
        found = [correlation(candidate.recipe, elite.recipe) for elite in elites]
        assert found == pytest.approx([0.25] * 4), "the mean of four independent noises has a norm of a half"


def test_settings_below_1_are_refused() -> None:
    with pytest.raises(InvalidSearchSpec, match="candidates"):
        create(ZenoSpec(1, 0), CONTEXT)
