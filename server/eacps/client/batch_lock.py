"""One batch at a time in a folder: two would write the same journal, and search for the same shots twice."""

import errno
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eacps.client.errors import BatchRunning

_log = logging.getLogger(__name__)
LOCK = ".batch.lock"
_WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold a folder until the block ends. The system releases it as well where the process is killed.

    Raises:
        BatchRunning: Another process, or another batch of this one, holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            _lock(descriptor)
        except OSError as exc:
            if exc.errno in _WITHOUT_LOCKS:
                _log.warning("%s is on a file system without locks: run one batch at a time there", folder)
            elif exc.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
                raise BatchRunning(f"another batch is running in {folder}") from exc
            else:
                raise
        yield
    finally:
        os.close(descriptor)


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
