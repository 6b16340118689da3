"""Pairs of pictures that tell how the landscape lies: parents that nobody selected, and children by every move."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from eacps.search.recipe import SEED_BOUND, Recipe, cross, perturb, restart

ANGLES: Final = (0.2, 0.4, 0.6, 0.8, 1.0, 1.3)
SIBLING_ANGLE: Final = 0.6
OFFSET_RADIUS: Final = 1024


@dataclass(frozen=True)
class Probe:
    """A child and its parents.

    Attributes:
        move: ``spherical``, ``seed_offset``, ``siblings`` or ``strangers``: the last two name who was crossed.
        angle: Of a spherical move, in radians; 0 otherwise.
        parents: One or two recipes.
        child: Its recipe.
    """

    move: str
    angle: float
    parents: tuple[Recipe, ...]
    child: Recipe


def fresh(task: int, count: int) -> list[Recipe]:
    """Return the first fresh seeds that every strategy with ``spec.seed == task`` explores."""
    rng, seeds = np.random.Generator(np.random.PCG64(task)), [task % SEED_BOUND]
    while len(seeds) < count:
        if (seed := int(rng.integers(SEED_BOUND))) not in seeds:
            seeds.append(seed)
    return [Recipe.from_seed(seed) for seed in seeds[:count]]


def restarted(task: int, parents: Sequence[Recipe], step: int) -> list[Recipe]:
    """Return a child of each parent, by a restart at ``step``."""
    rng = np.random.default_rng([task, 8, step])
    return [restart(parent, step=step, seed=int(rng.integers(SEED_BOUND))) for parent in parents]


def probes(task: int, parents: Sequence[Recipe]) -> list[Probe]:
    """Return all probes of one task: of each parent a child by every move, of neighbors in the list the crossing."""
    rng = np.random.default_rng([task, 7])
    found = [*itertools.chain.from_iterable(_of_one(parent, rng) for parent in parents)]
    for one, other in zip(parents, [*parents[1:], parents[0]], strict=True):
        found.append(Probe("strangers", 0.0, (one, other), cross(one, other)))
    return found


def recipes_of(found: Sequence[Probe]) -> list[Recipe]:
    """Return every recipe that the probes need a score of, each once."""
    return list(dict.fromkeys(itertools.chain.from_iterable((*one.parents, one.child) for one in found)))


def _of_one(parent: Recipe, rng: np.random.Generator) -> Iterator[Probe]:
    def stranger() -> int:
        return int(rng.integers(SEED_BOUND))

    children = {angle: perturb(parent, angle=angle, seed=stranger()) for angle in ANGLES}
    for angle, child in children.items():
        yield Probe("spherical", angle, (parent,), child)
    offset = int(rng.integers(1, OFFSET_RADIUS))
    yield Probe("seed_offset", 0.0, (parent,), Recipe.from_seed((parent.seeds[0] + offset) % SEED_BOUND))
    sibling = perturb(parent, angle=SIBLING_ANGLE, seed=stranger())
    yield Probe("siblings", 0.0, (children[SIBLING_ANGLE], sibling), cross(children[SIBLING_ANGLE], sibling))
