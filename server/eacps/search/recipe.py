"""Recipes: a candidate's noise as a sparse unit vector over seeds, replayable forever.

A recipe ``{seed: coefficient}`` stands for the noise ``z = sum of coefficient * eps(seed)``. ``eps(seed)`` is the
standard normal field a generator seeded with ``seed`` draws; fields of different seeds are independent. Because the
squares of the coefficients sum to 1, ``z`` is itself exactly a draw from N(0, I), and the correlation of two recipes'
noises is the dot product of their coefficients.

This module does not know how ``eps`` is drawn, nor shapes or dtypes of latents: the sampler does.
"""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eacps.errors import FieldViolation, InvalidSearchSpec

SEED_BOUND = 2**32  # torch's CPU generator uses the low 32 bits of a seed only
NORM_TOLERANCE = 1e-9
NEGLIGIBLE_COEFFICIENT = 1e-12  # far below what FP32 noise can show; such terms would only lengthen recipes


@dataclass(frozen=True, slots=True)
class Recipe:
    """A sparse unit vector over seeds.

    Args:
        terms: ``(seed, coefficient)`` pairs in ascending order of the seed, each seed once, seeds in ``[0, 2**32)``,
            coefficients finite and not zero, their squares summing to 1 within 1e-9.

    Raises:
        InvalidSearchSpec: ``terms`` breaks one of those rules.
    """

    terms: tuple[tuple[int, float], ...]

    def __post_init__(self) -> None:
        violations = [FieldViolation("terms", text) for text in _faults_of_terms(self.terms)]
        if violations:
            raise InvalidSearchSpec(violations)

    @classmethod
    def from_seed(cls, seed: int) -> "Recipe":
        """Give the recipe of one seed: the noise a plain user gets for it.

        Args:
            seed: In ``[0, 2**32)``.

        Raises:
            InvalidSearchSpec: ``seed`` out of range.
        """
        return cls(((seed, 1.0),))

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of the terms, ascending."""
        return tuple(seed for seed, _ in self.terms)

    def to_dict(self) -> dict[str, Any]:
        """Give a JSON-able form; ``from_dict`` restores an equal recipe, bit for bit."""
        return {"terms": [[seed, coefficient] for seed, coefficient in self.terms]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Recipe":
        """Restore a recipe from ``to_dict``'s form.

        Raises:
            InvalidSearchSpec: ``data`` has another form or breaks a recipe's rules.
        """
        try:
            terms = tuple((seed, float(coefficient)) for seed, coefficient in data["terms"])
        except (KeyError, TypeError, ValueError) as exc:
            raise InvalidSearchSpec([FieldViolation("terms", "is not a list of [seed, coefficient] pairs")]) from exc
        return cls(terms)


def perturb(parent: Recipe, *, angle: float, seed: int) -> Recipe:
    """Derive a child recipe at ``angle`` from ``parent`` on the sphere of Gaussian noise.

    The child's noise is ``cos(angle) * z + sin(angle) * eps(seed)``, again a draw from N(0, I), and its correlation
    with the parent's noise ``z`` is ``cos(angle)``.

    Args:
        parent: Recipe whose noise ``z`` is perturbed. Not modified.
        angle: Radius of the move in radians, in ``[0, pi/2]``; 0 copies, pi/2 resamples.
        seed: Seed of the fresh noise ``eps``, in ``[0, 2**32)``; not among the parent's.

    Raises:
        InvalidSearchSpec: ``angle`` or ``seed`` out of range, or ``seed`` already used.
    """
    violations = []
    if not 0.0 <= angle <= math.pi / 2:  # NaN fails this too
        violations.append(FieldViolation("angle", f"is {angle}, not in [0, pi/2]"))
    if fault := fault_of_seed(seed):
        violations.append(FieldViolation("seed", fault))
    elif seed in parent.seeds:
        # Noise that shares a seed with its parent would have a variance above 1.
        violations.append(FieldViolation("seed", f"{seed} is already among the parent's"))
    if violations:
        raise InvalidSearchSpec(violations)
    if angle == 0.0:
        return parent
    kept = [(s, math.cos(angle) * coefficient) for s, coefficient in parent.terms]
    return _normalised([*kept, (seed, math.sin(angle))])


def cross(one: Recipe, other: Recipe, *, share: float = 0.5) -> Recipe:
    """Combine two recipes into a third: their weighted sum over its norm, again a draw from N(0, I).

    Args:
        one: Not modified.
        other: Not modified.
        share: Of ``one``, in ``[0, 1]``; of the squares, so that independent recipes correlate with the child by its
            root.

    Raises:
        InvalidSearchSpec: ``share`` out of range, or the recipes cancel out.
    """
    if not 0.0 <= share <= 1.0:  # NaN fails this too
        raise InvalidSearchSpec([FieldViolation("share", f"is {share}, not in [0, 1]")])
    terms = {seed: math.sqrt(share) * coefficient for seed, coefficient in one.terms}
    for seed, coefficient in other.terms:
        terms[seed] = terms.get(seed, 0.0) + math.sqrt(1.0 - share) * coefficient
    if math.fsum(coefficient**2 for coefficient in terms.values()) < NORM_TOLERANCE:
        raise InvalidSearchSpec([FieldViolation("other", "cancels out with the first recipe")])
    return _normalised(terms.items())


def correlation(a: Recipe, b: Recipe) -> float:
    """Give the correlation of two recipes' noises, in ``[-1, 1]``: the dot product of their coefficients."""
    coefficients = dict(b.terms)
    dot = math.fsum(coefficient * coefficients.get(seed, 0.0) for seed, coefficient in a.terms)
    return max(-1.0, min(1.0, dot))


