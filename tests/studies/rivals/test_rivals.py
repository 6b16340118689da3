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
from studies.contenders import published
from studies.rivals.factory import create, restore
from studies.rivals.settings import CrossEntropySpec, EvolutionSpec, TrustRegionSpec, ZenoSpec
from studies.rivals.trust_region import displacement_angle
from tests.studies.rivals.target import CONTEXT, STEPS, outcomes, reached, started

RIVALS = [pytest.param(one.spec, id=f"{one.name}: {one.setting}") for family in published() for one in family]


def proposals(spec: Any) -> list[list[Candidate]]:
    strategy, rounds = started(spec), []
    while not strategy.done:
        cohort = strategy.ask()
        assert cohort is not None
        rounds.append(list(cohort.candidates))
        strategy.tell(outcomes(cohort))
    return rounds


def gains(spec: Any, seeds: range) -> np.ndarray:
    """How much nearer to the optimum than best-of-N it comes, at equal cost."""
    return np.array([reached(BestOfNSpec(seed, 64)) - reached(spec(64, seed)) for seed in seeds])


@pytest.mark.parametrize("family", published(), ids=lambda family: family[0].name)
def test_the_best_of_its_settings_comes_nearer_to_the_optimum_than_best_of_n(family: Any) -> None:
    best = max(family, key=lambda one: gains(one.spec, range(100, 112)).mean())
    found = gains(best.spec, range(24))
    assert found.mean() > 2 * found.std(ddof=1) / np.sqrt(len(found))


@pytest.mark.parametrize("make", RIVALS)
@pytest.mark.parametrize("budget", [1, 2, 8, 33])
def test_it_spends_its_budget_and_nothing_repeats(make: Any, budget: int) -> None:
    candidates = [candidate for proposed in proposals(make(budget, 5)) for candidate in proposed]
    unspent = budget * STEPS - sum(candidate.evaluations(STEPS) for candidate in candidates)
    assert unspent == 0 if all(one.move is not Move.RESTART for one in candidates) else 0 <= unspent < STEPS
    ids, recipes = {candidate.id for candidate in candidates}, {one.recipe for one in candidates}
    assert len(ids) == len(recipes) == len(candidates) >= budget
    assert candidates[0].recipe == Recipe.from_seed(5), "the plain user's picture comes first"


@pytest.mark.parametrize("make", RIVALS)
@pytest.mark.parametrize("interrupted_after", [0, 1, 2])
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


def test_a_displacement_turns_a_noise_by_its_angle() -> None:
    rng, size = np.random.default_rng(0), 200_000
    noise = rng.standard_normal(size)
    moved = noise + rng.uniform(-0.4, 0.4, size) * (rng.random(size) < 0.5)
    cosine = noise @ moved / np.linalg.norm(noise) / np.linalg.norm(moved)
    assert displacement_angle(0.8, 0.5) == pytest.approx(np.arccos(cosine), rel=0.01)


def trust_regions(**settings: float) -> tuple[Any, list[Candidate]]:
    """A strategy whose first round is scored, and the candidates of that, the best first."""
    strategy = started(TrustRegionSpec(3, 40, regions_share=0.25, least_share=0.5, most_share=0.5, **settings))
    first = strategy.ask()
    scores = {one.id: Potential(0.5 - 0.01 * index) for index, one in enumerate(first.candidates)}
    strategy.tell(scores)
    return strategy, list(first.candidates)


def test_regions_are_around_the_best_of_the_history_and_shrink_after_failures() -> None:
    strategy, best = trust_regions(rounds=5, length=1.2, factor=2.0, tolerance=2)
    for length in (1.2, 1.2, 0.6):
        cohort = strategy.ask()
        for index, candidate in enumerate(cohort.candidates):
            center = best[index % 2]
            assert candidate.parents == (center.id,)
            expected = np.cos(displacement_angle(length, 0.5))
            assert correlation(candidate.recipe, center.recipe) == pytest.approx(expected)
        strategy.tell({candidate.id: Potential(0.0) for candidate in cohort.candidates})


