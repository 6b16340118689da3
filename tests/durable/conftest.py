"""Databases to keep searches in: one contract for SQLite and for a real PostgreSQL."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from eacps.durable import Database, ObjectStore, SearchStore, Submission, open_store, sqlite_url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty database, one of each kind."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path / "searches.sqlite")
    made: str = request.getfixturevalue("new_database")("contract")
    return made


class Clock:
    """Seconds since the epoch, as tests say."""

    def __init__(self) -> None:
        self.now_s = 1_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still."""
    return Clock()


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    """An empty database."""
    opened = Database(url)
    yield opened
    opened.close()


@pytest.fixture
def store(database: Database, clock: Clock) -> SearchStore:
    """Searches in it."""
    return SearchStore(database, clock)


@pytest.fixture
def objects(database: Database, clock: Clock, tmp_path: Path) -> ObjectStore:
    """Objects in a folder."""
    return ObjectStore(open_store(str(tmp_path / "artifacts")), database, clock)


@pytest.fixture
def submit() -> Callable[..., Submission]:
    """Makes a submission; keywords replace fields."""
    count = iter(range(1000))

    def make(**fields: object) -> Submission:
        number = next(count)
        defaults: dict[str, object] = {
            "id": f"{number:032x}",
            "tenant": "ada",
            "request": b"request",
            "fingerprint": "0" * 64,
            "inputs": frozenset(),
            "request_id": None,
            "labels": {},
            "priority": 100,
            "expires_s": None,
        }
        return Submission(**{**defaults, **fields})  # type: ignore[arg-type]

    return make
