"""The pool of scored pictures: what survives, and what is not read."""

from pathlib import Path

import pytest

from eacps.search.recipe import Recipe, perturb
from studies.pool import SCORES, Key, OtherWeightsError, Pool, key_of

CHILD = perturb(Recipe.from_seed(3), angle=0.4, seed=9)


def scores(value: float) -> dict[str, float]:
    return dict.fromkeys(SCORES, value)


def opened(folder: Path, weights: str = "w") -> Pool:
    return Pool(folder, folder / "pool.csv.gz", weights=weights)


def test_what_was_put_is_there_after_being_cut_off(tmp_path: Path) -> None:
    key = key_of(7, CHILD, 8)
    opened(tmp_path).put([(key, scores(0.123456789))])
    assert opened(tmp_path).get(key) == pytest.approx(scores(0.1234568))
    assert opened(tmp_path).get(Key(8, key.recipe, 8)) is None


@pytest.mark.parametrize("cut", range(1, 62))
def test_a_row_cut_short_is_made_again(tmp_path: Path, cut: int) -> None:
    keys = [key_of(task, CHILD, 8) for task in (1, 2)]
    opened(tmp_path).put([(key, scores(0.5123456)) for key in keys])
    journal = tmp_path / "pool-w.csv"
    journal.write_bytes(journal.read_bytes()[:-cut])
    again = opened(tmp_path)
    assert [again.get(key) is None for key in keys] == [False, True]
    again.put([(keys[1], scores(0.25))])
    assert [opened(tmp_path).get(key) for key in keys] == [scores(0.5123456), scores(0.25)]


def test_a_head_cut_short_is_written_again(tmp_path: Path) -> None:
    key = key_of(1, CHILD, 8)
    opened(tmp_path).put([(key, scores(0.5))])
    whole = (tmp_path / "pool-w.csv").read_bytes()
    for end in range(whole.index(b"identity") + 20):
        (tmp_path / "pool-w.csv").write_bytes(whole[:end])
        opened(tmp_path).put([(key, scores(0.5))])
        assert (tmp_path / "pool-w.csv").read_bytes() == whole


def test_scores_of_other_weights_are_neither_read_nor_overwritten(tmp_path: Path) -> None:
    key = key_of(1, CHILD, 8)
    pool = opened(tmp_path)
    pool.put([(key, scores(0.5))])
    other = opened(tmp_path, "other")
    assert other.get(key) is None
    other.put([(key, scores(0.25))])
    assert [opened(tmp_path, weights).get(key) for weights in ("w", "other")] == [scores(0.5), scores(0.25)]
    pool.publish()
    with pytest.raises(OtherWeightsError, match=r"pool\.csv\.gz was measured on other weights"):
        opened(tmp_path, "other")


def test_what_is_published_does_not_depend_on_the_order(tmp_path: Path) -> None:
    rows = [(key_of(task, CHILD, 8), scores(task / 10)) for task in range(5)]
    contents = []
    for index, order in enumerate((rows, rows[::-1])):
        folder = tmp_path / str(index)
        pool = opened(folder)
        pool.put(order)
        pool.publish()
        (folder / "pool-w.csv").unlink()
        assert opened(folder).get(rows[3][0]) == scores(0.3)
        contents.append((folder / "pool.csv.gz").read_bytes())
    assert contents[0] == contents[1]


def test_another_processors_last_bit_is_no_other_picture() -> None:
    (seed_a, a), (seed_b, b) = CHILD.terms
    nearly = Recipe(((seed_a, a * (1 + 1e-15)), (seed_b, b)))
    assert key_of(1, nearly, 8) == key_of(1, CHILD, 8)
    assert key_of(1, perturb(Recipe.from_seed(3), angle=0.401, seed=9), 8) != key_of(1, CHILD, 8)
