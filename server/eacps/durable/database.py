"""A relational database, SQLite or PostgreSQL, off the event loop."""

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url
from sqlalchemy.exc import SQLAlchemyError

from eacps.durable.outages import is_outage, store_error
from eacps.durable.tables import METADATA
from eacps.errors import FieldViolation, InvalidRequest, StoreUnavailable

T = TypeVar("T")
_WRITERS, _READERS = 8, 2
_READ_ONLY = "eacps_read_only"
_SQLITE_PATIENCE_S = 30.0
_POSTGRESQL = {
    # A server that disappears without closing its connections is noticed within half a minute.
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,  # milliseconds
}
_SCHEMA_LOCK = 0x6561637073  # any number that other programs do not use


def sqlite_url(path: Path) -> str:
    """Return the URL of a database file, whose path may hold any characters."""
    return URL.create("sqlite", database=str(path.absolute())).render_as_string()


class Database:
    """Runs transactions, each in a thread, and creates missing tables.

    Args:
        url: ``sqlite:///FILE`` or ``postgresql://USER@HOST/DATABASE``.
        transacted: Called with the kind (``read`` or ``write``) and seconds of every transaction, the wait for a
            connection included.

    Raises:
        InvalidRequest: The URL is of another database, or it holds tables of another version.
        StoreUnavailable: The database cannot be reached.
    """

    def __init__(self, url: str, transacted: Callable[[str, float], None] | None = None) -> None:
        self.url, self._transacted = url, transacted
        self._engine = _engine_for(url)
        writers = 1 if self.is_sqlite else _WRITERS
        self._writers = ThreadPoolExecutor(writers, thread_name_prefix="database")
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="database-reader")
        self._inode: int | None = None
        try:
            self._transact(_make_tables)
            self._inode = self._inode_of_file()
        except BaseException:
            self.close()
            raise

    @property
    def is_sqlite(self) -> bool:
        """Whether the database is a file, so that transactions run one at a time."""
        return self._engine.dialect.name == "sqlite"

    @property
    def file(self) -> str:
        """Path of the SQLite file."""
        return str(self._engine.url.database)

    def connect(self) -> Connection:
        """Open a connection outside the pool, which the caller closes; blocks.

        Raises:
            StoreUnavailable: The database cannot be reached.
        """
        with database_errors():
            connection = self._engine.connect()
        connection.detach()  # its settings and locks end with it
        return connection

    async def run(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` within a transaction, which is rolled back if it raises.

        Raises:
            StoreUnavailable: The database failed.
        """
        with self._timed("write"):
            return await asyncio.get_running_loop().run_in_executor(self._writers, self._transact, work)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run ``work``, which changes nothing, within a transaction. It neither waits for writers nor blocks them.

        Raises:
            StoreUnavailable: The database failed.
        """
        with self._timed("read"):
            return await asyncio.get_running_loop().run_in_executor(self._readers, self._transact_read, work)

    def close(self) -> None:
        """Wait for running transactions, and release all connections."""
        self._writers.shutdown()
        self._readers.shutdown()
        self._engine.dispose()

    @contextmanager
    def _timed(self, kind: str) -> Iterator[None]:
        begun_s = time.monotonic()
        try:
            yield
        finally:
            if self._transacted is not None:
                self._transacted(kind, time.monotonic() - begun_s)

    def _transact(self, work: Callable[[Connection], T]) -> T:
        if self._inode is not None and self._inode_of_file() != self._inode:
            # SQLite would go on in the file that has no name any more, and all of it would be lost at the next start.
            raise StoreUnavailable(f"{self.file} was removed or replaced; the server has to be started again")
        with database_errors(), self._engine.begin() as connection:
            return work(connection)

    def _inode_of_file(self) -> int | None:
        """Return what the file system calls SQLite's file by now; None for PostgreSQL, 0 where there is none."""
        if not self.is_sqlite:
            return None
        try:
            return os.stat(self.file).st_ino
        except OSError:
            return 0

    def _transact_read(self, work: Callable[[Connection], T]) -> T:
        with database_errors(), self._engine.connect() as connection:
            return work(connection.execution_options(**{_READ_ONLY: True}))


@contextmanager
def database_errors() -> Iterator[None]:
    """Raise `StoreUnavailable` if the database failed; other errors pass."""
    try:
        yield
    except SQLAlchemyError as exc:
        if not is_outage(exc):
            raise
        raise store_error("the database of searches", exc) from exc


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
        return create_engine(
            parsed.set(drivername="postgresql+psycopg"),
            pool_size=_WRITERS + _READERS,
            pool_pre_ping=True,
            connect_args=_POSTGRESQL,
        )
    raise InvalidRequest([FieldViolation("database", f"is {parsed.get_backend_name()}, not sqlite or postgresql")])


def _prepare_sqlite(connection: Any, _: object) -> None:
    connection.isolation_level = None  # transactions are begun explicitly
    for setting in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {setting}")


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that begins with a read could fail to get the write lock later.
    reads = connection.get_execution_options().get(_READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _make_tables(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":  # if servers start together, one of them creates the tables
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_SCHEMA_LOCK})")
    METADATA.create_all(connection)
    known = inspect(connection)
    for table in METADATA.sorted_tables:
        if {column["name"] for column in known.get_columns(table.name)} != set(table.columns.keys()):
            raise InvalidRequest([FieldViolation("database", f"holds {table.name} of another version of EACPS")])
