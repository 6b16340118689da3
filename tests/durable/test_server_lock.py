"""One server under one name."""

import asyncio

import pytest

from eacps.durable import Database
from eacps.durable.server_lock import server_lock
from eacps.errors import ServerRunsAlready


async def test_a_second_server_of_the_name_is_refused(database: Database, url: str) -> None:
    other = Database(url)
    try:
        async with server_lock(database, "one"):
            with pytest.raises(ServerRunsAlready, match="'one'"):
                async with server_lock(other, "one", patience_s=0.0):
                    pass
            async with server_lock(other, "two", patience_s=0.0):
                pass
        async with server_lock(other, "one", patience_s=0.0):
            pass
    finally:
        other.close()


async def test_one_that_is_about_to_end_is_waited_for(database: Database) -> None:
    held, leave = asyncio.Event(), asyncio.Event()

    async def first() -> None:
        async with server_lock(database, "one"):
            held.set()
            await leave.wait()

    async def second() -> None:
        async with server_lock(database, "one", patience_s=20.0):
            assert leave.is_set()

    task = asyncio.create_task(first())
    await held.wait()
    waiting = asyncio.create_task(second())
    await asyncio.sleep(0.2)
    leave.set()
    await asyncio.gather(task, waiting)
