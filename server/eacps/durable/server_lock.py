"""A lock that only one server of a name holds: a second one would resume the searches that the first one runs."""

import asyncio
import fcntl
import hashlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
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
    while (lock := await asyncio.to_thread(_try_to_lock, database, name)) is None:
        if asyncio.get_running_loop().time() >= end_s:
            raise _runs_already(name)
        await asyncio.sleep(poll_s)
    if isinstance(lock, Connection):
        async with _kept(database, name, lock, poll_s, check_s):
            yield
    else:
        with lock:
            yield


@asynccontextmanager
async def _kept(database: Database, name: str, lock: Connection, poll_s: float, check_s: float) -> AsyncIterator[None]:
    """Keep the lock until the block ends; cancel the block if another server has it."""
    block = asyncio.current_task()
    assert block is not None, "the block runs in a task"
    left = asyncio.Event()
    keeping = asyncio.create_task(_keep(database, name, lock, left, poll_s, check_s), name="server lock")

    def end_block(ended: asyncio.Task[None]) -> None:
        if not ended.cancelled() and ended.exception() is not None:
            block.cancel()

    keeping.add_done_callback(end_block)
    try:
        yield
    except asyncio.CancelledError:
        if not keeping.done() or keeping.cancelled() or (lost := keeping.exception()) is None:
            raise
        block.uncancel()
        raise lost from None
    finally:
        keeping.remove_done_callback(end_block)
        left.set()
        await asyncio.wait({keeping})


async def _keep(
    database: Database, name: str, lock: Connection, left: asyncio.Event, poll_s: float, check_s: float
) -> None:
    """Check the lock until the block is left, then release it. Raises ServerRunsAlready where another has taken it.

    It is not cancelled: a thread that still uses the connection must end before it is closed.
    """
    held: Connection | None = lock
    while not await _within(left, check_s if held is not None else poll_s):
        if held is not None and not await asyncio.to_thread(_is_alive, held):
            _log.warning("the database has dropped the lock of the server named %r; taking it again", name)
            await asyncio.to_thread(_discard, held)
            held = None
        if held is None:
            held = await _take_again(database, name)
    if held is not None:
        await asyncio.to_thread(held.close)


async def _within(event: asyncio.Event, seconds: float) -> bool:
    """Wait for an event, so long at most; return whether it has come."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()


async def _take_again(database: Database, name: str) -> Connection | None:
    """Take a lost lock; None while the database cannot be reached."""
    try:
        lock = await asyncio.to_thread(_try_to_lock, database, name)
    except StoreUnavailable:
        return None
    if not isinstance(lock, Connection):
        _log.error("another server named %r has taken the lock; this one ends", name)
        raise _runs_already(name)
    return lock


def _is_alive(connection: Connection) -> bool:
    try:
        connection.execute(text("SELECT 1"))
        connection.commit()  # an open transaction would hold back the database's clean-up
    except SQLAlchemyError:
        return False
    return True


def _discard(connection: Connection) -> None:
    connection.invalidate()
    connection.close()


def _runs_already(name: str) -> ServerRunsAlready:
    return ServerRunsAlready(f"another server named {name!r} uses this database")


def _try_to_lock(database: Database, name: str) -> Connection | IO[bytes] | None:
    if database.is_sqlite:
        return _lock_file(Path(f"{database.file}.{hashlib.sha256(name.encode()).hexdigest()[:12]}.lock"))
    connection = database.connect()
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)
    locked = False
    try:
        with database_errors():
            for setting in _KEEPALIVES:
                connection.execute(text(f"SET {setting}"))
            locked = bool(connection.execute(text("SELECT pg_try_advisory_lock(:number)"), {"number": number}).scalar())
            connection.commit()  # the lock is the session's, not the transaction's
    finally:
        if not locked:
            connection.close()
    return connection if locked else None


def _lock_file(path: Path) -> IO[bytes] | None:
    file = path.open("wb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file
