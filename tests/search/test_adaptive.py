"""Adaptive EACPS and budgets on Gaussian landscapes whose correlations are known."""

import json
import math
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eacps.errors import IllegalSearchMove, InvalidSearchSpec
from eacps.search.budget import Allowance, Budget, Price, Spent, StopReason
from eacps.search.calibration import Calibration, Landscape
from eacps.search.cohort import Cohort, Move, Outcome, Skipped
from eacps.search.diversity import LowDiversityPolicy
from eacps.search.factory import restore
from eacps.search.landscape import LandscapeModel, Observation, correlations, kernel
from eacps.search.potential import Potential
from eacps.search.recipe import Recipe, correlation, cross, perturb
from eacps.search.spec import AdaptiveSpec, BestOfNSpec, SearchSpec
from tests.search.contexts import create

STEPS = 8
CALIBRATED = Calibration(landscape=Landscape(1.2, 0.5, 0.05, 0.01))


class Field:
    """A draw from a Gaussian process over recipes, found out recipe by recipe: heights correlate by ``corr ** k``.

    Heights of a restart and its parent correlate by the share of the steps that it begins at.

    Args:
        seed: Of the draw.
        power: k; None lets all recipes be independent.
    """

    def __init__(self, seed: int, power: float | None) -> None:
        self._rng, self._power = np.random.default_rng(seed), power
        self._recipes: list[Recipe] = []
        self._heights: list[float] = []

    def height(self, recipe: Recipe) -> float:
        recipe, restarts = Recipe(recipe.terms), recipe.restarts
        for one in restarts:
            cosine = (one.step / STEPS) ** (1.0 / (self._power or 1.0))
            recipe = perturb(recipe, angle=math.acos(cosine), seed=one.seed)
        if recipe in self._recipes:
            return self._heights[self._recipes.index(recipe)]
        mean, variance = 0.0, 1.0
        if self._recipes and self._power is not None:
            near = correlations([recipe], self._recipes)[0] ** self._power
            among = correlations(self._recipes, self._recipes) ** self._power + 1e-9 * np.eye(len(self._recipes))
            weights = np.linalg.solve(among, near)
            mean, variance = float(weights @ self._heights), max(0.0, 1.0 - float(weights @ near))
        self._recipes.append(recipe)
        self._heights.append(mean + math.sqrt(variance) * self._rng.standard_normal())
        return self._heights[-1]

    def outcomes(self, cohort: Cohort) -> dict[str, Outcome]:
        heights = {candidate.id: self.height(candidate.recipe) for candidate in cohort.candidates}
        return {name: Potential(min(1.0, max(0.0, 0.5 + 0.05 * height))) for name, height in heights.items()}


def best_height(spec: SearchSpec, field: Field, calibration: Calibration = CALIBRATED) -> tuple[float, int]:
    """Run a search; the winner's height and the denoising steps spent."""
    strategy, spent = create(spec, steps=STEPS, calibration=calibration), 0
    while not strategy.done:
        cohort = strategy.ask()
        assert cohort is not None
        strategy.tell(field.outcomes(cohort))
        spent += sum(candidate.evaluations(STEPS) for candidate in cohort.candidates)
    best = strategy.best()
    assert best is not None
    return field.height(best.candidate.recipe), spent


def paired(one: Iterator[float], other: Iterator[float]) -> tuple[float, float]:
    """Mean difference and its standard error."""
    differences = np.array([a - b for a, b in zip(one, other, strict=True)])
    return float(differences.mean()), float(differences.std(ddof=1) / math.sqrt(len(differences)))


def heights(
    make: type[AdaptiveSpec] | type[BestOfNSpec], power: float | None, searches: int = 24, **fields: object
) -> Iterator[float]:
    for seed in range(searches):
        yield best_height(make(seed, 16, **fields), Field(seed, power))[0]


def test_adaptive_beats_random_where_neighbors_score_alike() -> None:
    mean, error = paired(heights(AdaptiveSpec, 1.6), heights(BestOfNSpec, 1.6))
    assert mean > 2 * error
    assert mean > 0.2


def test_adaptive_does_not_lose_where_neighbors_tell_nothing() -> None:
    mean, error = paired(heights(AdaptiveSpec, None), heights(BestOfNSpec, None))
    assert mean >= -3 * error


def test_it_costs_no_more_than_its_trajectories() -> None:
    for seed in range(5):
        assert best_height(AdaptiveSpec(seed, 16), Field(seed, 1.6))[1] <= 16 * STEPS


