"""Recipes: a candidate's noise as a sparse unit vector over seeds, replayable forever.

A recipe ``{seed: coefficient}`` stands for the noise ``z = sum of coefficient * eps(seed)``. ``eps(seed)`` is the
standard normal field a generator seeded with ``seed`` draws; fields of different seeds are independent. Because the
squares of the coefficients sum to 1, ``z`` is itself exactly a draw from N(0, I), and the correlation of two recipes'
noises is the dot product of their coefficients.

A recipe may end in restarts: the finished picture's latents are noised again, to the level of a step of the schedule,
with the noise of one more seed, and denoised from there. Each restart costs the steps from there on alone, and the
whole chain replays from the recipe.

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
MAX_RESTARTS = 16
"""Of one recipe: replaying it takes a trajectory for itself and a part of one for each of them."""
NEGLIGIBLE_COEFFICIENT = 1e-12  # far below what FP32 noise can show; such terms would only lengthen recipes


@dataclass(frozen=True, slots=True)
class Restart:
    """Noise a finished picture again and denoise it from there.

    Args:
        step: Of the full schedule, at least 1: the picture is noised to the level before it.
        seed: Of the noise, in ``[0, 2**32)``.
    """

    step: int
    seed: int


@dataclass(frozen=True, slots=True)
class Recipe:
    """A sparse unit vector over seeds, and restarts of its picture.

    Args:
        terms: ``(seed, coefficient)`` pairs in ascending order of the seed, each seed once, seeds in ``[0, 2**32)``,
            coefficients finite and not zero, their squares summing to 1 within 1e-9.
        restarts: In their order, at most 16, with seeds that neither repeat nor are among the terms'.

    Raises:
        InvalidSearchSpec: ``terms`` or ``restarts`` break one of those rules.
    """

    terms: tuple[tuple[int, float], ...]
    restarts: tuple[Restart, ...] = ()

    def __post_init__(self) -> None:
        violations = [FieldViolation("terms", text) for text in _term_errors(self.terms)]
        violations += [FieldViolation("restarts", text) for text in _restart_errors(self)]
        if violations:
            raise InvalidSearchSpec(violations)

    @classmethod
    def from_seed(cls, seed: int) -> "Recipe":
        """Return the recipe of one seed: the noise a plain user gets for it.

        Args:
            seed: In ``[0, 2**32)``.

        Raises:
            InvalidSearchSpec: ``seed`` out of range.
        """
        return cls(((seed, 1.0),))

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of the terms, ascending, then those of the restarts."""
        return (*(seed for seed, _ in self.terms), *(restart.seed for restart in self.restarts))

    @property
    def start_step(self) -> int:
        """Step at which its last trajectory begins: 0, or that of the last restart."""
        return self.restarts[-1].step if self.restarts else 0

    @property
    def last_noise(self) -> "Recipe":
        """The noise of its last trajectory: its own, or that of the last restart."""
        return Recipe.from_seed(self.restarts[-1].seed) if self.restarts else self

    @property
    def restarted(self) -> "Recipe":
        """The recipe whose picture the last restart noises; itself where there is none."""
        return Recipe(self.terms, self.restarts[:-1])

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able form; ``from_dict`` restores an equal recipe, bit for bit."""
        form: dict[str, Any] = {"terms": [[seed, coefficient] for seed, coefficient in self.terms]}
        if self.restarts:
            form["restarts"] = [[restart.step, restart.seed] for restart in self.restarts]
        return form

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
        try:
            restarts = tuple(Restart(step, seed) for step, seed in data.get("restarts", ()))
        except (TypeError, ValueError) as exc:
            raise InvalidSearchSpec([FieldViolation("restarts", "is not a list of [step, seed] pairs")]) from exc
        return cls(terms, restarts)


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
    if error := seed_error(seed):
        violations.append(FieldViolation("seed", error))
    elif seed in parent.seeds:
        # Noise that shares a seed with its parent would have a variance above 1.
        violations.append(FieldViolation("seed", f"{seed} is already among the parent's"))
    if parent.restarts:
        violations.append(FieldViolation("parent", "was restarted: its picture is not that of its noise"))
    if violations:
        raise InvalidSearchSpec(violations)
    if angle == 0.0:
        return parent
    kept = [(s, math.cos(angle) * coefficient) for s, coefficient in parent.terms]
    return _normalized([*kept, (seed, math.sin(angle))])


def restart(parent: Recipe, *, step: int, seed: int) -> Recipe:
    """Derive a child recipe that noises the parent's finished picture again and denoises it from ``step`` on.

    Args:
        parent: Not modified.
        step: Of the full schedule, at least 1.
        seed: Of the fresh noise, in ``[0, 2**32)``; not among the parent's.

    Raises:
        InvalidSearchSpec: ``step`` or ``seed`` out of range, ``seed`` already used, or too many restarts.
    """
    return Recipe(parent.terms, (*parent.restarts, Restart(step, seed)))


def restarts_error(recipe: Recipe, steps: int) -> str | None:
    """Return what is wrong with a recipe's restarts under a schedule of so many steps, or None."""
    late = [one.step for one in recipe.restarts if one.step >= steps]
    return f"begin at step {late[0]}, of {steps} steps" if late else None


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
    try:
        return combine((one, other), (math.sqrt(share), math.sqrt(1.0 - share)))
    except InvalidSearchSpec as exc:
        raise InvalidSearchSpec([FieldViolation("other", "cancels out with the first recipe")]) from exc


