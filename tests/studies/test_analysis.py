"""Every analysis on a landscape whose figures are known."""

import asyncio

import numpy as np
import pytest

from eacps.search.expectation import expected_maximum_of_normals
from eacps.search.recipe import Recipe, restart
from eacps.search.spec import BestOfNSpec
from studies.analysis import best_of_n, comparison, moves
from studies.analysis.by_task import within_task_sd
from studies.analysis.comparison import Reached
from studies.contenders import DRAFT_SHARES, Contender, families
from studies.cost_tables import shown
from studies.costs import Prices, Work
from studies.parts import draft_rows, fresh_rows, probe_rows, restart_rows, search_rows
from studies.probes import fresh
from studies.rivals.settings import DraftFit
from studies.searches import gaussian_noise, search
from studies.tables import FreshRow, PairedRow, SearchRow, TrialRow
from studies.tuning import best_setting, correlations, draft_fits, landscape_rows, landscape_section
from tests.studies.landscape import SD, STEPS, bench

TASKS = range(40)
ALL = families({share: DraftFit(share**0.5, share**0.5) for share in DRAFT_SHARES})
FIRST = {family[0].name: family[0] for family in ALL}


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
    assert found[-1].work == Work(nfe=8 * STEPS, pictures=8, calls=STEPS, batches=1)


@pytest.mark.parametrize("budget", [8, 16, 32, 64])
async def test_no_contender_spends_more_than_its_budget(budget: int) -> None:
    for contender in (one for family in ALL for one in family):
        rows = await search_rows(bench(1), contender, budget)
        assert rows[-1].nfe <= budget * STEPS
        assert [row.last for row in rows] == [0] * (len(rows) - 1) + [1]
        assert [row.nfe for row in rows] == sorted(row.nfe for row in rows)


def test_contenders_are_chosen_by_name_and_the_baseline_is_among_them() -> None:
    shares = dict.fromkeys(DRAFT_SHARES, DraftFit(0.9, 0.9))
    named = families(shares, ("zeno", "adaptive_drafted"))
    assert [family[0].name for family in named] == ["best_of_n", "adaptive_drafted", "zeno"]
    with pytest.raises(ValueError, match="no contenders: nobody; there are best_of_n"):
        families(shares, ("zeno", "nobody"))


def test_settings_of_one_strategy_differ_and_say_so() -> None:
    for family in ALL:
        assert len({one.name for one in family}) == len({one.title for one in family}) == 1
        assert len({one.setting for one in family}) == len(family)
        assert len({str(one.spec(32, 0)) for one in family}) == len(family)
        assert all(bool(one.setting) == (len(family) > 1) for one in family)


async def test_drafts_correlate_as_the_landscape_says() -> None:
    rows = [row for task in TASKS for row in await draft_rows(bench(task), 24, (2, 4))]
    found = correlations(rows)
    assert found[0.25] == pytest.approx(0.25**0.5, abs=0.08)
    assert found[0.5] == pytest.approx(0.5**0.5, abs=0.08)


def test_drafts_are_fitted_within_tasks() -> None:
    rng, rows = np.random.default_rng(3), []
    for task in range(60):
        for index, final in enumerate(rng.normal(task, 1.0, 20)):
            draft = task + 0.5 * (0.8 * (final - task) + 0.6 * rng.standard_normal()) - 3.0
            rows += [PairedRow(task, index, 2, float(draft)), PairedRow(task, index, STEPS, float(final))]
    ((share, fit),) = draft_fits(rows).items()
    assert share == 0.25
    assert fit.correlation == pytest.approx(0.8, abs=0.03)
    assert fit.slope == pytest.approx(1.6, abs=0.06), "half as wide, and 0.8 of it tells"


def test_drafts_that_tell_nothing_are_hardly_believed() -> None:
    drafts, finals = (1.0, 2.0, 3.0, 4.0), (4.0, 1.0, 2.0, 0.0)
    rows = [
        PairedRow(0, index, steps, value)
        for steps, values in ((2, drafts), (STEPS, finals))
        for index, value in enumerate(values)
    ]
    assert draft_fits(rows)[0.25].correlation == 0.05


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
    rows = await two_searches(16, 32, 64)
    dear = Prices(evaluation_s=0.01, picture_s=1.0, call_s=0.0, batch_s=0.0)
    assert comparison.seconds_spent(rows, "best_of_n", dear)[64] == pytest.approx(64 * (0.01 * STEPS + 1.0))
    by_evaluations = comparison.cost_on_the_way(rows, fresh_seeds, "cross_entropy", 64)
    halves = Prices(evaluation_s=0.5, picture_s=0.0, call_s=0.0, batch_s=0.0)
    by_seconds = comparison.cost_on_the_way(rows, fresh_seeds, "cross_entropy", 64, halves)
    assert by_seconds.cost == pytest.approx(0.5 * by_evaluations.cost)
    assert by_seconds.low == pytest.approx(0.5 * by_evaluations.low)


async def test_best_of_32_costs_what_it_costs_and_a_better_search_less(fresh_seeds: list[FreshRow]) -> None:
    rows = await two_searches(16, 32, 64)
    plain = comparison.cost_of_a_plan(rows, fresh_seeds, "best_of_n")
    better = comparison.cost_of_a_plan(rows, fresh_seeds, "cross_entropy")
    assert plain.low <= 32 * STEPS <= plain.high
    assert better.cost < plain.cost
    assert better.low <= better.cost <= better.high


