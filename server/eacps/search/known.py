"""Points of noise that a search begins from: recipes of earlier searches, with their scores where those count again."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eacps.search.objective import Objective
from eacps.search.potential import Potential, ScoreCard
from eacps.search.recipe import Recipe

MAX_OTHERS = 64
"""Of one earlier search, candidates whose scores are known beside those of its start points."""


@dataclass(frozen=True, slots=True)
class KnownPoint:
    """A recipe that is known to be worth looking at.

    Args:
        recipe: Its noise.
        scores: Calibrated scores of its picture in the same edit, by scorer; None where they do not count, because the
            edit, the checkpoint or a scorer was another.
        build: Of the checkpoint that the scores are of.
    """

    recipe: Recipe
    scores: Mapping[str, float] | None = None
    build: str = ""

    def potential(self, objective: Objective) -> Potential | None:
        """Return what its scores amount to; None where they do not count, or a weighted one is not known."""
        if self.scores is None or not objective.weights.normalized.keys() <= self.scores.keys():
            return None
        return objective.potential(ScoreCard(dict(self.scores)))

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able form."""
        scores = None if self.scores is None else dict(self.scores)
        return {"recipe": self.recipe.to_dict(), "scores": scores, "build": self.build}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "KnownPoint":
        """Restore from ``to_dict``'s form; raises KeyError, TypeError, ValueError or InvalidSearchSpec on another."""
        return cls(Recipe.from_dict(data["recipe"]), data["scores"], data["build"])
