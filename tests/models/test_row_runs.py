"""A batch shared out over threads: rows keep their order, errors surface, threads end."""

import threading
from pathlib import Path

import numpy as np
import pytest

from eacps.arrays import Arrays
from eacps.models.cores import available_cores
from eacps.models.row_runs import MAX_ROWS, RowRuns, parts


def doubled(feeds: Arrays) -> Arrays:
    return {"doubled": 2 * feeds["x"], "thread": np.full(len(feeds["x"]), threading.get_ident())}


@pytest.mark.parametrize("rows", [1, 2, 3, 7, 8, 9, 16, 17, 33])
@pytest.mark.parametrize("threads", [1, 2, 3, 16])
def test_parts_cover_all_rows_evenly(rows: int, threads: int) -> None:
    cut = parts(rows, threads)
    assert [row for part in cut for row in range(rows)[part]] == list(range(rows))
    lengths = [part.stop - part.start for part in cut]
    assert max(lengths) <= MAX_ROWS
    assert max(lengths) - min(lengths) <= 1
    assert min(lengths) > 0
    assert len(cut) >= min(rows, threads)
    assert len(cut) % threads == 0 or len(cut) == rows


def test_rows_keep_their_order() -> None:
    runs = RowRuns(doubled, 3, "test")
    x = np.arange(10, dtype=np.float32).reshape(5, 2)
    assert (runs({"x": x})["doubled"] == 2 * x).all()
    runs.close()


def test_runs_are_at_once() -> None:
    """Each run waits for the other: one after the other they would wait forever."""
    both = threading.Barrier(2, timeout=10)

    def meeting(feeds: Arrays) -> Arrays:
        both.wait()
        return doubled(feeds)

    runs = RowRuns(meeting, 2, "test")
    assert len(set(runs({"x": np.zeros((4, 1))})["thread"])) == 2
    runs.close()


def test_an_error_of_one_run_surfaces_when_all_have_ended() -> None:
    ended = []

    def failing(feeds: Arrays) -> Arrays:
        if feeds["x"][0] == 0:
            raise ValueError("row 0 is refused")
        threading.Event().wait(0.05)
        ended.append(feeds["x"].tolist())
        return doubled(feeds)

    runs = RowRuns(failing, 2, "test")
    with pytest.raises(ValueError, match="row 0 is refused"):
        runs({"x": np.arange(4)})
    assert ended == [[2, 3]]
    assert runs({"x": np.arange(4, 8)})["doubled"].tolist() == [8, 10, 12, 14]
    runs.close()


def test_closing_ends_the_threads() -> None:
    before = threading.active_count()
    runs = RowRuns(doubled, 4, "test")
    runs({"x": np.zeros((8, 1))})
    assert threading.active_count() > before
    runs.close()
    assert threading.active_count() == before


class TestAvailableCores:
    def test_without_a_quota_it_is_what_the_process_may_use(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 3, 5})
        assert available_cores(tmp_path) == 3
        (tmp_path / "cpu.max").write_text("max 100000\n")
        assert available_cores(tmp_path) == 3

    @pytest.mark.parametrize(("quota", "cores"), [(50_000, 1), (200_000, 2), (250_000, 3), (6_400_000, 8)])
    def test_a_quota_of_the_container_counts(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: int, cores: int
    ) -> None:
        monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
        newer, older = tmp_path / "2", tmp_path / "1"
        newer.mkdir()
        (newer / "cpu.max").write_text(f"{quota} 100000\n")
        (older / "cpu").mkdir(parents=True)
        (older / "cpu" / "cpu.cfs_quota_us").write_text(f"{quota}\n")
        (older / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
        assert available_cores(newer) == available_cores(older) == cores

    def test_an_older_group_without_a_quota_says_minus_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
        (tmp_path / "cpu").mkdir()
        (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("-1\n")
        (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
        assert available_cores(tmp_path) == 2