def test_regions_follow_what_is_better_and_grow_after_successes() -> None:
    strategy, _ = trust_regions(rounds=5, length=1.2, factor=1.5, tolerance=1, most_length=2.0)
    value, centers = 0.6, None
    for length in (1.2, 1.8, 2.0):  # and no further
        cohort = strategy.ask()
        if centers is not None:
            expected = np.cos(displacement_angle(length, 0.5))
            for index, candidate in enumerate(cohort.candidates):
                assert candidate.parents == (centers[index % 2].id,)
                assert correlation(candidate.recipe, centers[index % 2].recipe) == pytest.approx(expected)
        scores = {one.id: value - 0.001 * index for index, one in enumerate(cohort.candidates)}
        strategy.tell({name: Potential(score) for name, score in scores.items()})
        centers, value = cohort.candidates[:2], value + 0.1


def test_a_region_that_is_as_short_as_can_be_begins_anew() -> None:
    strategy, best = trust_regions(rounds=5, length=1.2, factor=2.0, tolerance=1, least_length=0.6)
    for length in (1.2, 0.6, 1.2):
        cohort = strategy.ask()
        expected = np.cos(displacement_angle(length, 0.5))
        assert correlation(cohort.candidates[0].recipe, best[0].recipe) == pytest.approx(expected)
        strategy.tell({candidate.id: Potential(0.0) for candidate in cohort.candidates})


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
        # four independent noises: a mean of norm 1/2, and the unbiased variance is 1
        assert found == pytest.approx([0.25 / 1.25**0.5] * 4)


def test_cross_entropy_keeps_the_best_of_all_rounds() -> None:
    strategy = started(CrossEntropySpec(3, 24, rounds=3, elite_share=0.25))
    best: dict[str, float] = {}
    for _ in range(2):
        cohort = strategy.ask()
        known = outcomes(cohort)
        best |= {key: one.value for key, one in known.items()}
        strategy.tell(known)
    elites = set(sorted(best, key=lambda key: -best[key])[:2])
    assert all(set(one.parents) == elites for one in strategy.ask().candidates)


def test_evolution_turns_noises_first_and_restarts_pictures_later_and_later() -> None:
    rounds = proposals(EvolutionSpec(3, 100, angle=0.3))
    known = {one.id: one for cohort in rounds for one in cohort}
    assert [len(cohort) for cohort in rounds[:4]] == [42, 26, 26, 26], "the authors' populations"
    assert all(not one.parents for one in rounds[0])
    for one in rounds[1]:
        assert correlation(one.recipe, known[one.parents[0]].recipe) == pytest.approx(np.cos(0.3))
    steps = [{one.recipe.start_step for one in cohort} for cohort in rounds[2:]]
    assert steps == [{round(STEPS * share)} for share in (0.4, 0.6, 0.8)]


def test_evolution_draws_parents_from_all_candidates_by_tournament() -> None:
    strategy = started(EvolutionSpec(3, 50, tournament_share=1.0))
    first = strategy.ask()
    known = outcomes(first)
    strategy.tell(known)
    best = max(known, key=lambda key: known[key].value)
    second = strategy.ask()
    assert all(one.parents == (best,) for one in second.candidates), "the whole population takes part"
    strategy.tell({one.id: Potential(0.0) for one in second.candidates})
    assert all(one.parents == (best,) for one in strategy.ask().candidates), "older ones too"


@pytest.mark.parametrize("name", ["trust_region", "zeno", "cross_entropy"])
@pytest.mark.parametrize("budget", [8, 16, 32])
def test_a_round_has_enough_candidates_to_select_from(name: str, budget: int) -> None:
    for family in published():
        if family[0].name == name:
            for one in family:
                assert all(len(cohort) >= 4 for cohort in proposals(one.spec(budget, 1)))


def test_settings_below_1_are_refused() -> None:
    with pytest.raises(InvalidSearchSpec, match="candidates"):
        create(ZenoSpec(1, 0), CONTEXT)
