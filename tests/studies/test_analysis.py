"""Every analysis on a landscape whose figures are known."""

import asyncio

import numpy as np
import pytest

from eacps.search.expectation import expected_maximum_of_normals
from eacps.search.recipe import Recipe, restart
from eacps.search.spec import BestOfNSpec
from studies.analysis import best_of_n, comparison, moves
from studies.analysis.by_task import within_task_sd
from studies.contenders import Contender, Draft, contenders
from studies.parts import draft_rows, fresh_rows, probe_rows, restart_rows, search_rows
from studies.prices import Prices
from studies.probes import fresh
from studies.searches import gaussian_noise, search
from studies.tables import FreshRow, SearchRow
from studies.tuning import best_angle, correlations, landscape_rows, landscape_section
from tests.studies.landscape import SD, STEPS, bench

TASKS = range(40)
DRAFT = Draft(0.375, 0.25, 0.375**0.5)


@pytest.fixture(scope="module")
def fresh_seeds() -> list[FreshRow]:
    return [row for task in TASKS for row in asyncio.run(fresh_rows(bench(task), 64))]


async def test_every_search_of_a_task_begins_with_the_same_seeds() -> None:
    one = bench(5)
    asked = fresh(5, 8)
    found = await search(one.scoreboard, BestOfNSpec(5, 8), one.yardstick, steps=STEPS)
    values = [row.potential for row in await fresh_rows(one, 8)]
    assert asked[0].seeds == (5,)
    assert found[-1].potential == max(values)
    assert found[-1].steps == 8 * STEPS


@pytest.mark.parametrize("budget", [8, 32])
async def test_no_contender_spends_more_than_its_budget(budget: int) -> None:
    for contender in contenders(0.6, DRAFT):
        rows = await search_rows(bench(1), contender, budget)
        assert rows[-1].nfe <= budget * STEPS
        assert [row.last for row in rows] == [0] * (len(rows) - 1) + [1]
        assert [row.nfe for row in rows] == sorted(row.nfe for row in rows)


def test_contenders_are_chosen_by_name_and_the_baseline_is_among_them() -> None:
    named = contenders(0.6, DRAFT, ("zeno", "adaptive_drafted"))
    assert [one.name for one in named] == ["best_of_n", "adaptive_drafted", "zeno"]
    with pytest.raises(ValueError, match="no contenders: nobody; there are best_of_n"):
        contenders(0.6, DRAFT, ("zeno", "nobody"))


async def test_drafts_correlate_as_the_landscape_says() -> None:
    rows = [row for task in TASKS for row in await draft_rows(bench(task), 24, (2, 4))]
    found = correlations(rows)
    assert found[0.25] == pytest.approx(0.25**0.5, abs=0.08)
    assert found[0.5] == pytest.approx(0.5**0.5, abs=0.08)


async def test_children_by_restarts_correlate_as_the_landscape_says() -> None:
    found = correlations([row for task in TASKS for row in await restart_rows(bench(task), 24, (4, 6))])
    assert found == pytest.approx({0.5: 0.5, 0.75: 0.75}, abs=0.08)


def test_a_noisy_verifier_errs_differently_about_a_picture_and_its_restarts() -> None:
    noise, parent = gaussian_noise(1.0, 3), Recipe.from_seed(5)
    pictures = [
        parent,
        restart(parent, step=4, seed=7),
        restart(parent, step=6, seed=7),
        restart(parent, step=6, seed=8),
    ]
    errors = [noise(one, STEPS) for one in pictures]
    assert len(set(errors)) == len(pictures)
    assert errors == [noise(one, STEPS) for one in pictures]


async def test_wall_time_counts_evaluations_and_pictures(fresh_seeds: list[FreshRow]) -> None:
    rows: list[SearchRow] = []
    for contender in contenders(0.6, DRAFT, ("cross_entropy", "best_of_n_drafted")):
        rows += [row for task in TASKS for row in await search_rows(bench(task), contender, 64)]
    dear = Prices(evaluation_s=0.01, picture_s=1.0)
    drafted = [row for row in rows if row.contender == "best_of_n_drafted" and row.last]
    assert all(row.pictures > 64 for row in drafted), "drafts are decoded and scored too"
    spent = comparison.seconds_spent(rows, "best_of_n_drafted", dear)
    assert spent[64] == pytest.approx(np.mean([0.01 * row.nfe + row.pictures for row in drafted]))
    assert comparison.seconds_spent(rows, "best_of_n", dear)[64] == pytest.approx(64 * (0.01 * STEPS + 1.0))
    by_evaluations = comparison.cost_of(rows, fresh_seeds, "cross_entropy", [64], steps=STEPS)
    by_seconds = comparison.cost_of(
        rows, fresh_seeds, "cross_entropy", [64], steps=STEPS, prices=Prices(evaluation_s=0.5, picture_s=0.0)
    )
    assert by_evaluations is not None
    assert by_seconds == (pytest.approx(0.5 * by_evaluations[0]), 64)


