"""The plot of a search."""

import pytest

from eacps.drawing.cards import ACCENT
from eacps.drawing.search_plot import PLOT_HEIGHT, PLOT_WIDTH, draw_search_plot, expected_curve, ticks
from eacps.search.expectation import expected_maximum_of_normals
from tests.cli import searches


def test_it_shows_the_best_so_far_and_every_kind_of_move() -> None:
    plot = draw_search_plot(searches.complete())
    assert plot.size == (PLOT_WIDTH, PLOT_HEIGHT)
    colors = {color: count for count, color in plot.getcolors(maxcolors=2**24) or []}
    for wanted in (ACCENT, "#8a94a3", "#2f7ed8"):
        assert colors[tuple(bytes.fromhex(wanted[1:]))] > 30
    assert tuple(bytes.fromhex("d9822b")) not in colors, "there is no cross-over"


def test_one_candidate_is_enough() -> None:
    assert draw_search_plot(searches.complete([searches.candidate("g0-000", (0.5, 0.5, 0.5))])).size == (
        PLOT_WIDTH,
        PLOT_HEIGHT,
    )


def test_what_was_spent_counts_restarts_by_the_steps_they_took() -> None:
    first, second = searches.candidate("g0-000", (0.3, 0.3, 0.3)), searches.candidate("g0-001", (0.5, 0.5, 0.5))
    second.steps = 2
    search = searches.complete([first, second])
    assert [(one.id, one.spent) for one in search.candidates] == [("g0-000", 1.0), ("g0-001", 1.25)]


def test_beyond_the_seeds_measured_the_expected_best_grows_as_that_of_normals() -> None:
    search = searches.complete()
    del search.finished.statistics.expected_best[:]
    for n, potential in ((1, 0.4), (2, 0.5)):
        search.finished.statistics.expected_best.add(n=n, potential=potential)
    curve = expected_curve(search)
    assert curve[:2] == [(1.0, 0.4), (2.0, 0.5)]
    n, potential = curve[-1]
    ratio = expected_maximum_of_normals(round(n)) / expected_maximum_of_normals(2)
    assert n == max(one.spent for one in search.candidates)
    assert potential == pytest.approx(0.4 + 0.1 * ratio)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]), (0.0, 33.0, [0, 10, 20, 30]), (0.41, 0.44, [0.41, 0.415, 0.42])],
)
def test_ticks_are_round_numbers(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high)[: len(expected)] == pytest.approx(expected)