async def test_a_lead_is_split_by_scorer() -> None:
    rows = await two_searches(8)
    found = comparison.leads(rows, 8, bench(0).yardstick, SD)["cross_entropy"]
    last = comparison.last_rows(rows)
    ours, theirs = last["cross_entropy", 8, 0.0], last["best_of_n", 8, 0.0]
    lead = np.mean([ours[task].potential - theirs[task].potential for task in TASKS]) / SD
    parts = {name: one.mean / lead for name, one in found.items()}
    assert parts == pytest.approx({"identity": 0.5, "realism": 0.3, "prompt": 0.2}), "all score alike, by their weights"


def ends(task: int, budget: int, potential: float) -> SearchRow:
    work = Work().plus([STEPS] * budget)
    figures = (work.nfe, work.pictures, work.calls, work.batches, 1, potential, potential, *(0.0,) * 6)
    return SearchRow(task, "zeno", budget, 0.0, *figures)


def flat(task: int, potential: float) -> list[FreshRow]:
    return [FreshRow(task, index, potential, potential, *(0.0,) * 6) for index in range(64)]


def test_a_plan_between_two_budgets_is_interpolated_by_the_logarithm_of_its_cost() -> None:
    seeds = [*flat(0, 0.5), *flat(1, 0.7)]
    rows = [ends(task, budget, 0.5 + 0.2 * task + gain) for task in (0, 1) for budget, gain in ((16, -0.1), (64, 0.3))]
    cost = comparison.cost_of_a_plan(rows, seeds, "zeno")
    assert cost.cost == cost.low == cost.high == pytest.approx(16 * STEPS * 4**0.25), "a quarter of the way up"
    assert cost.least == 16 * STEPS
    assert shown(cost, 64 * STEPS) == "35% [35%, 35%]"
    prices = Prices(evaluation_s=1.0, picture_s=0.0, call_s=0.0, batch_s=0.0)
    gain = comparison.gain_of_a_plan(rows, seeds, "zeno", 24 * STEPS, prices)
    assert gain is not None
    assert gain.mean == pytest.approx(-0.1 + 0.4 * np.log(24 / 16) / np.log(4))
    for beyond in (15, 65):
        assert comparison.gain_of_a_plan(rows, seeds, "zeno", beyond * STEPS, prices) is None
    cheapest = comparison.cost_of_a_plan([row for row in rows if row.budget == 64], seeds, "zeno")
    assert shown(cheapest, 64 * STEPS) == "≤ 100% [≤ 100%, ≤ 100%]"
    dearest = comparison.cost_of_a_plan([row for row in rows if row.budget == 16], seeds, "zeno")
    assert shown(dearest, 64 * STEPS) == "not reached"


def test_an_interval_that_reaches_the_cheapest_plan_says_so() -> None:
    assert shown(Reached(cost=80.0, low=64.0, high=np.inf, least=64.0), 256) == "31% [≤ 25%, never]"
    assert shown(Reached(cost=64.0, low=64.0, high=80.0, least=64.0), 256) == "≤ 25% [≤ 25%, 31%]"


async def two_searches(*budgets: int) -> list[SearchRow]:
    rows: list[SearchRow] = []
    for budget in budgets:
        for name in ("best_of_n", "cross_entropy"):
            rows += [row for task in TASKS for row in await search_rows(bench(task), FIRST[name], budget)]
    return rows


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
    for name in ("best_of_n", "seed_offset", "adaptive"):
        rows += [row for task in TASKS for row in await search_rows(bench(task), FIRST[name], 32)]
    found = {one.contender: one for one in comparison.compare(rows, fresh_seeds, sd, sd)}
    assert found["best_of_n"].paired.mean == 0
    assert found["adaptive"].expected.mean > 0.5
    assert abs(found["seed_offset"].expected.mean) < 3 * found["seed_offset"].expected.error
    assert found["adaptive"].uncapped.mean == pytest.approx(found["adaptive"].expected.mean, abs=0.05)
    cost = comparison.cost_on_the_way(rows, fresh_seeds, "adaptive", 32)
    assert cost.low <= cost.cost <= cost.high
    assert cost.cost < 0.8 * 32 * STEPS
    against = {one.contender: one for one in comparison.differences(rows, "adaptive", 32, sd, sd)}
    assert set(against) == {"best_of_n", "seed_offset"}
    assert against["best_of_n"].potential.mean == pytest.approx(found["adaptive"].paired.mean)
    assert against["best_of_n"].held_out.mean > 0 > against["best_of_n"].truth_error.mean


async def test_a_verifiers_noise_is_the_same_for_the_same_picture_and_as_large_as_asked() -> None:
    noise = gaussian_noise(0.1, seed=4)
    recipes = fresh(9, 400)
    errors = [noise(recipe, STEPS) for recipe in recipes]
    assert errors == [noise(recipe, STEPS) for recipe in recipes]
    assert np.std(errors) == pytest.approx(0.1, rel=0.15)
    noisy = await search_rows(bench(3), FIRST["best_of_n"], 32, noise_sd=1.0)
    clean = await search_rows(bench(3), FIRST["best_of_n"], 32)
    assert noisy[-1].potential <= clean[-1].potential, "what is reported is the true potential"


def test_the_best_setting_is_that_of_the_best_results() -> None:
    low, high = (Contender("fixed", "", lambda n, seed: BestOfNSpec(seed, n), angle) for angle in ("0.3", "0.8"))
    trials = [TrialRow(task, "fixed", setting, value) for task, setting, value in ((0, "0.3", 0.2), (0, "0.8", 0.4))]
    other = TrialRow(0, "zeno", "0.3", 0.9)
    assert best_setting((low, high), [*trials, other]) is high
    assert best_setting((low,), []) is low
