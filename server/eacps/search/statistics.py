"""Statistics of a pool of candidates: what search gained, and what plain best-of-N would have given."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from eacps.errors import FieldViolation, InvalidSearchSpec
from eacps.search.cohort import Evaluated, Move, Outcome
from eacps.search.potential import Potential


def expected_best(values: Sequence[float], n: int) -> float:
    """Estimate Q(n), the expected best of ``n`` independent draws, without bias from a pool of ``m >= n`` of them.

    The mean of the maximum over all subsets of size ``n``: the i-th smallest value is the maximum of C(i-1, n-1) of the
    C(m, n) subsets (the estimator known from pass@k).

    Args:
        values: Pool of ``m`` independent draws, in any order.
        n: In ``[1, m]``.

    Raises:
        InvalidSearchSpec: ``n`` out of range, or a value is not finite.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    m = len(ordered)
    if not 1 <= n <= m:
        raise InvalidSearchSpec([FieldViolation("n", f"is {n}, not in [1, {m}]")])
    if not np.isfinite(ordered).all():
        raise InvalidSearchSpec([FieldViolation("values", "are not all finite")])
    return float(best_of_shares(m, n) @ ordered)


def best_of_shares(m: int, n: int) -> NDArray[np.float64]:
    """Return, for each of ``m`` draws in ascending order, the share of the subsets of size ``n`` whose best it is.

    Args:
        m: Draws, at least 1.
        n: In ``[1, m]``.
    """
    # C(i-1, n-1) / C(m, n) from the largest down, as a running product: it is n/m for i = m, and going from i to i-1
    # multiplies by (i-n)/(i-1), so nothing overflows.
    i = np.arange(m, 1, -1)
    return np.asarray(n / m * np.concatenate([[1.0], np.cumprod(np.maximum(i - n, 0) / (i - 1))]))[::-1]


@dataclass(frozen=True, slots=True)
class PoolStatistics:
    """Figures of one search; potentials in ``[0, 1]``, None where there is nothing to compute them from.

    Lower bounds are no measurements: but for ``best``, only complete potentials count.

    Args:
        evaluated: Candidates with a potential.
        failed: Candidates without one.
        incomplete: Those of ``evaluated`` whose potential is a lower bound.
        first: Potential of the first candidate; None where it failed or is a lower bound.
        best: Highest potential, as candidates are ranked.
        best_complete: Whether ``best`` is a measurement; False where there is none.
        gain_over_first: ``best - first``; None where either is not measured.
        explored_mean: Mean over the fresh seeds alone: what one plain try gives on average.
        explored_sd: Their standard deviation (unbiased variance); needs two.
        explored_best_of: ``(n, Q(n))`` for n = 1, 2, 4 ... up to the number of fresh seeds measured.
    """

    evaluated: int
    failed: int
    incomplete: int
    first: float | None
    best: float | None
    best_complete: bool
    gain_over_first: float | None
    explored_mean: float | None
    explored_sd: float | None
    explored_best_of: tuple[tuple[int, float], ...]

    def gain_over(self, other: float | None) -> float | None:
        """Return ``best - other``; None where the best is a lower bound, or ``other``, measured elsewhere, is None."""
        if self.best is None or not self.best_complete or other is None:
            return None
        return self.best - other


def summarize(history: Sequence[Evaluated]) -> PoolStatistics:
    """Sum up a search from ``Strategy.history()``, in order of proposal."""
    scored = [(one.candidate, one.outcome) for one in history if isinstance(one.outcome, Potential)]
    explored = [known.value for candidate, known in scored if candidate.move is Move.EXPLORE and known.complete]
    best = max((known for _, known in scored), key=lambda known: known.value, default=None)  # ties as in the ranking
    first = measured(history[0].outcome) if history else None
    summary = PoolStatistics(
        evaluated=len(scored),
        failed=len(history) - len(scored),
        incomplete=sum(not known.complete for _, known in scored),
        first=first,
        best=None if best is None else best.value,
        best_complete=best is not None and best.complete,
        gain_over_first=None,
        explored_mean=float(np.mean(explored)) if explored else None,
        explored_sd=float(np.std(explored, ddof=1)) if len(explored) > 1 else None,
        explored_best_of=tuple((n, expected_best(explored, n)) for n in _doublings(len(explored))),
    )
    return replace(summary, gain_over_first=summary.gain_over(first))


def measured(outcome: Outcome | None) -> float | None:
    """Return a potential's value; None where there is none, or a lower bound only."""
    return outcome.value if isinstance(outcome, Potential) and outcome.complete else None


def _doublings(most: int) -> list[int]:
    return [1 << power for power in range(most.bit_length())]
