"""What is edited, and from which noise: drawn tasks of held-out people, each with the seeds of one search."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray

from eacps.search import factory
from eacps.search.context import SearchContext
from eacps.search.objective import Objective
from eacps.search.potential import Weights
from eacps.search.spec import BestOfNSpec
from studio_mini.world.tasks import Split, task

Picture = NDArray[np.uint8]
# Best-of-N asks for the same noise whatever is climbed.
_CONTEXT = SearchContext(steps=1, objective=Objective(Weights({"identity": 1.0})))


@dataclass(frozen=True, eq=False)
class Edit:
    """One edit request.

    Args:
        number: Of the drawn task; also the seed of the search.
        scene: ``uint8 [H, W, 3]``, of the size in which the checkpoint works.
        character: ``uint8 [h, w, 3]``.
        prompt: What the edit should do.
        candidates: How many pictures are made of it.
    """

    number: int
    scene: Picture
    character: Picture
    prompt: str
    candidates: int

    @property
    def seeds(self) -> list[int]:
        """Noise seeds of the candidates: those that best-of-N asks for."""
        strategy = factory.create(BestOfNSpec(seed=self.number, candidates=self.candidates), _CONTEXT)
        cohort = strategy.ask()
        return [] if cohort is None else [candidate.recipe.seeds[0] for candidate in cohort.candidates]


def drawn_edits(candidates: int) -> Iterator[Edit]:
    """Yield edits without end, no two alike, so that nothing computed for one can be reused for another."""
    for number in count():
        drawn = task(number, Split.HELD_OUT)
        yield Edit(number, drawn.scene.picture, drawn.character.picture, drawn.prompt, candidates)
