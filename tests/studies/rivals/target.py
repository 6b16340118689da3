"""A landscape whose optimum is known: four coordinates of the noise, and a target that they should hit."""

import numpy as np
from numpy.typing import NDArray

from eacps.search.cohort import Cohort, Outcome
from eacps.search.context import SearchContext
from eacps.search.objective import Objective
from eacps.search.potential import Potential, Weights
from eacps.search.recipe import Recipe
from eacps.search.spec import SearchSpec
from eacps.search.strategy import Strategy
from studies.rivals.factory import create
from studies.rivals.settings import RivalSpec

STEPS = 8
CONTEXT = SearchContext(STEPS, Objective(Weights({"nearness": 1.0})))
TARGET = np.array([1.0, -1.0, 1.5, 0.5])


def coordinates(recipe: Recipe) -> NDArray[np.float64]:
    """Four standard normals, of recipes as they mix their seeds' noises; a restart keeps as much as it begins late."""
    drawn = (coefficient * np.random.default_rng(seed).standard_normal(4) for seed, coefficient in recipe.terms)
    found = np.sum(list(drawn), axis=0)
    for one in recipe.restarts:
        kept = one.step / STEPS
        found = kept * found + np.sqrt(1.0 - kept**2) * np.random.default_rng(one.seed).standard_normal(4)
    return np.asarray(found)


def distance(recipe: Recipe) -> float:
    """To the target; 0 is the optimum."""
    return float(np.linalg.norm(coordinates(recipe) - TARGET))


def outcomes(cohort: Cohort) -> dict[str, Outcome]:
    """Potentials that fall with the distance, 1 at the optimum."""
    return {candidate.id: Potential(float(np.exp(-distance(candidate.recipe)))) for candidate in cohort.candidates}


def started(spec: SearchSpec | RivalSpec) -> Strategy:
    """A strategy on this landscape."""
    return create(spec, CONTEXT)


def reached(spec: SearchSpec | RivalSpec) -> float:
    """Distance of the best that a search finds."""
    strategy = started(spec)
    while not strategy.done and (cohort := strategy.ask()) is not None:
        strategy.tell(outcomes(cohort))
    best = strategy.best()
    assert best is not None
    return distance(best.candidate.recipe)
