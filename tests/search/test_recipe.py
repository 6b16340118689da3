"""Recipes stay exact draws from N(0, I), whatever moves made them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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


def noise(recipe: Recipe, size: int) -> np.ndarray:
    """The noise of ``recipe`` with numpy's normals for ``eps``: any independent fields do."""
    fields = [c * np.random.default_rng(seed).standard_normal(size) for seed, c in recipe.terms]
    return np.sum(fields, axis=0)


@given(recipes())
def test_recipes_are_closed_under_perturb(recipe: Recipe) -> None:
    assert abs(math.fsum(c * c for _, c in recipe.terms) - 1.0) <= 1e-12
    assert list(recipe.seeds) == sorted(set(recipe.seeds))
    assert Recipe.from_dict(recipe.to_dict()) == recipe


def test_perturb_refuses_a_seed_of_the_parent() -> None:
    with pytest.raises(InvalidSearchSpec, match="already among"):
        perturb(Recipe.from_seed(7), angle=0.5, seed=7)


@given(st.lists(recipes(), min_size=1, max_size=5))
def test_stack_pads_with_terms_that_add_nothing(batch: list[Recipe]) -> None:
    seeds, coefficients = stack(batch)
    assert seeds.dtype == np.uint32
    assert coefficients.dtype == np.float32
    assert seeds.shape == coefficients.shape == (len(batch), max(len(r.terms) for r in batch))
    for row, recipe in enumerate(batch):
        length = len(recipe.terms)
        assert tuple(seeds[row, :length].tolist()) == recipe.seeds
        np.testing.assert_allclose(coefficients[row, :length], [c for _, c in recipe.terms], rtol=1e-6)
        assert not seeds[row, length:].any()
        assert not coefficients[row, length:].any()


def test_correlation_is_that_of_the_noises() -> None:
    parent = perturb(Recipe.from_seed(1), angle=0.4, seed=2)
    child, cousin = perturb(parent, angle=0.6, seed=3), perturb(Recipe.from_seed(2), angle=0.9, seed=4)
    size = 200_000
    for a, b in [(parent, child), (parent, cousin), (child, cousin), (Recipe.from_seed(8), Recipe.from_seed(9))]:
        realised = np.corrcoef(noise(a, size), noise(b, size))[0, 1]
        assert realised == pytest.approx(correlation(a, b), abs=4 / math.sqrt(size))
    assert correlation(parent, child) == pytest.approx(math.cos(0.6))
