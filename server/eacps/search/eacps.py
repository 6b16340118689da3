"""EACPS: explore many random seeds, then search locally around the best, round after round.

Round 0 evaluates K_global fresh seeds. Every later round takes the M best candidates of all rounds so far as parents
and evaluates K_local children of each. Parents stay in the ranking, so the best so far is never lost.
"""

import math

import numpy as np

from eacps.search.cohort import Candidate, Move
from eacps.search.context import SearchContext
from eacps.search.recipe import SEED_BOUND, Recipe, perturb
from eacps.search.spec import EacpsSpec, SeedOffset, SphericalMove
from eacps.search.strategy import Strategy


class Eacps(Strategy):
    """The algorithm as written, with either reading of "near the best seed".

    Where failures leave fewer than M parents, the children they would have had become fresh seeds instead: the number
    of candidates is always the one in the spec. Whether a search goes on after a round without any potential is for
    whoever evaluates it to say.

    Args:
        spec: Settings.
        context: What the search is about.
        rng: Source of all randomness, on PCG64.
    """

    def __init__(self, spec: EacpsSpec, context: SearchContext, rng: np.random.Generator) -> None:
        super().__init__(spec, context, rng)
        self._settings = spec

    def _finished(self) -> bool:
        return self._generation > self._settings.rounds

    def _propose(self) -> list[Candidate]:
        if self._generation == 0:
            return self._explore(self._settings.global_candidates)
        return self._propose_local()

    def _parents_wanted(self) -> int:
        return self._settings.parents

    def _propose_local(self) -> list[Candidate]:
        spec = self._settings
        parents = [ranked.candidate for ranked in self.ranking()[: spec.parents]]
        parent_of_child = [parent for parent in parents for _ in range(spec.children_per_parent)]
        children = [self._child(parent, index) for index, parent in enumerate(parent_of_child)]
        unfilled = spec.parents * spec.children_per_parent - len(children)
        return children + self._explore(unfilled, start=len(children))

    def _child(self, parent: Candidate, index: int) -> Candidate:
        match self._settings.local:
            case SphericalMove() as spherical:
                angle = min(math.pi / 2, self._widening * spherical.angle_in_round(self._generation))
                recipe, move = perturb(parent.recipe, angle=angle, seed=self._fresh_seed()), Move.SPHERICAL
            case SeedOffset(radius=radius):
                seed = self._neighbor(parent.recipe, radius)
                if seed is None:
                    return self._explore(1, start=index)[0]
                recipe, move = Recipe.from_seed(seed), Move.SEED_OFFSET
        return Candidate(self._id(index), recipe, (parent.id,), self._generation, move)

    def _neighbor(self, recipe: Recipe, radius: int) -> int | None:
        """Draw an unused seed within ``radius`` of the recipe's only one; None where there is none left."""
        (origin,) = recipe.seeds
        distances = ((seed - origin + radius) % SEED_BOUND for seed in self._used_seeds)  # 0 ... 2 * radius if within
        if sum(distance <= 2 * radius for distance in distances) > 2 * radius:
            return None
        while True:
            delta = int(self._rng.integers(1, radius, endpoint=True)) * (1 if self._rng.random() < 0.5 else -1)
            seed = (origin + delta) % SEED_BOUND
            if seed not in self._used_seeds:
                self._used_seeds.add(seed)
                return seed
