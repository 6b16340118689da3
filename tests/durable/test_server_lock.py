"""One server under one name."""

import asyncio
from collections.abc import Callable

import pytest
from sqlalchemy import create_engine, text

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


def end_sessions_with_locks(url: str) -> None:
    """What a restart of PostgreSQL, or a lost network, does to the lock."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        ended = connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_database ON pg_database.oid = database "
                "WHERE locktype = 'advisory' AND datname = current_database()"
            )
        )
        assert ended.rowcount == 1
    engine.dispose()


@pytest.fixture
def postgresql_url(new_database: Callable[[str], str]) -> str:
    return new_database("locks")


async def test_a_lock_that_the_database_dropped_is_taken_again(
    postgresql_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    database, other = Database(postgresql_url), Database(postgresql_url)
    try:
        async with server_lock(database, "one", check_s=0.1, poll_s=0.05):
            await asyncio.to_thread(end_sessions_with_locks, postgresql_url)
            async with asyncio.timeout(20):
                while "taking it again" not in caplog.text:
                    await asyncio.sleep(0.05)
            await asyncio.sleep(0.5)
            with pytest.raises(ServerRunsAlready):
                async with server_lock(other, "one", patience_s=0.0):
                    pass
        async with server_lock(other, "one", patience_s=0.0):
            pass
    finally:
        database.close()
        other.close()


async def test_a_server_ends_where_another_of_its_name_has_taken_the_lock(postgresql_url: str) -> None:
    database, other = Database(postgresql_url), Database(postgresql_url)

    async def first() -> None:
        async with server_lock(database, "one", check_s=0.5, poll_s=0.05):
            await asyncio.to_thread(end_sessions_with_locks, postgresql_url)
            async with server_lock(other, "one", patience_s=5.0, poll_s=0.01):
                await asyncio.sleep(30)

    try:
        with pytest.raises(ServerRunsAlready, match="'one'"):
            await first()
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0, "whoever called the block is not cancelled"
    finally:
        database.close()
        other.close()


async def test_a_block_that_fails_or_is_cancelled_says_so_itself(database: Database) -> None:
    with pytest.raises(KeyError):
        async with server_lock(database, "one"):
            raise KeyError
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1), server_lock(database, "one"):
            await asyncio.sleep(30)
    async with server_lock(database, "one", patience_s=0.0):
        pass
