"""The lock of an output, between real processes."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from export.lock import InUse, is_locked, locked

ROOT = Path(__file__).resolve().parents[2]
HOLD = """
import sys, time
from pathlib import Path
from export.lock import locked
with locked(Path(sys.argv[1]), "test"):
    print("held", flush=True)
    time.sleep(600)
"""
COUNT = """
import sys, time
from pathlib import Path
from export.lock import locked
lock, counter = map(Path, sys.argv[1:3])
for _ in range(int(sys.argv[3])):
    with locked(lock, "test", wait_s=60):
        number = int(counter.read_text())
        assert lock.exists()
        time.sleep(0.001)
        counter.write_text(str(number + 1))
"""


def started(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


@contextmanager
def holder(lock: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock until it is killed, or the block ends."""
    with started(HOLD, lock) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def test_processes_hold_it_one_at_a_time(tmp_path: Path) -> None:
    """Each removes the file when it is done, while others wait for it."""
    lock, counter = tmp_path / "lock", tmp_path / "counter"
    counter.write_text("0")
    processes = [started(COUNT, lock, counter, 25) for _ in range(6)]
    for process in processes:
        with process:
            assert process.wait(timeout=120) == 0
    assert counter.read_text() == "150"
    assert not lock.exists()


def test_another_process_is_refused(tmp_path: Path) -> None:
    with holder(tmp_path / "lock"):
        assert is_locked(tmp_path / "lock")
        with pytest.raises(InUse, match="another test is under way"), locked(tmp_path / "lock", "test"):
            pass
        assert (tmp_path / "lock").exists(), "a lock file was removed under its holder"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_dead_holder_holds_nothing(tmp_path: Path, how: signal.Signals) -> None:
    with holder(tmp_path / "lock") as process:
        process.send_signal(how)
        process.wait(timeout=30)
        assert not is_locked(tmp_path / "lock")
        with locked(tmp_path / "lock", "test"):
            assert is_locked(tmp_path / "lock")
    assert list(tmp_path.iterdir()) == []


def test_waiting_is_bounded_and_said_once(tmp_path: Path) -> None:
    said: list[str] = []
    with (
        holder(tmp_path / "lock"),
        pytest.raises(InUse),
        locked(tmp_path / "lock", "test", wait_s=0.7, on_wait=lambda: said.append("waits")),
    ):
        pass
    assert said == ["waits"]


def test_nothing_is_locked_where_there_is_no_file(tmp_path: Path) -> None:
    assert not is_locked(tmp_path / "lock")
    assert list(tmp_path.iterdir()) == []