async def test_children_correlate_with_parents_as_their_noises_do(fresh_seeds: list[FreshRow]) -> None:
    probes = [row for task in TASKS for row in await probe_rows(bench(task), 4)]
    found = moves.move_correlations(probes, fresh_seeds)
    assert {one.move for one in found} == {"spherical", "seed_offset", "siblings", "strangers"}
    for one in found:
        if one.move in ("spherical", "seed_offset"):
            assert one.rho == pytest.approx(one.noise, abs=0.2)
            assert one.low <= one.rho <= one.high
        else:  # crossed over its norm, a child is its parents' mean made longer
            assert one.rho == pytest.approx(1.0, abs=0.01)
        assert abs(one.shift) < 0.35
    assert moves.fitted_curvature(found) < 1.0, "rho is the noises' own correlation: the straightest kernel"


async def test_the_landscape_is_found_again(fresh_seeds: list[FreshRow]) -> None:
    fitted = [one for task in range(8) for one in await landscape_rows(bench(task), seeds=24, parents=4)]
    found = landscape_section(fitted)
    assert found["spread"]["mean"] == pytest.approx(SD, rel=0.25)
    assert found["curvature"]["mean"] < 1.5
    assert within_task_sd(fresh_seeds) == pytest.approx(SD, rel=0.1)


async def test_best_of_n_follows_the_law_of_normals(fresh_seeds: list[FreshRow]) -> None:
    sd = within_task_sd(fresh_seeds)
    normal, logarithm = sorted(best_of_n.fits(fresh_seeds, sd), key=lambda fit: "log" in fit.name)
    assert normal.error < logarithm.error
    assert normal.better > 0.6
    assert abs(normal.predicted.mean) < abs(logarithm.predicted.mean)
    curves = np.stack(list(best_of_n.curves(fresh_seeds).values()))
    gains = (curves.mean(axis=0) - curves.mean(axis=0)[0]) / SD
    assert gains[4] == pytest.approx(expected_maximum_of_normals(16), abs=0.15)


async def test_what_is_not_searched_follows_as_far_as_it_is_the_same(fresh_seeds: list[FreshRow]) -> None:
    rows = best_of_n.held_out(fresh_seeds)
    assert [row.n for row in rows] == [1, 2, 4, 8, 16, 32, 64]
    for row in rows[1:]:
        assert row.held_out.mean == pytest.approx(row.potential.mean / 2, abs=0.002)
        assert row.truth_error.mean == pytest.approx(-row.potential.mean, abs=0.002)
        assert row.step.mean > 0


async def test_adaptive_beats_best_of_n_at_equal_cost_and_seed_offset_does_not(fresh_seeds: list[FreshRow]) -> None:
    sd = within_task_sd(fresh_seeds)
    rows: list[SearchRow] = []
    for contender in contenders(0.6, DRAFT):
        if contender.name in ("best_of_n", "seed_offset", "adaptive"):
            rows += [row for task in TASKS for row in await search_rows(bench(task), contender, 32)]
    found = {one.contender: one for one in comparison.compare(rows, fresh_seeds, sd, sd)}
    assert found["best_of_n"].paired.mean == 0
    assert found["adaptive"].expected.mean > 0.5
    assert abs(found["seed_offset"].expected.mean) < 3 * found["seed_offset"].expected.error
    assert found["adaptive"].uncapped.mean == pytest.approx(found["adaptive"].expected.mean, abs=0.05)
    cost = comparison.cost_of(rows, fresh_seeds, "adaptive", [32], steps=STEPS)
    assert cost is not None
    assert cost[0] < 0.8 * 32 * STEPS


async def test_a_verifiers_noise_is_the_same_for_the_same_picture_and_as_large_as_asked() -> None:
    noise = gaussian_noise(0.1, seed=4)
    recipes = fresh(9, 400)
    errors = [noise(recipe, STEPS) for recipe in recipes]
    assert errors == [noise(recipe, STEPS) for recipe in recipes]
    assert np.std(errors) == pytest.approx(0.1, rel=0.15)
    noisy = await search_rows(bench(3), contenders(0.6, DRAFT)[0], 32, noise_sd=1.0)
    clean = await search_rows(bench(3), contenders(0.6, DRAFT)[0], 32)
    assert noisy[-1].potential <= clean[-1].potential, "what is reported is the true potential"


async def test_the_best_angle_is_that_of_the_best_results() -> None:
    row = (await search_rows(bench(0), Contender("0.3", "", lambda n, seed: BestOfNSpec(seed, n)), 8))[-1]
    better = (await search_rows(bench(0), Contender("0.8", "", lambda n, seed: BestOfNSpec(seed, n)), 64))[-1]
    assert row.potential < better.potential
    assert best_angle([row, better]) == 0.8
