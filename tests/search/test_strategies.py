"""Every strategy keeps the rules of ask/tell, its budget, its best, and continues from snapshots."""

import itertools
import json
import math
import random
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eacps.errors import IllegalSearchMove, InvalidSearchSpec
from eacps.search.best_of_n import BestOfN
from eacps.search.cohort import Candidate, Cohort, Failed, Move, Outcome
from eacps.search.context import SearchContext
from eacps.search.factory import restore
from eacps.search.potential import Potential
from eacps.search.recipe import SEED_BOUND, correlation
from eacps.search.spec import AdaptiveSpec, BestOfNSpec, EacpsSpec, SearchSpec, SeedOffset, SphericalMove
from eacps.search.strategy import Strategy
from tests.search.contexts import OBJECTIVE, create

STEPS = 8
Judge = Callable[[Candidate], Outcome]

LOCAL_MOVES = st.one_of(
    st.builds(SphericalMove, angle=st.floats(0.05, math.pi / 2), decay=st.floats(0.5, 1.0)),
    st.builds(SeedOffset, radius=st.one_of(st.integers(1, 20), st.just(2**31 - 1))),
)


@st.composite
def eacps_specs(draw: st.DrawFn) -> EacpsSpec:
    global_candidates = draw(st.integers(1, 8))
    return EacpsSpec(
        seed=draw(st.integers(0, 2**64 - 1)),
        global_candidates=global_candidates,
        parents=draw(st.integers(1, global_candidates)),
        children_per_parent=draw(st.integers(1, 4)),
        rounds=draw(st.integers(0, 3)),
        local=draw(LOCAL_MOVES),
        first_seed=draw(st.one_of(st.none(), st.integers(0, SEED_BOUND - 1))),
    )


ADAPTIVE_SPECS = st.builds(
    AdaptiveSpec,
    seed=st.integers(0, 2**64 - 1),
    candidates=st.integers(1, 14),
    rounds=st.integers(1, 4),
    fresh_share=st.floats(0, 1),
    crossover=st.booleans(),
)
SPECS = st.one_of(
    st.builds(BestOfNSpec, seed=st.integers(0, 2**64 - 1), candidates=st.integers(1, 20)),
    eacps_specs(),
    ADAPTIVE_SPECS,
)
EXAMPLES: list[SearchSpec] = [
    BestOfNSpec(seed=1, candidates=6),
    EacpsSpec(seed=2, global_candidates=6, parents=2, children_per_parent=2, rounds=2),
    EacpsSpec(seed=3, global_candidates=6, parents=2, children_per_parent=2, rounds=2, local=SeedOffset()),
    AdaptiveSpec(seed=4, candidates=12, rounds=3),
]


def lottery(salt: int, *, failing: float = 0.0) -> Judge:
    """A judge whose outcome depends on nothing but the recipe and ``salt``; some candidates fail."""

    def judge(candidate: Candidate) -> Outcome:
        draw = random.Random(f"{salt} {candidate.recipe.terms}")
        if draw.random() < failing:
            return Failed("drawn to fail")
        return Potential(round(draw.random(), 2))  # rounded, so that ties occur

    return judge


def judged(cohort: Cohort, judge: Judge) -> dict[str, Outcome]:
    return {candidate.id: judge(candidate) for candidate in cohort.candidates}


def run(strategy: Strategy, judge: Judge) -> list[Cohort]:
    cohorts = []
    while not strategy.done:
        cohorts.append(strategy.ask())
        strategy.tell(judged(cohorts[-1], judge))
    return cohorts


@given(SPECS, st.integers(), st.sampled_from([0.0, 0.3, 1.0]))
def test_the_budget_is_exact_and_nothing_repeats(spec: SearchSpec, salt: int, failing: float) -> None:
    strategy = create(spec, steps=STEPS)
    cohorts = run(strategy, lottery(salt, failing=failing))
    candidates = [candidate for cohort in cohorts for candidate in cohort.candidates]
    price = sum(STEPS - candidate.recipe.start_step for candidate in candidates) / STEPS
    assert spec.total_candidates - 1 < price <= spec.total_candidates
    assert len({candidate.id for candidate in candidates}) == len(candidates)
    assert len({candidate.recipe for candidate in candidates}) == len(candidates)
    assert [cohort.generation for cohort in cohorts] == list(range(len(cohorts)))
    assert [one.candidate for one in strategy.history()] == candidates


@given(SPECS, st.integers())
def test_the_first_candidate_is_the_plain_users(spec: SearchSpec, salt: int) -> None:
    first = run(create(spec, steps=STEPS), lottery(salt))[0].candidates[0]
    assert first.id == "g0-000"
    assert first.recipe.terms == ((spec.seed % SEED_BOUND if spec.first_seed is None else spec.first_seed, 1.0),)


