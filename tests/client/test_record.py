import pytest

from eacps.client.record import SearchRecord
from tests.cli import searches


def test_candidates_rank_by_potential_and_failed_ones_come_last() -> None:
    search = searches.complete()
    assert [one.id for one in search.ranking] == ["g1-000", "g0-002", "g0-000", "g0-003", "g1-001", "g0-001"]
    assert search.ranks["g1-000"] == 1
    assert search.ranking[-1].potential is None


def test_equal_candidates_rank_in_order_of_proposal_whatever_the_order_of_arrival() -> None:
    names = ["g10-000", "g0-1000", "g2-000", "g0-002", "g0-000", "g0-999"]
    search = searches.complete([searches.candidate(name, (0.5, 0.5, 0.5)) for name in names])
    assert [one.id for one in search.ranking] == ["g0-000", "g0-002", "g0-999", "g0-1000", "g2-000", "g10-000"]
    assert search.first_candidate.id == "g0-000"


def test_a_missing_score_is_absent_and_explained() -> None:
    one = searches.complete().candidate("g0-003")
    assert one.evaluation is not None
    assert one.evaluation.scores == {"identity": 0.20, "realism": 0.90}
    assert one.evaluation.missing == {"prompt": "timed out"}
    assert not one.evaluation.complete


def test_scores_at_the_end_of_their_scale_are_named() -> None:
    one = searches.complete([searches.candidate("g0-000", (0.994, 0.995, 1.0))]).candidate("g0-000")
    assert one.evaluation is not None
    assert one.evaluation.saturated == ("prompt", "realism")
    assert one.evaluation.to_json()["saturated"] == ["prompt", "realism"]


def test_the_best_so_far_grows_with_the_events() -> None:
    record, best = SearchRecord(), []
    for event in searches.events():
        record.add(event)
        best.append(record.best_potential)
    assert best[:2] == [None, None]
    assert best[2:] == sorted(best[2:])


def test_a_search_is_complete_only_with_its_last_event() -> None:
    record = SearchRecord()
    for event in searches.events()[:-1]:
        record.add(event)
    with pytest.raises(ValueError, match="not finished"):
        record.complete()
