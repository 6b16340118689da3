"""Restarts: finished pictures noised again and denoised from there, as moves at a part of a trajectory's price."""

import json
import math
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from eacps.errors import InvalidSearchSpec
from eacps.search import eacps_adaptive
from eacps.search.calibration import Calibration, Landscape
from eacps.search.cohort import Candidate, Cohort, Move, Outcome
from eacps.search.factory import restore
from eacps.search.known import KnownPoint
from eacps.search.landscape import correlation_of, kernel
from eacps.search.potential import Potential
from eacps.search.recipe import Recipe, Restart, combine, correlation, perturb, restart, stack
from eacps.search.spec import AdaptiveSpec
from tests.search.contexts import create
from tests.search.test_adaptive import STEPS, Field

CURVATURE = 1.2
RESTARTED = Calibration(landscape=Landscape(CURVATURE, 0.5, 0.05, 0.01), restarts={0.5: 0.5, 0.75: 0.75})
PARENT = perturb(Recipe.from_seed(3), angle=0.6, seed=5)


def outcomes(cohort: Cohort, field: Field) -> dict[str, Outcome]:
    heights = {candidate.id: field.height(candidate.recipe) for candidate in cohort.candidates}
    return {key: Potential(min(1.0, max(0.0, 0.5 + 0.05 * height))) for key, height in heights.items()}


def run(spec: AdaptiveSpec, seed: int) -> tuple[float, list[Candidate]]:
    """Height of a search's best, and all of its candidates."""
    strategy, field, candidates = create(spec, steps=STEPS, calibration=RESTARTED), Field(seed, 1.6), list[Candidate]()
    while not strategy.done and (cohort := strategy.ask()) is not None:
        candidates += cohort.candidates
        strategy.tell(outcomes(cohort, field))
    best = strategy.best()
    assert best is not None
    return field.height(best.candidate.recipe), candidates


def test_a_restart_keeps_its_parent_and_begins_late() -> None:
    child = restart(restart(PARENT, step=4, seed=7), step=6, seed=9)
    assert child.restarts == (Restart(4, 7), Restart(6, 9))
    assert (child.start_step, PARENT.start_step) == (6, 0)
    assert child.restarted == restart(PARENT, step=4, seed=7)
    assert child.seeds == (3, 5, 7, 9)
    seeds, coefficients = stack([child.last_noise])
    assert (seeds.tolist(), coefficients.tolist()) == ([[9]], [[1.0]])
    assert Recipe.from_dict(json.loads(json.dumps(child.to_dict()))) == child


@pytest.mark.parametrize(("step", "seed"), [(0, 7), (1.5, 7), (True, 7), (4, 3), (4, -1), (4, 2**32)])
def test_restarts_that_replay_nothing_are_refused(step: int, seed: int) -> None:
    with pytest.raises(InvalidSearchSpec, match="restarts"):
        restart(PARENT, step=step, seed=seed)


def test_noises_of_restarted_recipes_are_not_combined() -> None:
    child = restart(PARENT, step=4, seed=7)
    with pytest.raises(InvalidSearchSpec, match="restarted"):
        perturb(child, angle=0.5, seed=11)
    with pytest.raises(InvalidSearchSpec, match="restarted"):
        combine([child, PARENT], [1.0, 1.0])


def test_a_chain_that_is_not_known_costs_all_of_it() -> None:
    recipe = restart(restart(PARENT, step=4, seed=7), step=6, seed=9)
    move = Candidate("a", recipe, ("parent",), 1, Move.RESTART)
    start = Candidate("b", recipe, (), 0, Move.START)
    assert (move.evaluations(STEPS), move.start_step) == (2, 6)
    assert (start.evaluations(STEPS), start.start_step) == (8 + 4 + 2, 0)


def test_the_kernel_is_inverted() -> None:
    for curvature in (0.2, 1.0, 8.0):
        assert kernel(correlation_of(0.6, curvature), curvature) == pytest.approx(0.6)


def test_restarts_pay_where_they_keep_what_their_price_buys() -> None:
    gains = [
        run(AdaptiveSpec(seed, 32, restarts=True), seed)[0] - run(AdaptiveSpec(seed, 32, restarts=False), seed)[0]
        for seed in range(24)
    ]
    assert np.mean(gains) > 2 * np.std(gains, ddof=1) / math.sqrt(len(gains))


def test_a_search_with_restarts_costs_no_more_than_its_trajectories() -> None:
    _, candidates = run(AdaptiveSpec(5, 16, restarts=True), 5)
    moves = [candidate.move for candidate in candidates]
    assert Move.RESTART in moves
    assert len(candidates) > 16
    assert sum(candidate.evaluations(STEPS) for candidate in candidates) <= 16 * STEPS
    assert len({candidate.recipe for candidate in candidates}) == len(candidates)


