"""Bytes by content hash in an object store, each with a record of who refers to it.

An object is recorded and referred to before it is written, and written before anything else names it. So the sweeper,
which takes what nobody refers to, never takes what is about to be used (`eacps.durable.sweeper`).
"""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, from_url
from sqlalchemy import Connection, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from eacps.durable.database import Database
from eacps.durable.tables import OBJECTS, REFERENCES, SEARCHES, UPLOADS
from eacps.errors import ArtifactNotFound, FieldViolation, InvalidRequest, StoreUnavailable


def open_store(place: str) -> Any:
    """Open a store: a folder, made where there is none, or a URL such as ``s3://BUCKET/PREFIX``, ``gs://``, ``az://``.

    Credentials come from the environment, as the cloud's own tools read them.

    Raises:
        InvalidRequest: There is no such store.
    """
    try:
        if "://" not in place:
            return LocalStore(Path(place).absolute(), mkdir=True)
        return from_url(place)
    except (BaseError, OSError, ValueError) as exc:
        raise InvalidRequest([FieldViolation("artifacts", f"{place} cannot be opened: {exc}")]) from exc


class ObjectStore:
    """Keeps bytes under their SHA-256.

    Args:
        store: Of obstore.
        database: Records what is there and who refers to it.
        clock: Seconds since the epoch.
    """

    def __init__(self, store: Any, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._store, self._database, self._clock = store, database, clock

    async def put_for_search(self, search_id: str, *data: bytes) -> list[str]:
        """Store bytes that a search refers to from now on, and give their digests."""
        row = {"search_id": search_id}
        return await self._put(data, lambda connection, digest: _insert(connection, REFERENCES, row, digest))

    async def put_upload(self, tenant: str, data: bytes) -> str:
        """Store bytes that a tenant brings, and give their digest. Bringing them again makes them young again."""

        def record(connection: Connection, digest: str) -> None:
            row = {"tenant": tenant, "created_s": self._clock()}
            if not _insert(connection, UPLOADS, row, digest):
                known = (UPLOADS.c.digest == digest) & (UPLOADS.c.tenant == tenant)
                connection.execute(update(UPLOADS).where(known).values(created_s=self._clock()))

        return (await self._put([data], record))[0]

    async def get(self, digest: str) -> bytes:
        """Give bytes by their digest, whoever refers to them.

        Raises:
            ArtifactNotFound: There are none.
            StoreUnavailable: The store failed.
        """
        try:
            result = await obstore.get_async(self._store, _path(digest))
            return bytes(await result.bytes_async())
        except FileNotFoundError as exc:
            raise ArtifactNotFound(f"there is no artifact {digest[:64]!r}") from exc
        except (BaseError, OSError) as exc:
            raise StoreUnavailable(f"the object store failed: {type(exc).__name__}") from exc

    async def get_for_tenant(self, tenant: str, digest: str) -> bytes:
        """Give bytes that a tenant brought, or that a search of its refers to.

        Raises:
            ArtifactNotFound: There are none; the same for those of others.
            StoreUnavailable: The store failed.
        """

        def known(connection: Connection) -> bool:
            uploaded = select(UPLOADS.c.digest).where(UPLOADS.c.digest == digest, UPLOADS.c.tenant == tenant)
            referred = (
                select(REFERENCES.c.digest)
                .join(SEARCHES, SEARCHES.c.id == REFERENCES.c.search_id)
                .where(REFERENCES.c.digest == digest, SEARCHES.c.tenant == tenant)
                .limit(1)
            )
            return any(connection.execute(query).first() is not None for query in (uploaded, referred))

        _path(digest)  # what is no digest need not be asked about
        if not await self._database.run(known):
            raise ArtifactNotFound(f"there is no artifact {digest[:64]!r}")
        return await self.get(digest)

    async def remove_unreferred(self, digests: list[str]) -> int:
        """Remove those that nobody refers to; give how many bytes they were."""
        return sum([await self._database.run(partial(self._remove, digest)) for digest in digests])

    async def _put(self, data: Sequence[bytes], record: Callable[[Connection, str], object]) -> list[str]:
        digests = [hashlib.sha256(one).hexdigest() for one in data]
        objects = dict(zip(digests, data, strict=True))

        def work(connection: Connection) -> set[str]:
            new = set()
            for digest in sorted(objects):  # in one order, so that nobody waits for each other
                if _hold(connection, digest, len(objects[digest])):
                    new.add(digest)
                record(connection, digest)
            return new

        new = await self._database.run(work)
        try:
            for digest, one in objects.items():
                if digest in new or not await self._holds(digest):
                    await obstore.put_async(self._store, _path(digest), one)
        except (BaseError, OSError) as exc:
            raise StoreUnavailable(f"the object store failed: {type(exc).__name__}") from exc
        return digests

    async def _holds(self, digest: str) -> bool:
        try:
            await obstore.head_async(self._store, _path(digest))
        except FileNotFoundError:
            return False
        return True

    def _remove(self, digest: str, connection: Connection) -> int:
        """Remove one object while its row is held; bytes removed."""
        row = connection.execute(select(OBJECTS).where(OBJECTS.c.digest == digest).with_for_update()).first()
        if row is None or any(
            connection.execute(select(table.c.digest).where(table.c.digest == digest).limit(1)).first()
            for table in (REFERENCES, UPLOADS)
        ):
            return 0
        try:
            obstore.delete(self._store, _path(digest))
        except FileNotFoundError:
            pass  # recorded, but the process ended before it was written
        except (BaseError, OSError) as exc:
            raise StoreUnavailable(f"the object store failed: {type(exc).__name__}") from exc
        connection.execute(delete(OBJECTS).where(OBJECTS.c.digest == digest))
        return int(row.size)


class SearchArtifacts:
    """An `eacps.evaluation.ArtifactStore` of one search; what it drops stays, since the search may be replayed.

    Args:
        objects: Where.
        search_id: Which search.
    """

    def __init__(self, objects: ObjectStore, search_id: str) -> None:
        self._objects, self._search_id = objects, search_id

    async def put(self, data: bytes) -> str:
        """See `ArtifactStore.put`."""
        return (await self.put_all([data]))[0]

    async def put_all(self, data: Sequence[bytes]) -> list[str]:
        """See `ArtifactStore.put_all`."""
        return await self._objects.put_for_search(self._search_id, *data)

    async def get(self, digest: str) -> bytes:
        """See `ArtifactStore.get`."""
        try:
            return await self._objects.get(digest)
        except ArtifactNotFound as exc:
            raise KeyError(digest) from exc

    async def drop(self, digest: str) -> None:
        """See `ArtifactStore.drop`."""


def _hold(connection: Connection, digest: str, size: int) -> bool:
    """Hold the row of an object until the transaction ends, and say whether it is new.

    Whoever removes the object holds its row until it is gone: waiting for that here, the write comes after.
    """
    held = select(OBJECTS.c.digest).where(OBJECTS.c.digest == digest).with_for_update()
    while not _insert(connection, OBJECTS, {"size": size}, digest):
        if connection.execute(held).first() is not None:
            return False
    return True


def _insert(connection: Connection, table: Any, row: Mapping[str, object], digest: str) -> bool:
    """Insert a row unless there is one like it; say whether there was none."""
    kind: Any = sqlite if connection.dialect.name == "sqlite" else postgresql
    statement = kind.insert(table).values({**row, "digest": digest}).on_conflict_do_nothing()
    return connection.execute(statement.returning(table.c.digest)).first() is not None


def _path(digest: str) -> str:
    if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
        raise ArtifactNotFound(f"{digest[:64]!r} is no SHA-256 in hexadecimal")
    return f"{digest[:2]}/{digest}"
