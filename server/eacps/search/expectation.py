"""Expected maxima of independent normals: what a batch of candidates is worth."""

from statistics import NormalDist

import numpy as np

from eacps.arrays import Float64

_POINTS = 192
_REACH = 6.0
_UNIT = NormalDist()
_GRID = np.linspace(-8.0, 8.0, 2049)
_CDF = np.array([_UNIT.cdf(float(x)) for x in _GRID])


def normal_cdf(x: Float64) -> Float64:
    """Standard normal distribution function, to 1e-5."""
    return np.asarray(np.interp(x, _GRID, _CDF, left=0.0, right=1.0))


def expected_maximum_of_normals(count: int) -> float:
    """E[max] of ``count`` independent standard normals, at least one."""
    density = np.diff(_CDF**count)
    return float(density @ (0.5 * (_GRID[1:] + _GRID[:-1])))


class BatchValue:
    """Expected maximum of a known best and a growing batch of independent candidates.

    ``E[max] = best + integral from best of (1 - product of F_i(x)) dx``.

    Args:
        best: What is had already.
        top: Beyond which no candidate is expected; the integral ends there.
    """

    def __init__(self, best: float, top: float) -> None:
        self._grid = np.linspace(best, max(top, best + 1e-9), _POINTS)
        self._step = self._grid[1] - self._grid[0]
        self._log_product = np.zeros(_POINTS)
        self.value = best
        self._best = best

    def gains(self, means: Float64, sds: Float64) -> Float64:
        """Return, for each of ``[N]`` candidates, by how much taking it in would raise the expected maximum."""
        logs = self._log_cdf(means, sds)
        return self._integral(self._log_product[None, :] + logs) - (self.value - self._best)

    def take(self, mean: float, sd: float) -> None:
        """Take a candidate into the batch."""
        self._log_product = self._log_product + self._log_cdf(np.array([mean]), np.array([sd]))[0]
        self.value = self._best + float(self._integral(self._log_product[None, :])[0])

    def _log_cdf(self, means: Float64, sds: Float64) -> Float64:
        z = (self._grid[None, :] - means[:, None]) / sds[:, None]
        return np.log(np.maximum(normal_cdf(z), 1e-12))

    def _integral(self, log_product: Float64) -> Float64:
        above = 1.0 - np.exp(log_product)
        return np.asarray((above[:, :-1] + above[:, 1:]).sum(axis=1) * 0.5 * self._step)


def reach(best: float, means: Float64, sds: Float64) -> float:
    """Return a value that hardly any candidate exceeds."""
    return float(max(best, (means + _REACH * sds).max(initial=best)))