@pytest.mark.parametrize(
    ("trajectories", "given", "first"),
    [
        (8, {}, 1),
        (32, {}, 1),
        (64, {}, 9),
        (64, {"restart_trajectories": 12}, 13),
        (64, {"restart_trajectories": 64}, 1),
        (64, {"restart_trajectories": 0}, None),
        (64, {"restarts": False}, None),
        (64, {"rounds": 1}, 1),
        (64, {"rounds": 2}, 2),
        (48, {"rounds": 3, "restart_trajectories": 1}, 3),
    ],
)
def test_large_searches_restart_in_their_last_rounds(
    trajectories: int, given: dict[str, Any], first: int | None
) -> None:
    candidates = run(AdaptiveSpec(5, trajectories, **given), 5)[1]
    rounds = {one.generation for one in candidates if one.move is Move.RESTART}
    assert bool(rounds) == (first is not None)
    assert all(one >= first for one in rounds if first is not None)
    if first is not None and "rounds" not in given:
        assert min(rounds) <= first + 2, "where they are allowed they are taken"
    assert sum(one.evaluations(STEPS) for one in candidates) <= trajectories * STEPS


@pytest.mark.parametrize("trajectories", [8, 16, 32])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.29, 0.5, 1.0])
def test_fresh_seeds_keep_their_share_of_the_whole_search(trajectories: int, share: float) -> None:
    spec = AdaptiveSpec(4, trajectories, fresh_share=share)
    candidates = run(spec, 4)[1]
    fresh = [one.generation for one in candidates if one.move is Move.EXPLORE]
    for number in range(spec.planned_rounds + 1):
        owed = math.floor(Fraction(str(share)) * spec.trajectories_by_round(number))
        assert sum(generation <= number for generation in fresh) >= owed, f"round {number}"
    if share == 1.0:
        assert len(candidates) == len(fresh) == trajectories


@pytest.mark.parametrize("trajectories", [8, 16])
def test_small_searches_move_too(trajectories: int) -> None:
    spec, found = AdaptiveSpec(0, trajectories), list[int]()
    for seed in range(8):
        candidates = run(replace(spec, seed=seed), seed)[1]
        found.append(sum(one.move is Move.EXPLORE for one in candidates))
        assert len(candidates) > trajectories, "restarts cost less than fresh seeds"
    assert np.median(found) == spec.trajectories_by_round(0), "none of one or two a round need be fresh"


def test_moves_of_a_restarted_pictures_noise_are_offered_where_it_cannot_be_restarted_yet() -> None:
    liked = KnownPoint(restart(PARENT, step=6, seed=7), {"potential": 0.9})
    others = tuple(KnownPoint(Recipe.from_seed(1000 + n), {"potential": 0.5 + 0.02 * (n % 5)}) for n in range(12))
    cohort = create(AdaptiveSpec(1, 32, start=(liked,), known=others), steps=STEPS, calibration=RESTARTED).ask()
    assert cohort is not None
    assert cohort.note is not None
    _, start, *rest = list(cohort.candidates)
    children = [one for one in rest if one.parents == (start.id,)]
    assert start.recipe == liked.recipe
    assert {one.move for one in children} == {Move.SPHERICAL}
    assert all(0.3 < correlation(one.recipe, PARENT) < 1.0 and not one.recipe.restarts for one in children)
    assert cohort.note.angle is not None


def test_where_recipes_allow_no_more_restarts_the_picture_before_is_restarted_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(eacps_adaptive, "MAX_RESTARTS", 1)
    _, candidates = run(AdaptiveSpec(5, 32, restarts=True, parents=1), 5)
    known = {candidate.id: candidate for candidate in candidates}
    restarted = [one for one in known.values() if one.move is Move.RESTART]
    assert all(one.recipe.restarted == known[one.parents[0]].recipe for one in restarted)
    assert len({one.generation for one in restarted}) > 3, "also where the best is restarted already"


def test_restored_equals_uninterrupted() -> None:
    spec, field = AdaptiveSpec(5, 16, restarts=True), Field(5, 1.6)
    strategy = create(spec, steps=STEPS, calibration=RESTARTED)
    while not strategy.done and (cohort := strategy.ask()) is not None:
        restored = restore(json.loads(json.dumps(strategy.snapshot())))
        assert restored.pending == cohort
        told = outcomes(cohort, field)
        strategy.tell(told)
        restored.tell(told)
        assert restored.snapshot() == strategy.snapshot()
