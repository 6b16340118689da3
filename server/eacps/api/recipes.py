"""Recipes as messages, and back."""

from eacps.api.violations import Violations
from eacps.errors import InvalidSearchSpec
from eacps.search.recipe import Recipe, Restart
from eacps.v1 import search_service_pb2 as pb


def recipe_message(recipe: Recipe) -> pb.Recipe:
    """Return a recipe's message."""
    return pb.Recipe(
        terms=[pb.RecipeTerm(seed=seed, coefficient=value) for seed, value in recipe.terms],
        restarts=[pb.RecipeRestart(step=one.step, seed=one.seed) for one in recipe.restarts],
    )


def recipe_of(message: pb.Recipe) -> Recipe:
    """Return a message's recipe.

    Raises:
        InvalidSearchSpec: It is none.
    """
    terms = tuple((term.seed, term.coefficient) for term in message.terms)
    return Recipe(terms, tuple(Restart(one.step, one.seed) for one in message.restarts))


def checked_recipe(violations: Violations, message: pb.Recipe, path: str) -> Recipe | None:
    """Return a message's recipe; None where it is none, with what is wrong added under ``path``."""
    try:
        return recipe_of(message)
    except InvalidSearchSpec as exc:
        for violation in exc.violations:
            violations.add(f"{path}.{violation.field}", violation.description)
        return None
