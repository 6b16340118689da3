from itertools import islice

from benchmarks.edits import drawn_edits


def test_no_two_edits_are_alike() -> None:
    first, second = islice(drawn_edits(candidates=3), 2)
    assert first.number != second.number
    assert (first.scene != second.scene).any()


def test_seeds_are_those_of_the_search() -> None:
    edit = next(drawn_edits(candidates=3))
    assert len(set(edit.seeds)) == 3
    assert edit.seeds[0] == edit.number
    assert edit.seeds == edit.seeds
