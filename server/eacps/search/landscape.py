"""A model of the potential over noise: a Gaussian process over recipes.

Two recipes whose noises correlate by c have potentials that correlate by ``kernel(c)``, a curve of one parameter. For a
move by an angle it says how child and parent correlate, rho(angle) = kernel(cos(angle)); for cross-over of two recipes
the same curve says what the children of good parents are worth. The model learns the parameter from all that a search
has seen: the likelihood is that of parents chosen for being good, so their selection biases nothing, and scatter of
the scores themselves is separated from scatter over noise (a plain correlation of parents and children does neither).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eacps.arrays import Float64
from eacps.search.calibration import Landscape
from eacps.search.recipe import Recipe

_CURVATURES = np.exp(np.linspace(np.log(0.15), np.log(12.0), 12))
_NOISES = np.array([0.01, 0.1, 0.3, 1.0])  # variance of a score itself, in variances over noise
_NOISE_WEIGHTS = np.array([0.5, 0.25, 0.15, 0.1])
_MIN_SPREAD = 1e-6
_PRIOR_SEEDS = 4.0  # so many seeds' worth of evidence has the checkpoint's spread


def kernel(correlation: Float64 | float, curvature: float) -> Float64:
    """Correlate potentials of noises that correlate by ``correlation``, each in ``[0, 1]``.

    ``(exp(q c) - 1) / (exp(q) - 1)``: 1 at 1, 0 at 0, nearly c for small q and all but 0 short of 1 for large q. All
    terms of its power series are positive, so it is positive definite over any set of recipes.
    """
    return np.asarray(np.expm1(curvature * np.asarray(correlation, np.float64)) / np.expm1(curvature))


def correlation_of(potentials: float, curvature: float) -> float:
    """Invert `kernel`: the correlation of noises whose potentials correlate by ``potentials``, in ``[0, 1]``."""
    return float(np.log1p(potentials * np.expm1(curvature)) / curvature)


def correlations(rows: Sequence[Recipe], columns: Sequence[Recipe]) -> Float64:
    """Correlate noises: ``[len(rows), len(columns)]``, at least 0 as far as the model is concerned."""
    columns_of = {seed: index for index, seed in enumerate(sorted({s for r in (*rows, *columns) for s in r.seeds}))}

    def table(recipes: Sequence[Recipe]) -> Float64:
        out = np.zeros((len(recipes), len(columns_of)))
        for row, recipe in enumerate(recipes):
            for seed, coefficient in recipe.terms:
                out[row, columns_of[seed]] = coefficient
        return out

    return np.clip(table(rows) @ table(columns).T, 0.0, 1.0)


@dataclass(frozen=True)
class Observation:
    """What is known of one recipe.

    Args:
        recipe: Whose.
        value: Utility of its picture.
        noise: Variance with which ``value`` tells that utility, in variances over noise: 0 where it was measured, more
            where it was estimated.
    """

    recipe: Recipe
    value: float
    noise: float = 0.0


class LandscapeModel:
    """The model after some observations.

    Args:
        observations: At least one.
        prior: Of the checkpoint.
    """

    def __init__(self, observations: Sequence[Observation], prior: Landscape) -> None:
        self._recipes = [one.recipe for one in observations]
        self._values = np.array([one.value for one in observations])
        self._extra = np.array([one.noise for one in observations])
        self._correlations = correlations(self._recipes, self._recipes)
        self._prior = prior
        self._fits = [
            (self._log_prior(curvature) + np.log(weight), self._fit(curvature, noise))
            for curvature in _CURVATURES
            for noise, weight in zip(_NOISES, _NOISE_WEIGHTS, strict=True)
        ]
        evidence = np.array([log_prior + fit.log_likelihood for log_prior, fit in self._fits])
        self.weights = np.exp(evidence - evidence.max())
        self.weights /= self.weights.sum()

    @property
    def curvature(self) -> float:
        """Posterior mean of the logarithm of the kernel's curvature, as a curvature."""
        logs = np.log(np.repeat(_CURVATURES, len(_NOISES)))
        return float(np.exp(self.weights @ logs))

    @property
    def spread(self) -> float:
        """Posterior mean of the standard deviation of the potential over noise."""
        return float(self.weights @ np.array([fit.spread for _, fit in self._fits]))

    @property
    def mean(self) -> float:
        """Posterior mean of the potential of a fresh seed."""
        return float(self.weights @ np.array([fit.mean for _, fit in self._fits]))

    def predict(self, recipes: Sequence[Recipe]) -> tuple[Float64, Float64]:
        """Return mean and standard deviation, each ``[N]``, of the potentials of recipes, without the scores' scatter.

        Fits of little weight are left out, the rest mixed; the deviation holds their disagreement.
        """
        cross = correlations(recipes, self._recipes)
        chosen = np.flatnonzero(self.weights > 0.02 * self.weights.max())
        weights = self.weights[chosen] / self.weights[chosen].sum()
        parts = [self._fits[index][1].predict(cross) for index in chosen]
        means = np.array([mean for mean, _ in parts])
        variances = np.array([variance for _, variance in parts])
        mean = weights @ means
        variance = weights @ (variances + (means - mean) ** 2)
        return mean, np.sqrt(np.maximum(variance, _MIN_SPREAD**2))

    def _log_prior(self, curvature: float) -> float:
        distance = np.log(curvature / self._prior.curvature) / self._prior.curvature_sd
        return float(-0.5 * distance**2)

    def _fit(self, curvature: float, noise: float) -> "_Fit":
        covariance = kernel(self._correlations, curvature) + np.diag(noise + self._extra)
        return _Fit(covariance, self._values, curvature, self._prior.spread)


class _Fit:
    """One curvature and one noise: mean and spread by generalized least squares."""

    def __init__(self, covariance: Float64, values: Float64, curvature: float, known_spread: float | None) -> None:
        count = len(values)
        self._curvature = curvature
        self._inverse = np.linalg.inv(covariance)
        ones = self._inverse.sum(axis=1)
        self.mean = float(ones @ values / ones.sum())
        self._residual = values - self.mean
        squares = float(self._residual @ self._inverse @ self._residual)
        prior = 0.0 if known_spread is None else _PRIOR_SEEDS * known_spread**2
        seeds = 0.0 if known_spread is None else _PRIOR_SEEDS
        variance = max((squares + prior) / max(count - 1 + seeds, 1.0), _MIN_SPREAD**2)
        self.spread = float(np.sqrt(variance))
        self._gain = self._inverse @ self._residual
        _, log_determinant = np.linalg.slogdet(covariance)
        # Marginal over mean (flat) and spread (inverse gamma where the checkpoint's is known), up to a constant.
        freedom = count - 1 + seeds
        self.log_likelihood = float(
            -0.5 * (log_determinant + np.log(ones.sum()) + freedom * np.log(max(squares + prior, 1e-18)))
        )

    def predict(self, cross: Float64) -> tuple[Float64, Float64]:
        shared = kernel(cross, self._curvature)
        explained = np.einsum("ij,jk,ik->i", shared, self._inverse, shared)
        return self.mean + shared @ self._gain, self.spread**2 * np.clip(1.0 - explained, 0.0, 1.0)
