"""Pools equal what is rendered one by one and are rendered once."""

from pathlib import Path

import numpy as np

from studio_mini.world import tasks
from studio_mini.world.pool import face_pool, task_pool
from studio_mini.world.prompts import Look
from studio_mini.world.tasks import Split


def test_face_pool_holds_the_shots_in_order(tmp_path: Path) -> None:
    pool = face_pool(tmp_path, 2, 3, split=Split.HELD_OUT, first=7, workers=1)
    assert pool.people.tolist() == [7, 7, 7, 8, 8, 8]
    face, look = tasks.face(8, 1, Split.HELD_OUT)
    assert np.array_equal(pool.pictures[4], face.picture)
    assert pool.looks[4] == look
    assert pool.looks[0] == Look()


def test_task_pool_is_opened_the_second_time(tmp_path: Path) -> None:
    first = task_pool(tmp_path, 3, workers=1)
    (made,) = tmp_path.iterdir()
    before = (made / "truth.npy").stat().st_mtime_ns
    again = task_pool(tmp_path, 3, workers=1)
    assert (made / "truth.npy").stat().st_mtime_ns == before
    assert again.prompts == first.prompts == [tasks.task(k).prompt for k in range(3)]
    assert np.array_equal(again.truths[2], tasks.task(2).truth.picture)
    assert again.edits[1] == tasks.task(1).edit
