"""A lock that only one server of a name holds: a second one would resume the searches that the first one runs."""

import asyncio
import fcntl
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO

from sqlalchemy import Connection, text

from eacps.durable.database import Database, database_errors
from eacps.errors import ServerRunsAlready

_POLL_S = 0.5
_KEEPALIVES = ("tcp_keepalives_idle = 20", "tcp_keepalives_interval = 5", "tcp_keepalives_count = 4")
"""PostgreSQL must notice within ``patience_s`` that a machine has lost its power."""


@asynccontextmanager
async def server_lock(
    database: Database, name: str, *, patience_s: float = 60.0, poll_s: float = _POLL_S
) -> AsyncIterator[None]:
    """Be the only server of a name on a database until the block or this process ends.

    PostgreSQL gives the lock up as well when it restarts or loses this server's connection.

    Args:
        database: The lock is held in it, or beside its file.
        name: Name of this server.
        patience_s: How long to wait until another server of this name has ended.
        poll_s: Pause between two attempts.

    Raises:
        ServerRunsAlready: Another server holds the lock.
        StoreUnavailable: The database failed.
    """
    end_s = asyncio.get_running_loop().time() + patience_s
    while (lock := await asyncio.to_thread(_try_to_lock, database, name)) is None:
        if asyncio.get_running_loop().time() >= end_s:
            raise ServerRunsAlready(f"another server named {name!r} uses this database")
        await asyncio.sleep(poll_s)
    try:
        yield
    finally:
        await asyncio.to_thread(lock.close)


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
