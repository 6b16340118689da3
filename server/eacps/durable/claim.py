"""One server under one name: a second one would take up what the first is running."""

import asyncio
import fcntl
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO

from sqlalchemy import Connection, text

from eacps.durable.database import Database
from eacps.errors import ServerRunsAlready

_POLL_S = 0.5
_KEEPALIVES = ("tcp_keepalives_idle = 20", "tcp_keepalives_interval = 5", "tcp_keepalives_count = 4")
"""A machine that has lost its power says no goodbye: PostgreSQL shall notice within the patience."""


@asynccontextmanager
async def claimed(database: Database, name: str, *, patience_s: float = 60.0) -> AsyncIterator[None]:
    """Be the one server of a name on a database until the block ends, or this process does.

    Args:
        database: Which.
        name: Of this server.
        patience_s: How long to wait for another one that has just ended.

    Raises:
        ServerRunsAlready: Another one is it.
    """
    end_s = asyncio.get_running_loop().time() + patience_s
    while (held := await asyncio.to_thread(_try_to_hold, database, name)) is None:
        if asyncio.get_running_loop().time() >= end_s:
            raise ServerRunsAlready(f"another server named {name!r} uses this database")
        await asyncio.sleep(_POLL_S)
    try:
        yield
    finally:
        await asyncio.to_thread(held.close)


def _try_to_hold(database: Database, name: str) -> Connection | IO[bytes] | None:
    if database.is_sqlite:
        return _locked(Path(f"{database.file}.{hashlib.sha256(name.encode()).hexdigest()[:12]}.lock"))
    connection = database.connect()
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)
    for setting in _KEEPALIVES:
        connection.execute(text(f"SET {setting}"))
    if connection.execute(text("SELECT pg_try_advisory_lock(:number)"), {"number": number}).scalar():
        connection.commit()  # the lock is the session's, not the transaction's
        return connection
    connection.close()
    return None


def _locked(path: Path) -> IO[bytes] | None:
    file = path.open("wb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file
