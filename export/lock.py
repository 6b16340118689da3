"""A lock between processes, which ends with its holder, and whose file is never removed while another holds it."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

POLL_S = 0.2


class InUse(Exception):
    """Another process holds the lock."""


@contextmanager
def locked(path: Path, what: str, *, wait_s: float = 0.0, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the lock of a file, which is made, and removed at the end.

    Args:
        path: Of the file; its folder exists.
        what: What is done under it, for the message.
        wait_s: How long to wait for another holder.
        on_wait: Called once, before waiting.

    Raises:
        InUse: Another process still holds it.
    """
    deadline, waiting = time.monotonic() + wait_s, False
    while (file := _taken(path)) is None:
        if time.monotonic() >= deadline:
            raise InUse(f"another {what} is under way")
        if not waiting:
            on_wait()
            waiting = True
        time.sleep(min(POLL_S, wait_s))
    with file:
        try:
            yield
        finally:
            # While it is held: a process that has opened this file will find that the path no longer leads to it.
            path.unlink(missing_ok=True)


def is_locked(path: Path) -> bool:
    """Return whether another process holds the lock. Writes nothing."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def _taken(path: Path) -> IO[bytes] | None:
    """Lock the file that is at the path; None where another process has it."""
    while True:
        file = path.open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        if _is_at(file, path):
            return file
        file.close()  # its holder removed it after we had opened it


def _is_at(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