def stack(recipes: Sequence[Recipe]) -> tuple[NDArray[np.uint32], NDArray[np.float32]]:
    """Lay recipes side by side as the sampler's tensors.

    Args:
        recipes: ``N`` recipes, at least one; the longest has ``D`` terms.

    Returns:
        Seeds, uint32 ``[N, D]``, and coefficients, float32 ``[N, D]``: each row holds a recipe's terms in ascending
        order of the seed, then padding ``(0, 0.0)``, which adds nothing to the noise.

    Raises:
        InvalidSearchSpec: ``recipes`` is empty.
    """
    if not recipes:
        raise InvalidSearchSpec([FieldViolation("recipes", "is empty")])
    shape = (len(recipes), max(len(recipe.terms) for recipe in recipes))
    seeds, coefficients = np.zeros(shape, np.uint32), np.zeros(shape, np.float32)
    for row, recipe in enumerate(recipes):
        for column, (seed, coefficient) in enumerate(recipe.terms):
            seeds[row, column], coefficients[row, column] = seed, coefficient
    return seeds, coefficients


def fault_of_seed(seed: object) -> str | None:
    """Say what is wrong with ``seed`` as a seed, or None where it is an int in ``[0, 2**32)``."""
    if isinstance(seed, bool) or not isinstance(seed, int):
        return f"{seed!r} is not an int"
    if not 0 <= seed < SEED_BOUND:
        return f"{seed} is not in [0, 2**32)"
    return None


def _normalised(terms: Iterable[tuple[int, float]]) -> Recipe:
    """Drop negligible terms, divide by the true norm, sort by seed."""
    kept = sorted(term for term in terms if abs(term[1]) > NEGLIGIBLE_COEFFICIENT)
    norm = math.sqrt(math.fsum(coefficient**2 for _, coefficient in kept))
    return Recipe(tuple((seed, coefficient / norm) for seed, coefficient in kept))


def _faults_of_terms(terms: tuple[tuple[int, float], ...]) -> list[str]:
    faults = [fault for seed, _ in terms if (fault := fault_of_seed(seed))]
    if not faults and any(a >= b for (a, _), (b, _) in itertools.pairwise(terms)):
        faults.append("seeds are not in ascending order, each once")
    coefficients = [coefficient for _, coefficient in terms]
    if any(not math.isfinite(c) or c == 0.0 for c in coefficients):
        faults.append("a coefficient is zero or not finite")
    elif abs(math.fsum(c * c for c in coefficients) - 1.0) > NORM_TOLERANCE:
        faults.append("squares of the coefficients do not sum to 1")
    return faults
