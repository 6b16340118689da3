"""The potential is a weighted sum in [0, 1]; what is unknown lowers it and is named."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eacps.errors import IllegalSearchMove, InvalidSearchSpec
from eacps.search.objective import Objective
from eacps.search.potential import Potential, ScoreCard, Weights


def potential(card: ScoreCard, weights: Weights) -> Potential:
    return Objective(weights).potential(card)


NAMES = ("identity", "prompt", "realism")
SCORES = st.fixed_dictionaries({name: st.floats(0, 1) for name in NAMES})
WEIGHTS = st.fixed_dictionaries({name: st.floats(0, 1e300) for name in NAMES}).filter(lambda w: any(w.values()))


@given(SCORES, WEIGHTS)
def test_potential_is_a_mean_of_the_scores(scores: dict[str, float], weights: dict[str, float]) -> None:
    value = potential(ScoreCard(scores), Weights(weights))
    weighted = [scores[name] for name in Weights(weights).normalized]
    assert min(weighted) - 1e-12 <= value.value <= max(weighted) + 1e-12
    assert value.complete
    assert value.missing == ()


@given(WEIGHTS)
def test_weights_are_normalized(weights: dict[str, float]) -> None:
    normalized = Weights(weights).normalized
    assert math.fsum(normalized.values()) == pytest.approx(1.0)
    assert list(normalized) == sorted(normalized)


@given(SCORES, WEIGHTS, st.sampled_from(NAMES), st.floats(0, 1))
def test_a_better_score_never_hurts(
    scores: dict[str, float], weights: dict[str, float], name: str, other: float
) -> None:
    low, high = sorted((scores[name], other))
    worse = potential(ScoreCard({**scores, name: low}), Weights(weights))
    better = potential(ScoreCard({**scores, name: high}), Weights(weights))
    assert worse.value <= better.value


@given(SCORES, WEIGHTS, st.sets(st.sampled_from(NAMES), min_size=1))
def test_missing_scores_give_a_flagged_lower_bound(
    scores: dict[str, float], weights: dict[str, float], gone: set[str]
) -> None:
    known = {name: score for name, score in scores.items() if name not in gone}
    value = potential(ScoreCard(known, dict.fromkeys(gone, "timed out")), Weights(weights))
    assert value.value <= potential(ScoreCard(scores), Weights(weights)).value
    assert value.missing == tuple(
        sorted(name for name in gone if weights[name] > 0 and name in Weights(weights).normalized)
    )
    assert value.complete == (not value.missing)


def test_missing_scores_are_not_renormalized_away() -> None:
    card = ScoreCard({"identity": 0.9}, {"realism": "503 after 3 tries"})
    bound = Potential(0.45, False, ("realism",), scores={"identity": 0.9})
    assert potential(card, Weights({"identity": 1, "realism": 1})) == bound


def test_scorers_without_weight_are_ignored() -> None:
    card = ScoreCard({"identity": 0.5, "verifier": 0.1}, {"other": "down"})
    assert potential(card, Weights({"identity": 2, "other": 0})) == Potential(0.5, scores={"identity": 0.5})


def test_a_weighted_scorer_the_card_is_silent_about_is_an_error() -> None:
    with pytest.raises(IllegalSearchMove, match="realism"):
        potential(ScoreCard({"identity": 0.5}), Weights({"identity": 1, "realism": 1}))


@pytest.mark.parametrize("score", [-1e-9, 1 + 1e-9, math.nan, math.inf])
def test_scores_out_of_range_are_refused(score: float) -> None:
    with pytest.raises(IllegalSearchMove, match="identity"):
        ScoreCard({"identity": score})
    with pytest.raises(IllegalSearchMove):
        Potential(score)


def test_a_score_cannot_be_both_there_and_missing() -> None:
    with pytest.raises(IllegalSearchMove, match="both"):
        ScoreCard({"identity": 0.5}, {"identity": "down"})


@pytest.mark.parametrize(("complete", "missing"), [(True, ("identity",)), (False, ())])
def test_flag_and_names_must_agree(complete: bool, missing: tuple[str, ...]) -> None:
    with pytest.raises(IllegalSearchMove):
        Potential(0.5, complete, missing)


def test_every_bad_weight_is_named() -> None:
    with pytest.raises(InvalidSearchSpec) as caught:
        Weights({"a": -1, "b": math.nan, "c": 1, "d": math.inf})
    assert [violation.field for violation in caught.value.violations] == ["weights.a", "weights.b", "weights.d"]


@pytest.mark.parametrize("weights", [{}, {"a": 0.0}])
def test_some_weight_must_count(weights: dict[str, float]) -> None:
    with pytest.raises(InvalidSearchSpec, match="above 0"):
        Weights(weights)
