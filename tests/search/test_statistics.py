"""Estimates from a pool agree with what they estimate."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eacps.errors import InvalidSearchSpec
from eacps.search.cohort import Candidate, Evaluated, Failed, Move, Outcome
from eacps.search.potential import Potential
from eacps.search.recipe import Recipe
from eacps.search.statistics import expected_best, summarize

STEPS = 8


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=8), st.data())
def test_expected_best_is_the_mean_over_all_subsets(pool: list[float], data: st.DataObject) -> None:
    n = data.draw(st.integers(1, len(pool)))
    subsets = [max(subset) for subset in itertools.combinations(pool, n)]
    assert expected_best(pool, n) == pytest.approx(math.fsum(subsets) / len(subsets), abs=1e-9)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50))
def test_expected_best_grows_from_mean_to_maximum(pool: list[float]) -> None:
    curve = [expected_best(pool, n) for n in range(1, len(pool) + 1)]
    assert curve[0] == pytest.approx(np.mean(pool))
    assert curve[-1] == pytest.approx(max(pool))
    assert all(a <= b + 1e-12 for a, b in itertools.pairwise(curve))


def test_expected_best_is_unbiased() -> None:
    rng = np.random.default_rng(5)
    estimates = [expected_best(list(rng.standard_normal(12)), 4) for _ in range(4000)]
    error = np.std(estimates) / math.sqrt(len(estimates))
    assert np.mean(estimates) == pytest.approx(1.02938, abs=4 * error)  # E[max of 4 normals]


def test_large_pools_do_not_overflow() -> None:
    assert expected_best([i / 4096 for i in range(4096)], 2000) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("n", [0, 4, -1])
def test_expected_best_needs_a_pool_of_n(n: int) -> None:
    with pytest.raises(InvalidSearchSpec):
        expected_best([1.0, 2.0, 3.0], n)


def test_expected_best_refuses_what_is_not_finite() -> None:
    with pytest.raises(InvalidSearchSpec):
        expected_best([0.0, math.nan], 1)


def evaluated(index: int, outcome: Outcome, move: Move = Move.EXPLORE) -> Evaluated:
    return Evaluated(Candidate(f"g0-{index:03d}", Recipe.from_seed(index), (), 0, move), outcome)


def test_summary_of_a_search() -> None:
    history = [
        evaluated(0, Potential(0.4)),
        evaluated(1, Potential(0.6, False, ("realism",))),
        evaluated(2, Failed("no picture")),
        evaluated(3, Potential(0.9), Move.SPHERICAL),
    ]
    summary = summarize(history)
    assert (summary.evaluated, summary.failed, summary.incomplete) == (3, 1, 1)
    assert (summary.first, summary.best, summary.best_complete) == (0.4, 0.9, True)
    assert summary.gain_over_first == pytest.approx(0.5)
    assert summary.explored_mean == pytest.approx(0.4)  # the lower bound 0.6 is no measurement
    assert summary.explored_sd is None
    assert summary.explored_best_of == ((1, pytest.approx(0.4)),)


BOUND = Potential(0.3, False, ("realism",))


@pytest.mark.parametrize(
    ("outcomes", "first", "best"), [((BOUND, Potential(0.9)), None, 0.9), ((Potential(0.1), BOUND), 0.1, 0.3)]
)
def test_a_lower_bound_on_either_side_is_no_gain(
    outcomes: tuple[Potential, Potential], first: float | None, best: float
) -> None:
    summary = summarize([evaluated(index, outcome) for index, outcome in enumerate(outcomes)])
    assert (summary.first, summary.best, summary.gain_over_first) == (first, best, None)
    assert summary.gain_over(0.1) == (None if best == BOUND.value else pytest.approx(best - 0.1))
    assert summary.gain_over(None) is None


def test_spread_and_best_of_n_over_what_was_measured() -> None:
    values = [Potential(0.2), Potential(0.4), BOUND, Potential(0.6)]
    summary = summarize([evaluated(index, outcome) for index, outcome in enumerate(values)])
    assert summary.explored_mean == pytest.approx(0.4)
    assert summary.explored_sd == pytest.approx(0.2)
    assert [n for n, _ in summary.explored_best_of] == [1, 2]


def test_summary_where_the_first_candidate_failed() -> None:
    summary = summarize([evaluated(0, Failed("x")), evaluated(1, Potential(0.5))])
    assert (summary.first, summary.gain_over_first, summary.best) == (None, None, 0.5)
    assert summary.explored_sd is None


@pytest.mark.parametrize("history", [[], [evaluated(0, Failed("x"))]])
def test_summary_of_nothing(history: list[Evaluated]) -> None:
    summary = summarize(history)
    assert summary.best is summary.first is summary.gain_over_first is summary.explored_mean is None
    assert summary.explored_best_of == ()
