"""Recipes stay exact draws from N(0, I), whatever moves made them."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from eacps.errors import InvalidSearchSpec
from eacps.search.recipe import SEED_BOUND, Recipe, correlation, perturb, stack

SEEDS = st.integers(0, SEED_BOUND - 1)
ANGLES = st.floats(0.0, math.pi / 2)


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    """A recipe as searches make them: a seed, perturbed up to four times by fresh seeds."""
    first, *rest = draw(st.lists(SEEDS, min_size=1, max_size=5, unique=True))
    recipe = Recipe.from_seed(first)
    for seed in rest:
        recipe = perturb(recipe, angle=draw(ANGLES), seed=seed)
    return recipe


def noise(recipe: Recipe, size: int) -> NDArray[np.float64]:
    """The noise of ``recipe`` with numpy's normals for ``eps``: any independent fields do."""
    return np.sum([c * np.random.default_rng(seed).standard_normal(size) for seed, c in recipe.terms], axis=0)


def distance_to_normal(sample: NDArray[np.float64]) -> float:
    """Kolmogorov-Smirnov distance between ``sample`` and N(0, 1), times the root of its size."""
    expected = np.array([0.5 * (1 + math.erf(x / math.sqrt(2))) for x in np.sort(sample)])
    n = len(sample)
    above, below = np.arange(1, n + 1) / n - expected, expected - np.arange(n) / n
    return float(max(above.max(), below.max()) * math.sqrt(n))


@given(recipes())
def test_recipes_are_closed_under_perturb(recipe: Recipe) -> None:
    assert abs(math.fsum(c * c for _, c in recipe.terms) - 1.0) <= 1e-12
    assert list(recipe.seeds) == sorted(set(recipe.seeds))
    assert hash(recipe) == hash(Recipe(recipe.terms))


def test_norm_does_not_drift_over_many_generations() -> None:
    recipe = Recipe.from_seed(0)
    for seed in range(1, 500):
        recipe = perturb(recipe, angle=0.3, seed=seed)
    assert abs(math.fsum(c * c for _, c in recipe.terms) - 1.0) <= 1e-12


@given(recipes())
def test_json_restores_a_recipe_bit_for_bit(recipe: Recipe) -> None:
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


@given(recipes(), ANGLES, SEEDS)
def test_a_child_is_at_its_angle(parent: Recipe, angle: float, seed: int) -> None:
    if seed in parent.seeds:
        with pytest.raises(InvalidSearchSpec, match="already among"):
            perturb(parent, angle=angle, seed=seed)
    else:
        child = perturb(parent, angle=angle, seed=seed)
        assert correlation(parent, child) == pytest.approx(math.cos(angle), abs=1e-9)
        assert correlation(child, parent) == correlation(parent, child)


@given(recipes())
def test_angle_zero_copies_and_a_right_angle_resamples(parent: Recipe) -> None:
    seed = next(s for s in range(10) if s not in parent.seeds)
    assert perturb(parent, angle=0.0, seed=seed) == parent
    assert perturb(parent, angle=math.pi / 2, seed=seed) == Recipe.from_seed(seed)


@settings(max_examples=25)
@given(recipes(), ANGLES)
def test_noise_of_a_child_is_standard_normal(parent: Recipe, angle: float) -> None:
    seed = next(s for s in range(10) if s not in parent.seeds)
    sample = noise(perturb(parent, angle=angle, seed=seed), 20_000)
    root = math.sqrt(len(sample))
    assert abs(sample.mean()) * root < 5
    assert abs(sample.var() - 1) * root / math.sqrt(2) < 5
    assert abs((sample**3).mean()) * root / math.sqrt(15) < 5
    assert abs((sample**4).mean() - 3) * root / math.sqrt(96) < 5
    assert distance_to_normal(sample) < 2.5  # exceeded by chance once in 130,000 samples


@settings(max_examples=25)
@given(recipes(), recipes())
def test_correlation_is_that_of_the_noises(a: Recipe, b: Recipe) -> None:
    size = 20_000
    realized = float(np.corrcoef(noise(a, size), noise(b, size))[0, 1])
    assert realized == pytest.approx(correlation(a, b), abs=5 / math.sqrt(size))


def test_siblings_correlate_through_their_parent() -> None:
    parent = Recipe.from_seed(1)
    one, other = perturb(parent, angle=0.6, seed=2), perturb(parent, angle=0.6, seed=3)
    assert correlation(one, other) == pytest.approx(math.cos(0.6) ** 2)
    assert correlation(Recipe.from_seed(5), Recipe.from_seed(6)) == 0.0


@given(st.lists(recipes(), min_size=1, max_size=5))
def test_stack_pads_with_terms_that_add_nothing(batch: list[Recipe]) -> None:
    seeds, coefficients = stack(batch)
    assert seeds.dtype == np.uint32
    assert coefficients.dtype == np.float32
    assert seeds.shape == coefficients.shape == (len(batch), max(len(r.terms) for r in batch))
    for row, recipe in enumerate(batch):
        length = len(recipe.terms)
        assert tuple(seeds[row, :length].tolist()) == recipe.seeds
        np.testing.assert_array_equal(coefficients[row, :length], np.float32([c for _, c in recipe.terms]))
        assert not seeds[row, length:].any()
        assert not coefficients[row, length:].any()


def test_stack_refuses_an_empty_batch() -> None:
    with pytest.raises(InvalidSearchSpec):
        stack([])


@pytest.mark.parametrize(
    "terms",
    [
        (),
        ((1, 0.5),),
        ((1, 1.0 + 1e-8),),
        ((2, 0.6), (1, 0.8)),
        ((1, 0.6), (1, 0.8)),
        ((1, 1.0), (2, 0.0)),
        ((1, math.nan),),
        ((1, math.inf),),
        ((-1, 1.0),),
        ((SEED_BOUND, 1.0),),
        ((True, 1.0),),
        ((1.5, 1.0),),
    ],
)
def test_what_is_not_a_recipe_is_refused(terms: tuple[tuple[int, float], ...]) -> None:
    with pytest.raises(InvalidSearchSpec):
        Recipe(terms)


@pytest.mark.parametrize("data", [{}, {"terms": 3}, {"terms": [[1]]}, {"terms": [[1, "x"]]}, {"terms": [["1", 1.0]]}])
def test_malformed_json_is_refused(data: dict[str, object]) -> None:
    with pytest.raises(InvalidSearchSpec):
        Recipe.from_dict(data)


def test_perturb_names_every_fault_at_once() -> None:
    with pytest.raises(InvalidSearchSpec) as caught:
        perturb(Recipe.from_seed(1), angle=math.nan, seed=-1)
    assert [violation.field for violation in caught.value.violations] == ["angle", "seed"]
