"""The model of the landscape against the textbook's formulas, one fit after the other with whole matrices."""

import numpy as np
import pytest

from eacps.search import landscape
from eacps.search.calibration import Landscape
from eacps.search.landscape import LandscapeModel, Observation, correlations, kernel
from eacps.search.recipe import Recipe, perturb


def observations(count: int, *, noisy: bool) -> list[Observation]:
    rng = np.random.default_rng(count)
    recipes = [Recipe.from_seed(seed) for seed in range(max(1, count // 3))]
    while len(recipes) < count:
        parent = recipes[int(rng.integers(len(recipes)))]
        recipes.append(perturb(parent, angle=float(rng.uniform(0.1, 1.2)), seed=1000 + len(recipes)))
    noises = rng.choice([0.0, 0.4], count) if noisy else np.zeros(count)
    return [
        Observation(one, float(rng.normal(0.5, 0.1)), float(noise)) for one, noise in zip(recipes, noises, strict=True)
    ]


def by_the_textbook(
    seen: list[Observation], prior: Landscape, asked: list[Recipe]
) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Means and standard deviations of ``asked``, and posterior means of the curvature and of the spread.

    Universal kriging with a constant trend; the evidence is that of a multivariate t distribution (Rasmussen and
    Williams 2006, 2.7; with an inverse gamma prior of four seeds where the checkpoint's spread is known).
    """
    known = [one.recipe for one in seen]
    values, ones = np.array([one.value for one in seen]), np.ones(len(seen))
    seeds = 0.0 if prior.spread is None else 4.0
    evidences, means, variances, curvatures, spreads = [], [], [], [], []
    for curvature in landscape._CURVATURES:
        for scatter, share in zip(landscape._SCATTERS, landscape._SCATTER_WEIGHTS, strict=True):
            covariance = kernel(correlations(known, known), curvature)
            covariance = covariance + np.diag([scatter + one.noise for one in seen])
            precision = ones @ np.linalg.solve(covariance, ones)
            mean = ones @ np.linalg.solve(covariance, values) / precision
            squares = (values - mean) @ np.linalg.solve(covariance, values - mean) + seeds * (prior.spread or 0.0) ** 2
            freedom = len(seen) - 1 + seeds
            evidences.append(
                np.log(share)
                - 0.5 * (np.log(curvature / prior.curvature) / prior.curvature_sd) ** 2
                - 0.5 * (np.linalg.slogdet(covariance)[1] + np.log(precision) + freedom * np.log(squares))
            )
            cross = kernel(correlations(asked, known), curvature)
            means.append(mean + cross @ np.linalg.solve(covariance, values - mean))
            explained = np.diag(cross @ np.linalg.solve(covariance, cross.T))
            spreads.append(np.sqrt(squares / freedom))
            variances.append(spreads[-1] ** 2 * (1 - explained))
            curvatures.append(np.log(curvature))
    weights = np.exp(np.array(evidences) - max(evidences))
    weights /= weights.sum()
    chosen = weights > 0.02 * weights.max()
    mixed = weights[chosen] / weights[chosen].sum()
    each, spread = np.array(means)[chosen], np.array(variances)[chosen]
    mean = mixed @ each
    deviation = np.sqrt(mixed @ (spread + (each - mean) ** 2))
    return mean, deviation, float(np.exp(weights @ np.array(curvatures))), float(weights @ np.array(spreads))


@pytest.mark.parametrize("noisy", [False, True])
@pytest.mark.parametrize("count", [3, 12, 80])
@pytest.mark.parametrize("prior", [Landscape(0.9, 0.5, 0.05, 0.01), Landscape(1.0, 3.0)], ids=["known", "unknown"])
def test_predictions_are_those_of_the_textbook(count: int, prior: Landscape, noisy: bool) -> None:
    seen = observations(count, noisy=noisy)
    asked = [perturb(one.recipe, angle=0.4, seed=5000) for one in seen] + [Recipe.from_seed(6000)]
    model = LandscapeModel(seen, prior)
    mean, deviation, curvature, spread = by_the_textbook(seen, prior, asked)
    found_mean, found_deviation = model.predict(asked)
    assert found_mean == pytest.approx(mean, abs=1e-9)
    assert found_deviation == pytest.approx(deviation, abs=1e-9)
    assert model.curvature == pytest.approx(curvature)
    assert model.spread == pytest.approx(spread)