@given(st.integers(0, 99), st.integers(1, 200), st.integers(1, 40))
@settings(max_examples=25, deadline=None)
def test_allowances_are_never_exceeded(seed: int, steps: int, pictures: int) -> None:
    budget, field = Budget(nfe=steps, pictures=pictures), Field(seed, 1.6)
    strategy = create(AdaptiveSpec(seed, 12, rounds=3), steps=STEPS, calibration=CALIBRATED)
    spent_steps = spent_pictures = 0
    best = -1.0
    while not strategy.done:
        cohort = strategy.ask(budget.left(Spent(spent_steps, spent_pictures), Price()))
        if cohort is None:
            assert strategy.stop_reason in (StopReason.NFE, StopReason.PICTURES)
            break
        spent_steps += sum(candidate.evaluations(STEPS) for candidate in cohort.candidates)
        spent_pictures += len(cohort.candidates)
        assert spent_steps <= steps
        assert spent_pictures <= pictures
        strategy.tell(field.outcomes(cohort))
        if (ranked := strategy.best()) is not None:
            assert ranked.potential.value >= best
            best = ranked.potential.value
    assert strategy.done


@given(st.integers(0, 99), st.booleans())
@settings(max_examples=15, deadline=None)
def test_restored_equals_uninterrupted(seed: int, crossover: bool) -> None:
    spec = AdaptiveSpec(seed, 10, rounds=3, crossover=crossover)
    whole, broken = (create(spec, steps=STEPS, calibration=CALIBRATED) for _ in range(2))
    fields = Field(seed, 1.6), Field(seed, 1.6)
    while not whole.done:
        broken = restore(json.loads(json.dumps(broken.snapshot())))
        one, other = whole.ask(), broken.ask()
        assert one == other
        assert one is not None
        broken = restore(json.loads(json.dumps(broken.snapshot())))
        whole.tell(fields[0].outcomes(one))
        broken.tell(fields[1].outcomes(one))
    assert broken.snapshot() == whole.snapshot()


def test_skipped_candidates_are_not_ranked_and_a_search_can_be_stopped() -> None:
    strategy = create(AdaptiveSpec(1, 12), steps=STEPS)
    cohort = strategy.ask()
    assert cohort is not None
    with pytest.raises(IllegalSearchMove):
        strategy.stop(StopReason.WALL_TIME)
    strategy.tell(dict.fromkeys(cohort.ids, Skipped()))
    assert strategy.best() is None
    strategy.stop(StopReason.WALL_TIME)
    assert (strategy.done, strategy.stop_reason) == (True, StopReason.WALL_TIME)


def test_time_that_is_up_affords_nothing() -> None:
    assert Allowance(time_is_up=True).affordable([1, 1]) == (0, StopReason.WALL_TIME)
    assert Allowance(steps=3, scored=1).affordable([1, 1]) == (1, StopReason.VLM_CALLS)
    assert Allowance(steps=1).affordable([1, 1]) == (1, StopReason.NFE)


def asked(least: float | None, seed: int = 3) -> tuple[list[Cohort], StopReason | None]:
    """The cohorts of a search that ends where a round is expected to gain less than ``least`` for each trajectory."""
    strategy, field, cohorts = create(AdaptiveSpec(seed, 32), steps=STEPS, calibration=CALIBRATED), Field(seed, 1.6), []
    while not strategy.done and (cohort := strategy.ask(Allowance(min_gain_per_trajectory=least))) is not None:
        cohorts.append(cohort)
        strategy.tell(field.outcomes(cohort))
    return cohorts, strategy.stop_reason


def test_a_search_ends_before_the_first_round_that_is_expected_to_gain_too_little() -> None:
    whole, reason = asked(None)
    assert reason is StopReason.COMPLETED
    per_trajectory = [
        cohort.note.predicted_gain / (sum(candidate.evaluations(STEPS) for candidate in cohort.candidates) / STEPS)
        for cohort in whole
        if cohort.note and cohort.note.predicted_gain
    ]
    assert len(per_trajectory) == len(whole) - 1, "the first round has nothing to expect from"
    assert asked(min(per_trajectory) * 0.999) == (whole, StopReason.COMPLETED)
    dearer = sorted(per_trajectory)[2]
    short, reason = asked(dearer)
    assert reason is StopReason.LITTLE_GAIN
    first_poor = next(index for index, gain in enumerate(per_trajectory) if gain < dearer)
    assert short == whole[: 1 + first_poor]