@given(SPECS, st.integers(), st.sampled_from([0.0, 0.4]))
def test_best_so_far_is_the_maximum_and_never_falls(spec: SearchSpec, salt: int, failing: float) -> None:
    strategy, judge, seen, best = create(spec, steps=STEPS), lottery(salt, failing=failing), [], -1.0
    while not strategy.done:
        outcomes = judged(strategy.ask(), judge)
        strategy.tell(outcomes)
        seen += [outcome.value for outcome in outcomes.values() if isinstance(outcome, Potential)]
        leader = strategy.best()
        assert (leader.potential.value if leader else None) == (max(seen) if seen else None)
        assert leader is None or leader.potential.value >= best
        best = leader.potential.value if leader else best
        assert [ranked.potential.value for ranked in strategy.ranking()] == sorted(seen, reverse=True)
        assert [ranked.rank for ranked in strategy.ranking()] == list(range(len(seen)))


@given(SPECS, st.integers(), st.randoms(use_true_random=False))
def test_order_of_outcomes_is_irrelevant(spec: SearchSpec, salt: int, shuffler: random.Random) -> None:
    one, other, judge = create(spec, steps=STEPS), create(spec, steps=STEPS), lottery(salt, failing=0.2)
    while not one.done:
        cohort = one.ask()
        assert other.ask() == cohort
        outcomes = list(judged(cohort, judge).items())
        one.tell(dict(outcomes))
        shuffler.shuffle(outcomes)
        other.tell(dict(outcomes))
    assert one.ranking() == other.ranking()
    assert one.snapshot() == other.snapshot()


@given(SPECS, st.integers(), st.data())
def test_restored_equals_uninterrupted(spec: SearchSpec, salt: int, data: st.DataObject) -> None:
    judge = lottery(salt, failing=0.2)
    whole, broken = create(spec, steps=STEPS), create(spec, steps=STEPS)
    run(whole, judge)
    while not broken.done:
        if data.draw(st.booleans(), "snapshot before ask"):
            broken = through_json(broken)
        cohort = broken.ask()
        if data.draw(st.booleans(), "snapshot before tell"):
            broken = through_json(broken)
            assert broken.pending == cohort
        broken.tell(judged(cohort, judge))
    assert through_json(broken).snapshot() == whole.snapshot()
    assert broken.ranking() == whole.ranking()


def through_json(strategy: Strategy) -> Strategy:
    return restore(json.loads(json.dumps(strategy.snapshot())))


@pytest.mark.parametrize("spec", EXAMPLES)
def test_illegal_moves_raise_and_leave_the_state_unchanged(spec: SearchSpec) -> None:
    strategy, judge = create(spec, steps=STEPS), lottery(1)

    def refused(match: str, move: Callable[..., object], *arguments: object) -> None:
        before = strategy.snapshot()
        with pytest.raises(IllegalSearchMove, match=match):
            move(*arguments)
        assert strategy.snapshot() == before

    while not strategy.done:
        refused("no cohort", strategy.tell, {})
        cohort = strategy.ask()
        good = judged(cohort, judge)
        first = cohort.candidates[0].id
        refused("not reported", strategy.ask)
        refused("no outcome for", strategy.tell, {})
        refused(first, strategy.tell, {key: good[key] for key in good if key != first})
        refused("g9-999", strategy.tell, {**good, "g9-999": Potential(0.5)})
        refused("not asked", strategy.tell, {**good, first[:-1]: Potential(0.5)})
        refused("nan", strategy.tell, {**good, first: math.nan})
        refused("None", strategy.tell, {**good, first: None})
        strategy.tell(good)
    refused("done", strategy.ask)
    refused("no cohort", strategy.tell, {})


@given(eacps_specs(), st.integers())
def test_children_lie_where_the_spec_says(spec: EacpsSpec, salt: int) -> None:
    cohorts = run(create(spec, steps=STEPS), lottery(salt))
    known = {candidate.id: candidate for cohort in cohorts for candidate in cohort.candidates}
    for child in known.values():
        if child.move is Move.EXPLORE:
            assert child.parents == ()
            assert len(child.recipe.terms) == 1
            continue
        (parent,) = (known[name] for name in child.parents)
        assert parent.generation < child.generation
        if isinstance(spec.local, SphericalMove):
            angle = spec.local.angle * spec.local.decay ** (child.generation - 1)
            assert correlation(parent.recipe, child.recipe) == pytest.approx(math.cos(angle), abs=1e-9)
        else:
            (origin,), (seed,) = parent.recipe.seeds, child.recipe.seeds
            assert min((seed - origin) % SEED_BOUND, (origin - seed) % SEED_BOUND) <= spec.local.radius
            assert seed != origin


