"""Outages made to order: a way to a database that can be cut and mended, and a folder that becomes a file."""

import contextlib
import ctypes
import os
import select
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import make_url

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


@contextlib.contextmanager
def replaced_by_file(folder: Path) -> Iterator[None]:
    """Have an empty file in the place of a folder until the block ends.

    Both switches are atomic. Between two renames, a store that creates missing folders would put a new one there.
    """
    aside = folder.with_name(f"{folder.name}.aside")
    aside.touch(exist_ok=False)
    _exchange(folder, aside)
    try:
        yield
    finally:
        _exchange(folder, aside)
        aside.unlink()


def _exchange(one: Path, other: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(one))


class Way:
    """Hands on connections to a PostgreSQL, until it is cut.

    Args:
        url: Of the database.
    """

    def __init__(self, url: str) -> None:
        self._target = make_url(url)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self._lock, self._cut, self._closed = threading.Lock(), False, False
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """The database's URL, by this way."""
        port = self._listener.getsockname()[1]
        moved = self._target.set(host="127.0.0.1", port=port, query={})
        return moved.render_as_string(hide_password=False)

    def cut(self) -> None:
        """End all connections, and let nobody through."""
        with self._lock:
            self._cut = True
            for one in self._open:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        """Let everybody through again."""
        with self._lock:
            self._cut = False

    def close(self) -> None:
        """Close it."""
        self._closed = True
        self.cut()
        self._listener.close()

    def _accept(self) -> None:
        while not self._closed:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                cut = self._cut
            if cut:
                near.close()
                continue
            threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        with near, self._connected() as far:
            with self._lock:
                self._open |= {near, far}
            try:
                while True:
                    for ready in select.select([near, far], [], [])[0]:
                        data = ready.recv(65536)
                        if not data:
                            return
                        (far if ready is near else near).sendall(data)
            except OSError:
                return
            finally:
                with self._lock:
                    self._open -= {near, far}

    @contextlib.contextmanager
    def _connected(self) -> Iterator[socket.socket]:
        folder = self._target.query.get("host")
        port = self._target.port or 5432
        if isinstance(folder, str) and folder.startswith("/"):
            far = socket.socket(socket.AF_UNIX)
            far.connect(str(Path(folder) / f".s.PGSQL.{port}"))
        else:
            far = socket.create_connection((self._target.host or "127.0.0.1", port))
        with far:
            yield far