def test_best_of_n_expects_nothing_and_runs_on() -> None:
    strategy = create(BestOfNSpec(1, 4), steps=STEPS)
    cohort = strategy.ask(Allowance(min_gain_per_trajectory=1.0))
    assert cohort is not None
    assert len(cohort.candidates) == 4


@pytest.mark.parametrize("least", [0.0, -0.1, 1.5, math.nan])
def test_a_least_gain_is_a_share_of_the_potential(least: float) -> None:
    with pytest.raises(InvalidSearchSpec, match="min_gain_per_trajectory"):
        Budget(min_gain_per_trajectory=least)


@given(st.floats(0, 1), st.floats(0.1, 1.5), st.integers(3, 2**32 - 1))
def test_crossed_recipes_are_recipes(share: float, angle: float, seed: int) -> None:
    one, other = Recipe.from_seed(1), perturb(Recipe.from_seed(2), angle=angle, seed=seed)
    child = cross(one, other, share=share)
    assert math.fsum(c * c for _, c in child.terms) == pytest.approx(1.0)
    assert correlation(child, one) == pytest.approx(math.sqrt(share), abs=1e-6)


def test_recipes_that_cancel_out_are_refused() -> None:
    one = Recipe.from_seed(1)
    with pytest.raises(InvalidSearchSpec, match="cancels"):
        cross(one, Recipe(((1, -1.0),)))


def test_the_kernel_is_a_correlation() -> None:
    points = [perturb(Recipe.from_seed(s % 3), angle=0.2 + 0.1 * s, seed=100 + s) for s in range(12)]
    for curvature in (0.2, 1.0, 8.0):
        among = kernel(correlations(points, points), curvature)
        assert np.allclose(np.diag(among), 1.0)
        assert np.linalg.eigvalsh(among).min() > -1e-9
        assert kernel(0.0, curvature) == 0.0


def test_the_model_learns_from_chosen_parents() -> None:
    """Only the best of twelve has children, and still flat and rough landscapes are told apart."""
    learned = {}
    for power in (0.6, 6.0):
        curvatures = []
        for seed in range(8):
            field, first = Field(seed, power), [Recipe.from_seed(s) for s in range(12)]
            parent = max(first, key=field.height)
            children = [perturb(parent, angle=0.6, seed=100 + s) for s in range(12)]
            seen = [Observation(recipe, field.height(recipe)) for recipe in (*first, *children)]
            curvatures.append(LandscapeModel(seen, Landscape(1.2, 1.0)).curvature)
        learned[power] = float(np.mean(curvatures))
    assert learned[6.0] > 2 * learned[0.6]


@pytest.mark.parametrize("policy", list(LowDiversityPolicy))
def test_seeds_that_hardly_differ_are_noticed(policy: LowDiversityPolicy) -> None:
    spec = AdaptiveSpec(1, 20, rounds=2, low_diversity=policy)
    strategy = create(spec, steps=STEPS, calibration=Calibration(landscape=Landscape(1.2, 0.5, 0.05, 0.01)))
    cohort = strategy.ask()
    assert cohort is not None
    strategy.tell({key: Potential(0.5 + 0.0005 * index) for index, key in enumerate(sorted(cohort.ids))})
    assert strategy.diversity is not None
    assert strategy.diversity.low
    assert (strategy.stop_reason is StopReason.LOW_DIVERSITY) == (policy is LowDiversityPolicy.STOP)


def test_rounds_say_why_they_are_so() -> None:
    strategy, field = create(AdaptiveSpec(3, 24, rounds=2, fresh_share=0.75), steps=STEPS), Field(3, 1.6)
    notes = []
    while not strategy.done:
        cohort = strategy.ask()
        assert cohort is not None
        assert cohort.note is not None
        assert cohort.note.fresh == sum(one.move is Move.EXPLORE for one in cohort.candidates)
        notes.append(cohort.note)
        strategy.tell(field.outcomes(cohort))
    assert [note.kind.value for note in notes] == ["explore", "local", "local"]
    assert notes[0].predicted_gain is None
    assert notes[1].predicted_gain is not None
    assert notes[1].fresh >= 5, "three quarters of 15 trajectories, less the six of the first round"
    moves = {one.candidate.move for one in strategy.history()}
    assert moves & {Move.SPHERICAL, Move.CROSSOVER, Move.RESTART}