def combine(recipes: Sequence[Recipe], weights: Sequence[float]) -> Recipe:
    """Combine recipes into another one: their weighted sum over its norm, again a draw from N(0, I).

    Args:
        recipes: At least one. Not modified.
        weights: One for each recipe, finite; only their proportions and signs matter.

    Raises:
        InvalidSearchSpec: The weighted recipes cancel out, or one was restarted.
    """
    if any(recipe.restarts for recipe in recipes):
        raise InvalidSearchSpec([FieldViolation("recipes", "were restarted: their pictures are not those of noise")])
    terms: dict[int, float] = {}
    for recipe, weight in zip(recipes, weights, strict=True):
        for seed, coefficient in recipe.terms:
            terms[seed] = terms.get(seed, 0.0) + weight * coefficient
    if math.fsum(coefficient**2 for coefficient in terms.values()) < NORM_TOLERANCE:
        raise InvalidSearchSpec([FieldViolation("recipes", "cancel out")])
    return _normalized(terms.items())


def correlation(a: Recipe, b: Recipe) -> float:
    """Return the correlation of two recipes' noises, in ``[-1, 1]``: the dot product of their coefficients.

    Restarts do not count: they follow the noises that are compared.
    """
    coefficients = dict(b.terms)
    dot = math.fsum(coefficient * coefficients.get(seed, 0.0) for seed, coefficient in a.terms)
    return max(-1.0, min(1.0, dot))


def stack(recipes: Sequence[Recipe]) -> tuple[NDArray[np.uint32], NDArray[np.float32]]:
    """Lay the noises of recipes side by side as the sampler's tensors.

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


def seed_error(seed: object) -> str | None:
    """Return what is wrong with ``seed`` as a seed, or None where it is an int in ``[0, 2**32)``."""
    if isinstance(seed, bool) or not isinstance(seed, int):
        return f"{seed!r} is not an int"
    if not 0 <= seed < SEED_BOUND:
        return f"{seed} is not in [0, 2**32)"
    return None


def _restart_errors(recipe: Recipe) -> list[str]:
    restarts = recipe.restarts
    errors = [error for one in restarts if (error := seed_error(one.seed))]
    if any(isinstance(one.step, bool) or not isinstance(one.step, int) or one.step < 1 for one in restarts):
        errors.append("a step is not an int of at least 1")
    if len(restarts) > MAX_RESTARTS:
        errors.append(f"are {len(restarts)}, above {MAX_RESTARTS}")
    if restarts and len(set(recipe.seeds)) < len(recipe.seeds):
        errors.append("a seed repeats")
    return errors


def _normalized(terms: Iterable[tuple[int, float]]) -> Recipe:
    """Drop negligible terms, divide by the true norm, sort by seed."""
    kept = sorted(term for term in terms if abs(term[1]) > NEGLIGIBLE_COEFFICIENT)
    norm = math.sqrt(math.fsum(coefficient**2 for _, coefficient in kept))
    return Recipe(tuple((seed, coefficient / norm) for seed, coefficient in kept))


def _term_errors(terms: tuple[tuple[int, float], ...]) -> list[str]:
    errors = [error for seed, _ in terms if (error := seed_error(seed))]
    if not errors and any(a >= b for (a, _), (b, _) in itertools.pairwise(terms)):
        errors.append("seeds are not in ascending order, each once")
    coefficients = [coefficient for _, coefficient in terms]
    if any(not math.isfinite(c) or c == 0.0 for c in coefficients):
        errors.append("a coefficient is zero or not finite")
    elif abs(math.fsum(c * c for c in coefficients) - 1.0) > NORM_TOLERANCE:
        errors.append("squares of the coefficients do not sum to 1")
    return errors
