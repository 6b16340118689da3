"""A lock that only one server of a name holds: a second one would resume the searches that the first one runs."""

import asyncio
import fcntl
import hashlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from eacps.durable.database import Database, database_errors
from eacps.errors import ServerRunsAlready, StoreUnavailable

_log = logging.getLogger(__name__)
_POLL_S = 0.5
_CHECK_S = 5.0
_KEEPALIVES = ("tcp_keepalives_idle = 20", "tcp_keepalives_interval = 5", "tcp_keepalives_count = 4")
"""PostgreSQL must notice within ``patience_s`` that a machine has lost its power."""
_THIS_SESSION = "SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"
_END_SESSION = (  # and wait until it has ended, so many milliseconds at most
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pid = :pid AND backend_start = :started"
)


@dataclass(frozen=True)
class _Session:
    """A PostgreSQL session that holds the lock, which its process and start name."""

    connection: Connection
    pid: int
    started: datetime

    def is_alive(self) -> bool:
        try:
            self.connection.execute(text("SELECT 1"))
            self.connection.commit()  # an open transaction would hold back the database's clean-up
        except SQLAlchemyError:
            return False
        return True

    def close(self) -> None:
        """End the session. The connection is not in the pool, so that nothing else would close it."""
        with suppress(SQLAlchemyError):  # it may be lost already
            self.connection.close()


_Lock = _Session | IO[bytes]


@asynccontextmanager
async def server_lock(
    database: Database, name: str, *, patience_s: float = 60.0, poll_s: float = _POLL_S, check_s: float = _CHECK_S
) -> AsyncIterator[None]:
    """Be the only server of a name on a database until the block or this process ends.

    PostgreSQL releases the lock as well when it restarts or loses this server's connection. It is taken again then; if
    another server has taken it in the meantime, the block is cancelled.

    Args:
        database: The lock is held in it, or beside its file.
        name: Name of this server.
        patience_s: How long to wait until another server of this name has ended.
        poll_s: Pause between two attempts.
        check_s: Pause between two checks that PostgreSQL still holds the lock.

    Raises:
        ServerRunsAlready: Another server holds the lock, now or after it was lost.
        StoreUnavailable: The database failed.
    """
    end_s = asyncio.get_running_loop().time() + patience_s
    while (lock := await _attempt(database, name)) is None:
        if asyncio.get_running_loop().time() >= end_s:
            raise _runs_already(name)
        await asyncio.sleep(poll_s)
    if isinstance(lock, _Session):
        async with _kept(_Keeper(database, name, lock, poll_s, check_s)):
            yield
    else:
        with lock:
            yield


class _Keeper:
    """Checks the lock's session, and takes the lock again when the session is lost."""

    def __init__(self, database: Database, name: str, session: _Session, poll_s: float, check_s: float) -> None:
        self._database, self._name = database, name
        self._poll_s, self._check_s = poll_s, check_s
        self._session: _Session | None = session
        self._lost: _Session | None = None
        self.left = asyncio.Event()

    async def run(self) -> None:
        """Keep the lock until the block is left, then release it.

        It is not cancelled: a thread that still uses the connection must end before it is closed.

        Raises:
            ServerRunsAlready: Another server has taken the lock.
        """
        while not await self._is_left_within(self._poll_s if self._session is None else self._check_s):
            if (session := self._session) is not None and not await asyncio.to_thread(session.is_alive):
                _log.warning("the database has dropped the lock of the server named %r; taking it again", self._name)
                await asyncio.to_thread(session.close)
                self._session, self._lost = None, session
            if self._session is None:
                self._session = await self._taken_again()
        if self._session is not None:
            await asyncio.to_thread(self._session.close)

    async def _taken_again(self) -> _Session | None:
        """Take the lost lock; None while the database cannot be reached."""
        try:
            lock = await asyncio.to_thread(_try_to_lock, self._database, self._name, self._lost)
        except StoreUnavailable:
            return None
        if isinstance(lock, _Session):
            return lock
        _log.error("another server named %r has taken the lock; this one ends", self._name)
        raise _runs_already(self._name)

    async def _is_left_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.left.wait()
        return self.left.is_set()


@asynccontextmanager
async def _kept(keeper: _Keeper) -> AsyncIterator[None]:
    """Keep the lock during the block; cancel the block where another server has taken it, as `asyncio.timeout` does."""
    block = asyncio.current_task()
    assert block is not None, "the block runs in a task"
    cancelling, ended = block.cancelling(), False
    keeping = asyncio.create_task(keeper.run(), name="server lock")

    def end_block(kept: asyncio.Task[None]) -> None:
        nonlocal ended
        if not keeper.left.is_set() and kept.exception() is not None:
            ended = True
            block.cancel()

    keeping.add_done_callback(end_block)
    try:
        try:
            yield
        finally:
            keeper.left.set()
            await asyncio.wait({keeping})
    except asyncio.CancelledError as exc:
        if ended and block.uncancel() <= cancelling and (lost := keeping.exception()) is not None:
            raise lost from exc
        raise
    except BaseException:
        if ended:
            block.uncancel()
        raise
    if ended:
        block.uncancel()
    if lost := keeping.exception():
        raise lost


async def _attempt(database: Database, name: str) -> _Lock | None:
    """Try to take the lock; one that is taken after the caller was cancelled is released."""
    attempt = asyncio.create_task(asyncio.to_thread(_try_to_lock, database, name))
    try:
        return await asyncio.shield(attempt)
    except asyncio.CancelledError:
        attempt.add_done_callback(_release)
        raise


def _release(attempt: asyncio.Task[_Lock | None]) -> None:
    if not attempt.cancelled() and attempt.exception() is None and (lock := attempt.result()) is not None:
        lock.close()


def _try_to_lock(database: Database, name: str, lost: _Session | None = None) -> _Lock | None:
    """Take the lock, or return None where another server holds it.

    Args:
        database: See `server_lock`.
        name: Likewise.
        lost: Session of this server whose connection was lost. PostgreSQL may notice that later than this server, so
            that it is ended.
    """
    if database.is_sqlite:
        return _lock_file(Path(f"{database.file}.{hashlib.sha256(name.encode()).hexdigest()[:12]}.lock"))
    connection = database.connect()
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)
    session = None
    try:
        with database_errors():
            for setting in _KEEPALIVES:
                connection.execute(text(f"SET {setting}"))
            if lost is not None:
                named = {"pid": lost.pid, "started": lost.started}
                connection.execute(text(_END_SESSION), named)
            locked = connection.execute(text("SELECT pg_try_advisory_lock(:number)"), {"number": number}).scalar()
            pid, started = connection.execute(text(_THIS_SESSION)).one()
            connection.commit()  # the lock is the session's, not the transaction's
            if locked:
                session = _Session(connection, pid, started)
    finally:
        if session is None:
            connection.close()
    return session


def _lock_file(path: Path) -> IO[bytes] | None:
    file = path.open("wb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def _runs_already(name: str) -> ServerRunsAlready:
    return ServerRunsAlready(f"another server named {name!r} uses this database")
