"""Floors, scalarizations, missing scores and fronts; calibrated scores."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eacps.errors import InvalidSearchSpec
from eacps.search.objective import MissingPolicy, Objective, Scalarization, contested, pareto_front
from eacps.search.potential import Potential, ScoreCard, Weights

WEIGHTS = Weights({"identity": 2.0, "realism": 1.0})
CARDS = st.lists(
    st.builds(lambda i, r: ScoreCard({"identity": i, "realism": r}), st.floats(0, 1), st.floats(0, 1)),
    min_size=1,
    max_size=12,
)


@given(CARDS, st.sampled_from(list(Scalarization)), st.floats(0.01, 1))
def test_whoever_misses_a_floor_ranks_below_all_who_do_not(
    cards: list[ScoreCard], method: Scalarization, floor: float
) -> None:
    objective = Objective(WEIGHTS, {"identity": floor}, method)
    potentials = [objective.potential(card) for card in cards]
    utilities = objective.utilities(potentials)
    feasible = np.array([one.feasible for one in potentials])
    assert (feasible == np.array([card.values["identity"] >= floor for card in cards])).all()
    assert (utilities[feasible] >= 0).all()
    assert (utilities[~feasible] < 0).all()
    for one, other in itertools.pairwise(cards):
        if max(one.values["identity"], other.values["identity"]) < floor:
            nearer = max((one, other), key=lambda card: card.values["identity"])
            assert utilities[cards.index(nearer)] == utilities[[cards.index(one), cards.index(other)]].max()


def test_a_geometric_mean_lets_nothing_buy_back_a_wrong_face() -> None:
    wrong, fair = ScoreCard({"identity": 0.01, "realism": 1.0}), ScoreCard({"identity": 0.3, "realism": 0.3})
    added, multiplied = (
        Objective(Weights({"identity": 1, "realism": 1}), method=method)
        for method in (Scalarization.WEIGHTED_SUM, Scalarization.GEOMETRIC_MEAN)
    )
    assert added.potential(wrong).value > added.potential(fair).value
    assert multiplied.potential(wrong).value < multiplied.potential(fair).value


def test_a_rank_sum_knows_no_scales() -> None:
    objective = Objective(Weights({"identity": 1, "realism": 1}), method=Scalarization.RANK_SUM)
    cards = [{"identity": 0.1, "realism": 0.90}, {"identity": 0.5, "realism": 0.91}, {"identity": 0.9, "realism": 0.89}]
    squeezed = [{**card, "identity": card["identity"] / 100} for card in cards]
    orders = [
        np.argsort(objective.utilities([objective.potential(ScoreCard(card)) for card in some])).tolist()
        for some in (cards, squeezed)
    ]
    assert orders[0] == orders[1]
    assert orders[0][-1] == 1


def test_a_missing_score_with_a_floor_is_infeasible_and_dropped_by_request() -> None:
    card = ScoreCard({"realism": 0.9}, {"identity": "503"})
    bound = Objective(WEIGHTS, {"identity": 0.5})
    assert bound.potential(card).shortfall == 0.5
    assert bound.takes(bound.potential(card))
    assert not Objective(WEIGHTS, missing=MissingPolicy.DROP).takes(bound.potential(card))


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"floors": {"identity": 0.0}}, ["floors.identity"]),
        ({"floors": {"other": 0.5}}, ["floors.other"]),
        ({"held_out": frozenset({"realism"})}, ["weights.realism"]),
    ],
)
def test_contradictions_are_named(fields: dict[str, object], names: list[str]) -> None:
    with pytest.raises(InvalidSearchSpec) as caught:
        Objective(WEIGHTS, **fields)
    assert [violation.field for violation in caught.value.violations] == names


def test_objectives_come_back_from_their_form() -> None:
    objective = Objective(
        WEIGHTS, {"identity": 0.5}, Scalarization.RANK_SUM, frozenset({"verifier"}), MissingPolicy.DROP
    )
    assert Objective.from_dict(objective.to_dict()) == objective


@given(CARDS)
def test_the_front_is_what_nobody_beats(cards: list[ScoreCard]) -> None:
    potentials = [Objective(WEIGHTS).potential(card) for card in cards]
    front = pareto_front(potentials)
    rows = np.array([[card.values["identity"], card.values["realism"]] for card in cards])
    for place, row in enumerate(rows):
        beaten = ((rows >= row).all(1) & (rows > row).any(1)).any()
        assert (place in front) == (not beaten)
    assert int(np.argmax([one.value for one in potentials])) in front or len(set(front)) > 0


def test_infeasible_candidates_are_on_no_front_beside_feasible_ones() -> None:
    good = Potential(0.5, scores={"identity": 0.6, "realism": 0.4})
    bad = Potential(0.6, shortfall=0.2, scores={"identity": 0.3, "realism": 1.0})
    assert pareto_front([bad, good]) == (1,)
    assert pareto_front([bad]) == (0,)


def test_only_the_boundary_is_contested() -> None:
    assert contested([0.9, 0.1, 0.5, 0.6, 0.4], 2, most=2) == (2, 3)
    assert contested([0.9, 0.1], 2, most=2) == ()
    assert contested([0.9, 0.1, 0.2], 1, most=9) == (0, 1, 2)
