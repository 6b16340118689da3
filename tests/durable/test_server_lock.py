"""One server under one name."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, create_engine, text

from eacps.durable import Database
from eacps.durable.server_lock import _Session, server_lock
from eacps.errors import ServerRunsAlready, StoreUnavailable


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
    with administrator(url) as connection:
        ended = connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_database ON pg_database.oid = database "
                "WHERE locktype = 'advisory' AND datname = current_database()"
            )
        )
        assert ended.rowcount == 1


@contextmanager
def administrator(url: str) -> Iterator[Connection]:
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


@pytest.fixture
def url_of_locks(new_database: Callable[[str], str]) -> str:
    return new_database("locks")


@pytest.fixture
def databases(url_of_locks: str) -> Iterator[tuple[Database, Database]]:
    """Two servers' connections to one database."""
    found = Database(url_of_locks), Database(url_of_locks)
    yield found
    for one in found:
        one.close()


async def is_refused(database: Database) -> bool:
    try:
        async with server_lock(database, "one", patience_s=0.0):
            return False
    except ServerRunsAlready:
        return True


async def test_a_lock_that_the_database_dropped_is_taken_again(
    databases: tuple[Database, Database], url_of_locks: str, caplog: pytest.LogCaptureFixture
) -> None:
    database, other = databases
    async with server_lock(database, "one", check_s=0.1, poll_s=0.05):
        await asyncio.to_thread(end_sessions_with_locks, url_of_locks)
        async with asyncio.timeout(20):
            while "taking it again" not in caplog.text:
                await asyncio.sleep(0.05)
        await asyncio.sleep(0.5)
        assert await is_refused(other)
    assert not await is_refused(other)


async def test_a_session_that_the_database_still_believes_in_is_not_taken_for_another_server(
    databases: tuple[Database, Database], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    database, other = databases
    sessions = []

    def lose(session: _Session) -> bool:
        """The connection fails, and PostgreSQL has not noticed it yet."""
        sessions.append(session)
        return len(sessions) > 1

    with monkeypatch.context() as patch:
        patch.setattr(_Session, "is_alive", lose)
        patch.setattr(_Session, "close", lambda session: None)
        async with server_lock(database, "one", check_s=0.05, poll_s=0.05):
            async with asyncio.timeout(20):
                while len(sessions) < 3:
                    await asyncio.sleep(0.05)
            assert await is_refused(other)
    assert caplog.text.count("taking it again") == 1
    for session in {one.pid: one for one in sessions}.values():
        session.close()


async def test_a_database_that_is_away_for_a_while_is_waited_for(
    databases: tuple[Database, Database], url_of_locks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, other = databases
    away = 0

    def connect() -> Connection:
        nonlocal away
        away += 1
        raise StoreUnavailable("the database is away")

    async with server_lock(database, "one", check_s=0.05, poll_s=0.05):
        with monkeypatch.context() as patch:
            patch.setattr(database, "connect", connect)
            await asyncio.to_thread(end_sessions_with_locks, url_of_locks)
            async with asyncio.timeout(20):
                while away < 3:
                    await asyncio.sleep(0.05)
        async with asyncio.timeout(20):
            while not await is_refused(other):
                await asyncio.sleep(0.2)


async def block_that_loses_its_lock(databases: tuple[Database, Database], url: str, ends: asyncio.Event) -> None:
    """Its lock is taken by another server; ``ends`` is set when it notices that, and it then waits a little."""
    database, other = databases
    async with server_lock(database, "one", check_s=1.0, poll_s=0.05):
        await asyncio.to_thread(end_sessions_with_locks, url)
        async with server_lock(other, "one", patience_s=5.0, poll_s=0.01):
            try:
                await asyncio.sleep(30)
            finally:
                ends.set()
                await asyncio.sleep(0.2)


async def test_a_server_ends_where_another_of_its_name_has_taken_the_lock(
    databases: tuple[Database, Database], url_of_locks: str
) -> None:
    ends = asyncio.Event()
    with pytest.raises(ServerRunsAlready, match="'one'"):
        await block_that_loses_its_lock(databases, url_of_locks, ends)
    assert ends.is_set(), "the other server had the lock until the block was cancelled"
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0, "whoever called the block is not cancelled"


async def test_a_block_that_is_cancelled_while_it_ends_is_cancelled(
    databases: tuple[Database, Database], url_of_locks: str
) -> None:
    ends = asyncio.Event()
    task = asyncio.create_task(block_that_loses_its_lock(databases, url_of_locks, ends))
    async with asyncio.timeout(20):
        await ends.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_block_that_fails_or_is_cancelled_says_so_itself(database: Database) -> None:
    with pytest.raises(KeyError):
        async with server_lock(database, "one"):
            raise KeyError
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1), server_lock(database, "one"):
            await asyncio.sleep(30)
    async with server_lock(database, "one", patience_s=0.0):
        pass


async def test_a_lock_taken_after_its_caller_was_cancelled_is_released(
    databases: tuple[Database, Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    database, other = databases
    connect, asked = database.connect, asyncio.Event()
    loop = asyncio.get_running_loop()

    def slowly() -> Connection:
        loop.call_soon_threadsafe(asked.set)
        time.sleep(0.3)
        return connect()

    monkeypatch.setattr(database, "connect", slowly)

    async def enter() -> None:
        async with server_lock(database, "one"):
            pytest.fail("it was cancelled before")

    task = asyncio.create_task(enter())
    await asked.wait()
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    await asyncio.sleep(0.6)
    async with server_lock(other, "one", patience_s=5.0):
        pass
