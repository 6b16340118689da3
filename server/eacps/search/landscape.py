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
from numpy.typing import NDArray

from eacps.arrays import Float64
from eacps.search.calibration import Landscape
from eacps.search.recipe import Recipe

_CURVATURES = np.exp(np.linspace(np.log(0.15), np.log(12.0), 12))
_SCATTERS = np.array([0.01, 0.1, 0.3, 1.0])  # variance of a score itself, in variances over noise
_SCATTER_WEIGHTS = np.array([0.5, 0.25, 0.15, 0.1])
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
    """The model after some observations: a mixture of fits, one for each curvature and each scatter of scores.

    Args:
        observations: At least one.
        prior: Of the checkpoint.
    """

    def __init__(self, observations: Sequence[Observation], prior: Landscape) -> None:
        self._recipes = [one.recipe for one in observations]
        self._fits = _Fits(
            correlations(self._recipes, self._recipes),
            np.array([one.value for one in observations]),
            np.array([one.noise for one in observations]),
            prior.spread,
        )
        distance = np.log(_CURVATURES / prior.curvature) / prior.curvature_sd
        evidence = self._fits.log_likelihood + np.log(_SCATTER_WEIGHTS) - 0.5 * distance[:, None] ** 2
        weights = np.exp(evidence - evidence.max())
        self._weights = weights / weights.sum()  # [curvatures, scatters]

    @property
    def curvature(self) -> float:
        """Posterior mean of the logarithm of the kernel's curvature, as a curvature."""
        return float(np.exp(self._weights.sum(axis=1) @ np.log(_CURVATURES)))

    @property
    def spread(self) -> float:
        """Posterior mean of the standard deviation of the potential over noise."""
        return float((self._weights * self._fits.spread).sum())

    @property
    def mean(self) -> float:
        """Posterior mean of the potential of a fresh seed."""
        return float((self._weights * self._fits.mean).sum())

    def predict(self, recipes: Sequence[Recipe]) -> tuple[Float64, Float64]:
        """Return mean and standard deviation, each ``[N]``, of the potentials of recipes, without the scores' scatter.

        Fits of little weight are left out, the rest mixed; the deviation holds their disagreement.
        """
        cross = correlations(recipes, self._recipes)
        chosen = self._weights > 0.02 * self._weights.max()
        weights = self._weights[chosen] / self._weights[chosen].sum()
        parts = [
            self._fits.predict(cross, index, chosen[index]) for index in np.flatnonzero(chosen.any(axis=1)).tolist()
        ]
        means, variances = (np.concatenate(one) for one in zip(*parts, strict=True))
        mean = weights @ means
        variance = weights @ (variances + (means - mean) ** 2)
        return mean, np.sqrt(np.maximum(variance, _MIN_SPREAD**2))


class _Fits:
    """Mean and spread by generalized least squares, for C curvatures and S scatters at once.

    Scatter adds a constant to the diagonal of a covariance, so that all scatters share the eigenvectors of their
    curvature.

    Attributes:
        mean, spread, log_likelihood: Each ``[C, S]``.
    """

    def __init__(self, correlations: Float64, values: Float64, noises: Float64, known_spread: float | None) -> None:
        covariances = np.array([kernel(correlations, curvature) for curvature in _CURVATURES]) + np.diag(noises)
        eigenvalues, self._vectors = np.linalg.eigh(covariances)
        self._eigenvalues = np.maximum(eigenvalues, 0.0)[:, None] + _SCATTERS[:, None]  # [C, S, observations]
        ones, rotated = (self._vectors.sum(axis=1)[:, None], (values @ self._vectors)[:, None])
        precision = (ones**2 / self._eigenvalues).sum(axis=2)
        self.mean = (ones * rotated / self._eigenvalues).sum(axis=2) / precision
        residual = rotated - self.mean[..., None] * ones
        squares = (residual**2 / self._eigenvalues).sum(axis=2)
        self._gain = residual / self._eigenvalues
        # Marginal over mean (flat) and spread (inverse gamma where the checkpoint's is known), up to a constant.
        known = 0.0 if known_spread is None else _PRIOR_SEEDS * known_spread**2
        freedom = len(values) - 1 + (0.0 if known_spread is None else _PRIOR_SEEDS)
        self.spread = np.sqrt(np.maximum((squares + known) / max(freedom, 1.0), _MIN_SPREAD**2))
        self.log_likelihood = -0.5 * (
            np.log(self._eigenvalues).sum(axis=2)
            + np.log(precision)
            + freedom * np.log(np.maximum(squares + known, 1e-18))
        )

    def predict(self, cross: Float64, curvature: int, scatters: NDArray[np.bool_]) -> tuple[Float64, Float64]:
        """Return means and variances, each ``[fits, N]``, by the chosen fits of one curvature.

        Args:
            cross: Correlations with the observations, ``[N, observations]``.
            curvature: Its index.
            scatters: Chosen, ``[S]``.
        """
        shared = kernel(cross, _CURVATURES[curvature]) @ self._vectors[curvature]
        explained = (1.0 / self._eigenvalues[curvature, scatters]) @ (shared**2).T
        means = self.mean[curvature, scatters, None] + self._gain[curvature, scatters] @ shared.T
        return means, self.spread[curvature, scatters, None] ** 2 * np.clip(1.0 - explained, 0.0, 1.0)
