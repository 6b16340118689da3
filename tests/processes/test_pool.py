"""Workers: whoever is at fault is named, and one that ends is replaced."""

import os
import signal
import sys
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from eacps.processes import TaskFailed, WorkerEnded, WorkerPool, WorkerUnavailable
from eacps.processes import pool as pool_module

NUMBERS = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    with WorkerPool("tests.processes.doubling", 2, wait_s=20.0) as some:
        yield some


def doubled(pool: WorkerPool) -> bool:
    answer, (array, text) = pool.ask({"do": "double", "name": "a"}, [NUMBERS, b"text"], timeout_s=20.0)
    return answer["name"] == "a" and np.array_equal(array, 2 * NUMBERS) and bytes(text) == b"text"


def test_arrays_and_bytes_come_back(pool: WorkerPool) -> None:
    assert doubled(pool)


def test_a_fault_and_a_lack_of_memory_are_said_and_end_nothing(pool: WorkerPool) -> None:
    before = list(pool.workers)
    with pytest.raises(TaskFailed, match="is green"):
        pool.ask({"do": "refuse"}, [], timeout_s=20.0)
    with pytest.raises(TaskFailed, match="takes more memory than a worker may have, 6 GiB"):
        pool.ask({"do": "fill"}, [], timeout_s=20.0)
    assert doubled(pool)
    assert pool.workers == before


@pytest.mark.parametrize(
    ("task", "words"), [("crash", "its decoder crashed"), ("spin", "takes too much processor time")]
)
def test_what_ends_a_worker_is_at_fault_and_the_next_one_is_not(pool: WorkerPool, task: str, words: str) -> None:
    with pytest.raises(WorkerEnded, match=words):
        pool.ask({"do": task}, [], timeout_s=60.0)
    assert all(doubled(pool) for _ in range(4))


def test_a_worker_that_died_while_nobody_asked_it_is_not_missed(pool: WorkerPool) -> None:
    for worker in list(pool.workers):
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()
    assert all(doubled(pool) for _ in range(4))


def test_a_worker_that_hangs_is_ended_and_nobody_blamed(pool: WorkerPool) -> None:
    with pytest.raises(WorkerUnavailable, match="took too long, or was killed"):
        pool.ask({"do": "hang"}, [], timeout_s=0.5)
    assert all(doubled(pool) for _ in range(4))


def test_a_worker_that_cannot_be_started_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise OSError("out of memory")

    with WorkerPool("tests.processes.doubling", 1) as some:
        os.kill(some.workers[0].pid, signal.SIGKILL)
        some.workers[0].wait()
        with monkeypatch.context() as patch:
            patch.setattr(pool_module, "_start", refuse)
            for _ in range(2):
                with pytest.raises(WorkerUnavailable, match="could not be started: out of memory"):
                    doubled(some)
        assert doubled(some)


def test_who_finds_all_busy_waits_no_longer_than_allowed() -> None:
    with WorkerPool("tests.processes.doubling", 1, wait_s=0.2) as some:
        began, ended = threading.Event(), list[type[Exception]]()

        def keep_busy() -> None:
            began.set()
            try:
                some.ask({"do": "hang"}, [], timeout_s=3.0)
            except WorkerUnavailable as exc:
                ended.append(type(exc))

        busy = threading.Thread(target=keep_busy)
        busy.start()
        assert began.wait(10)
        while not some._idle.empty():
            pass
        with pytest.raises(WorkerUnavailable, match="have been busy for"):
            doubled(some)
        busy.join(timeout=30)
        assert ended == [WorkerUnavailable]
        assert doubled(some)


def test_a_pool_that_is_closed_starts_nothing() -> None:
    with WorkerPool("tests.processes.doubling", 1) as some:
        pass
    with pytest.raises(WorkerUnavailable, match="the server stops"):
        doubled(some)
    assert some.workers[0].poll() is not None


def test_workers_run_this_interpreter(pool: WorkerPool) -> None:
    assert sys.executable in pool.command
