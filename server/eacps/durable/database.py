"""A relational database, SQLite or PostgreSQL, off the event loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import SQLAlchemyError

from eacps.durable.tables import METADATA
from eacps.errors import FieldViolation, InvalidRequest, StoreUnavailable

T = TypeVar("T")
_CONNECTIONS = 8
_SQLITE_PATIENCE_S = 30.0
_SCHEMA_LOCK = 0x6561637073  # any number that other programs do not lock by


def sqlite_url(path: Path) -> str:
    """Name a database file."""
    return f"sqlite:///{path.absolute()}"


class Database:
    """Runs transactions, each in a thread, and makes the tables where there are none.

    Args:
        url: ``sqlite:///FILE`` or ``postgresql://USER@HOST/DATABASE``.

    Raises:
        InvalidRequest: The URL is of neither.
        StoreUnavailable: The database cannot be reached.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._engine = _engine_for(url)
        connections = 1 if self.is_sqlite else _CONNECTIONS
        self._threads = ThreadPoolExecutor(connections, thread_name_prefix="database")
        self._transact(_make_tables)

    @property
    def is_sqlite(self) -> bool:
        """Whether one file is all there is, so that transactions run one at a time."""
        return self._engine.dialect.name == "sqlite"

    @property
    def file(self) -> str:
        """The file, where that is all there is."""
        return str(self._engine.url.database)

    def connect(self) -> Connection:
        """Open a connection of one's own, to be closed; blocks.

        Raises:
            StoreUnavailable: The database cannot be reached.
        """
        try:
            connection = self._engine.connect()
        except SQLAlchemyError as exc:
            raise StoreUnavailable(f"the database of searches failed: {type(exc).__name__}") from exc
        connection.detach()  # what is set on it, or held by it, ends with it
        return connection

    async def run(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` within a transaction, which is undone where it raises.

        Raises:
            StoreUnavailable: The database failed.
        """
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._transact, work)

    def close(self) -> None:
        """Wait for the transactions under way, and let go of all connections."""
        self._threads.shutdown()
        self._engine.dispose()

    def _transact(self, work: Callable[[Connection], T]) -> T:
        try:
            with self._engine.begin() as connection:
                return work(connection)
        except SQLAlchemyError as exc:
            raise StoreUnavailable(f"the database of searches failed: {type(exc).__name__}") from exc


def _engine_for(url: str) -> Engine:
    try:
        parsed = make_url(url)
    except SQLAlchemyError as exc:
        raise InvalidRequest([FieldViolation("database", "is no URL of a database")]) from exc
    if parsed.get_backend_name() == "sqlite":
        engine = create_engine(parsed, connect_args={"timeout": _SQLITE_PATIENCE_S, "check_same_thread": False})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    if parsed.get_backend_name() == "postgresql":
        return create_engine(parsed.set(drivername="postgresql+psycopg"), pool_size=_CONNECTIONS, pool_pre_ping=True)
    raise InvalidRequest([FieldViolation("database", f"is {parsed.get_backend_name()}, not sqlite or postgresql")])


def _prepare_sqlite(connection: Any, _: object) -> None:
    connection.isolation_level = None  # transactions begin where we say so
    for setting in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {setting}")


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and writes later could not get the lock in between.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _make_tables(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":  # of servers that start together, one makes them
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_SCHEMA_LOCK})")
    METADATA.create_all(connection)