@given(st.integers(), st.sampled_from([SphericalMove(), SeedOffset()]))
def test_parents_are_the_best_of_all_rounds_so_far(salt: int, local: SphericalMove | SeedOffset) -> None:
    spec = EacpsSpec(seed=salt % 1000, global_candidates=6, parents=2, children_per_parent=3, rounds=3, local=local)
    strategy, judge = create(spec, steps=STEPS), lottery(salt)
    while not strategy.done:
        leaders = [ranked.candidate.id for ranked in strategy.ranking()[:2]]
        cohort = strategy.ask()
        if cohort.generation > 0:
            assert [candidate.parents for candidate in cohort.candidates] == [
                (name,) for name in leaders for _ in range(3)
            ]
        strategy.tell(judged(cohort, judge))


def test_failed_candidates_are_never_parents_and_their_share_is_explored() -> None:
    strategy = create(EacpsSpec(seed=5, global_candidates=4, parents=3, children_per_parent=2), steps=STEPS)
    first = strategy.ask()
    survivor = first.candidates[2]
    strategy.tell({t.id: Potential(0.0) if t is survivor else Failed("gone") for t in first.candidates})
    moves = [(t.parents, t.move) for t in strategy.ask().candidates]
    assert moves == [((survivor.id,), Move.SPHERICAL)] * 2 + [((), Move.EXPLORE)] * 4


@pytest.mark.parametrize("spec", EXAMPLES)
def test_a_search_where_everything_fails_ends_without_a_best(spec: SearchSpec) -> None:
    strategy = create(spec, steps=STEPS)
    cohorts = run(strategy, lambda _: Failed("the server is down"))
    assert strategy.best() is None
    assert strategy.ranking() == ()
    assert sum(len(cohort.candidates) for cohort in cohorts) == spec.total_candidates
    assert {candidate.move for cohort in cohorts for candidate in cohort.candidates} == {Move.EXPLORE}


def test_seed_offset_wraps_around_and_never_repeats_a_seed() -> None:
    spec = EacpsSpec(
        seed=1,
        first_seed=SEED_BOUND - 1,
        global_candidates=1,
        parents=1,
        children_per_parent=3,
        local=SeedOffset(radius=1),
    )
    local = run(create(spec, steps=STEPS), lottery(0))[1]
    assert {t.recipe.seeds[0] for t in local.candidates[:2]} == {SEED_BOUND - 2, 0}
    # The neighborhood has two seeds; the third child is a fresh seed and says so.
    assert [t.move for t in local.candidates] == [Move.SEED_OFFSET, Move.SEED_OFFSET, Move.EXPLORE]


def test_incomplete_potentials_rank_by_their_lower_bound() -> None:
    strategy = create(BestOfNSpec(seed=1, candidates=3), steps=STEPS)
    ids = [candidate.id for candidate in strategy.ask().candidates]
    bound = Potential(0.6, complete=False, missing=("realism",))
    strategy.tell(dict(zip(ids, [Potential(0.5), bound, Potential(0.7)], strict=True)))
    assert [ranked.candidate.id for ranked in strategy.ranking()] == ["g0-002", "g0-001", "g0-000"]
    assert strategy.ranking()[1].potential == bound


def test_ties_go_to_the_earlier_candidate() -> None:
    strategy = create(BestOfNSpec(seed=1, candidates=4), steps=STEPS)
    run(strategy, lambda _: Potential(0.5))
    assert [ranked.candidate.id for ranked in strategy.ranking()] == [f"g0-00{i}" for i in range(4)]


def test_equal_seeds_give_equal_searches_and_others_differ() -> None:
    def recipes(seed: int) -> list[object]:
        cohorts = run(create(EacpsSpec(seed=seed, first_seed=9), steps=STEPS), lottery(0))
        return [candidate.recipe for cohort in cohorts for candidate in cohort.candidates]

    assert recipes(7) == recipes(7)
    assert all(a != b for a, b in itertools.pairwise([recipes(7), recipes(8)]))


def test_other_generators_and_steps_are_refused() -> None:
    spec = BestOfNSpec(seed=1)
    with pytest.raises(InvalidSearchSpec, match="steps"):
        create(spec, steps=0)
    with pytest.raises(InvalidSearchSpec, match="PCG64"):
        BestOfN(spec, SearchContext(STEPS, OBJECTIVE), np.random.Generator(np.random.MT19937(1)))


@pytest.mark.parametrize(
    "damage",
    [
        {"version": 0},
        {"spec": {"strategy": "unknown"}},
        {"spec": None},
        {"context": {"steps": 0}},
        {"rng": {"bit_generator": "MT19937"}},
        {"rng": {"state": "x"}},
        {"history": [{"candidate": {}}]},
        {"pending": 3},
    ],
)
def test_damaged_snapshots_are_refused(damage: dict[str, object]) -> None:
    strategy = create(EacpsSpec(seed=1), steps=STEPS)
    strategy.tell(judged(strategy.ask(), lottery(0)))
    with pytest.raises(InvalidSearchSpec):
        restore({**strategy.snapshot(), **damage})
