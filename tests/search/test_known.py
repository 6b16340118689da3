"""Points to begin from: in the first round, with scores or without, and seeds that no candidate has."""

import json

import pytest

from eacps.errors import InvalidSearchSpec
from eacps.search.budget import Allowance
from eacps.search.cohort import Cohort, Move
from eacps.search.factory import restore
from eacps.search.known import KnownPoint
from eacps.search.potential import Potential
from eacps.search.recipe import Recipe, correlation, perturb, restart
from eacps.search.spec import AdaptiveSpec, BestOfNSpec, EacpsSpec, SearchSpec, on_build
from eacps.search.strategy import Strategy
from tests.search.contexts import create

GOOD = perturb(Recipe.from_seed(7), angle=0.5, seed=11)
SCORED = KnownPoint(GOOD, {"potential": 0.9}, "build")
OTHERS = tuple(
    KnownPoint(Recipe.from_seed(1000 + index), {"potential": 0.5 + 0.02 * (index % 5)}, "build") for index in range(12)
)
"""Fresh seeds of the search that found it."""


def told(strategy: Strategy, cohort: Cohort, target: Recipe) -> None:
    """Score candidates by how much their noise is that of ``target``."""
    strategy.tell(
        {
            candidate.id: Potential(0.5 + 0.4 * max(0.0, correlation(candidate.recipe, target)))
            for candidate in cohort.candidates
        }
    )


def first_round(*start: KnownPoint, candidates: int = 16, known: tuple[KnownPoint, ...] = ()) -> Cohort:
    cohort = create(AdaptiveSpec(1, candidates, start=start, known=known), steps=8).ask()
    assert cohort is not None
    return cohort


def test_each_point_is_a_candidate_of_the_first_round_after_the_plain_seed() -> None:
    other = Recipe.from_seed(21)
    candidates = list(first_round(KnownPoint(GOOD), KnownPoint(other)).candidates)
    assert [one.recipe for one in candidates[:3]] == [Recipe.from_seed(1), GOOD, other]
    assert [one.move for one in candidates] == [Move.EXPLORE, Move.START, Move.START, Move.EXPLORE]
    assert not set(candidates[3].recipe.seeds) & {7, 11, 21}, "fresh seeds are none of theirs"


def test_a_point_with_a_score_is_searched_around_from_the_first_round_on() -> None:
    candidates = list(first_round(SCORED, candidates=64, known=OTHERS).candidates)
    start = candidates[1]
    children = [one for one in candidates if one.parents == (start.id,)]
    assert start.recipe == GOOD
    assert len(children) >= 4
    assert all(correlation(one.recipe, GOOD) > 0.3 for one in children)
    assert not {seed for one in candidates for seed in one.recipe.seeds} & {1000 + index for index in range(12)}


@pytest.mark.parametrize(("share", "fresh"), [(0.1, 1), (0.3, 4), (1.0, 15)])
def test_the_least_share_of_fresh_seeds_holds_beside_points_with_scores(share: float, fresh: int) -> None:
    cohort = create(AdaptiveSpec(1, 64, fresh_share=share, start=(SCORED,), known=OTHERS), steps=8).ask()
    assert cohort is not None
    moves = [one.move for one in cohort.candidates]
    assert (len(moves), moves.count(Move.EXPLORE)) == (16, fresh)


def test_a_score_of_another_checkpoint_or_without_a_weighted_scorer_does_not_count() -> None:
    for point in (KnownPoint(GOOD, {"other": 0.9}, "build"), KnownPoint(GOOD, None)):
        moves = [candidate.move for candidate in first_round(point, candidates=32).candidates]
        assert moves == [Move.EXPLORE, Move.START, *[Move.EXPLORE] * (len(moves) - 2)]
    spec = AdaptiveSpec(1, 32, start=(SCORED,), known=OTHERS)
    assert on_build(spec, "build") == spec
    other = on_build(spec, "another")
    assert isinstance(other, AdaptiveSpec)
    assert other.start == (KnownPoint(GOOD, None, "build"),)
    assert other.known == ()


def test_it_finds_more_like_a_good_point_than_a_search_without_it() -> None:
    found = {}
    for name, start, known in (("with", (SCORED,), OTHERS), ("without", (), ())):
        strategy = create(AdaptiveSpec(3, 24, start=start, known=known), steps=8)
        while not strategy.done:
            cohort = strategy.ask()
            assert cohort is not None
            told(strategy, cohort, GOOD)
        near = [one for one in strategy.ranking() if correlation(one.candidate.recipe, GOOD) > 0.5]
        found[name] = len(near)
    assert found["with"] > 5
    assert found["without"] == 0


def test_a_restored_search_goes_on_as_an_uninterrupted_one() -> None:
    restarted = KnownPoint(restart(GOOD, step=6, seed=98), {"potential": 0.8}, "build")
    start = (SCORED, KnownPoint(Recipe.from_seed(99)), restarted)
    known = (KnownPoint(Recipe.from_seed(0), {"potential": 0.5}, "build"), *OTHERS)
    spec = AdaptiveSpec(5, 20, start=start, known=known, avoided_seeds=(4, 5))
    strategy = create(spec, steps=8)
    while not strategy.done:
        twin = restore(json.loads(json.dumps(strategy.snapshot())))
        assert twin.spec == spec
        cohort = strategy.ask()
        assert cohort is not None
        assert twin.ask() == cohort
        told(strategy, cohort, GOOD)


@pytest.mark.parametrize(("trajectories", "points"), [(2, 1), (4, 3), (16, 4), (64, 1)])
def test_a_least_gain_ends_no_search_before_its_first_pictures(trajectories: int, points: int) -> None:
    start = (SCORED, *(KnownPoint(Recipe.from_seed(200 + n)) for n in range(points - 1)))
    strategy = create(AdaptiveSpec(1, trajectories, start=start, known=OTHERS), steps=8)
    cohort = strategy.ask(Allowance(min_gain_per_trajectory=0.9))
    assert cohort is not None
    assert len(cohort.candidates) >= 1 + points


@pytest.mark.parametrize("spec", [BestOfNSpec(5, 40), EacpsSpec(5, 30), AdaptiveSpec(5, 40)])
def test_no_candidate_has_an_avoided_seed(spec: SearchSpec) -> None:
    def seeds(of: SearchSpec) -> set[int]:
        strategy, used = create(of, steps=8), set[int]()
        while not strategy.done:
            cohort = strategy.ask()
            assert cohort is not None
            used |= {seed for candidate in cohort.candidates for seed in candidate.recipe.seeds}
            told(strategy, cohort, GOOD)
        return used

    free = seeds(spec)
    avoided = (*sorted(free)[:4], 5, 6)
    kind = type(spec)
    assert 5 in free, "the first seed"
    guarded = seeds(kind(**{**{name: getattr(spec, name) for name in kind.__slots__}, "avoided_seeds": avoided}))
    assert not guarded & set(avoided)


def test_what_contradicts_itself_is_named() -> None:
    for start, candidates, avoided, field in (
        ((KnownPoint(GOOD),) * 4, 4, (), "start"),
        (tuple(KnownPoint(Recipe.from_seed(seed)) for seed in range(17)), 64, (), "start"),
        ((KnownPoint(GOOD),), 8, (11,), "start[0]"),
        ((), 8, (-1,), "avoided_seeds"),
    ):
        with pytest.raises(InvalidSearchSpec) as caught:
            AdaptiveSpec(1, candidates, start=start, avoided_seeds=avoided)
        assert [one.field for one in caught.value.violations] == [field]
