"""Bytes by content hash in an object store, each with a record of the searches and uploads that refer to it.

An object is recorded and referred to before it is written, and written before anything else names it. So the sweeper,
which removes what nothing refers to, never removes what is about to be used (`eacps.durable.sweeper`).
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select

from eacps.artifacts import Artifact
from eacps.durable import rows
from eacps.durable.database import Database
from eacps.durable.statements import Statement
from eacps.durable.stores import Store
from eacps.durable.tables import OBJECTS, REFERENCES, SEARCHES, UPLOADS
from eacps.errors import ArtifactNotFound, SearchOver

_OBJECT = Statement(lambda insert: insert(OBJECTS).on_conflict_do_nothing())
_LOCK_OBJECT = Statement(
    lambda _: select(OBJECTS.c.digest).where(OBJECTS.c.digest == bindparam("digest")).with_for_update()
)

_REFERRING = Statement(
    lambda _: (
        select(SEARCHES.c.id, SEARCHES.c.request)
        .join(REFERENCES, SEARCHES.c.id == REFERENCES.c.search_id)
        .where(REFERENCES.c.digest == bindparam("digest"), SEARCHES.c.tenant == bindparam("of"))
        .order_by(SEARCHES.c.created_s)  # the search that made it is older than those that use it
        .limit(_MOST_REFERRING)
    )
)


def _upsert_upload(insert: Any) -> Any:
    new = insert(UPLOADS)
    return new.on_conflict_do_update(
        index_elements=[UPLOADS.c.digest, UPLOADS.c.tenant], set_={"created_s": new.excluded.created_s}
    )


_UPLOAD = Statement(_upsert_upload)
_MOST_REFERRING = 16


class ObjectStore:
    """Stores bytes under their SHA-256.

    Args:
        store: Holds the bytes.
        database: Records the objects and the references to them.
        clock: Seconds since the epoch.
    """

    def __init__(self, store: Store, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._store, self._database, self._clock = store, database, clock

    async def put_for_search(self, search_id: str, artifacts: Sequence[Artifact]) -> None:
        """Store artifacts that a running search refers to from now on.

        Raises:
            SearchOver: It is not running any more.
            StoreUnavailable: Database or store failed.
        """

        def refer(connection: Connection, digests: Sequence[str]) -> None:
            if not rows.is_running(connection, search_id):
                raise SearchOver(f"search {search_id} is not running any more")
            rows.refer(connection, search_id, digests)

        await self._put(artifacts, refer)

    async def put_upload(self, tenant: str, data: bytes, *, digest: str | None = None) -> str:
        """Store the upload of a tenant, and return its digest. Uploading the same bytes again renews their retention.

        Args:
            tenant: Owner of the upload.
            data: The bytes.
            digest: Their SHA-256 if it is known; None computes it in a thread.
        """
        artifact = await asyncio.to_thread(Artifact.of, data) if digest is None else Artifact(digest, data)
        await self.put_uploads(tenant, [artifact])
        return artifact.digest

    async def put_uploads(self, tenant: str, artifacts: Sequence[Artifact]) -> None:
        """Store several uploads of a tenant, at least one; otherwise as `put_upload`."""

        def refer(connection: Connection, digests: Sequence[str]) -> None:
            now_s = self._clock()
            _UPLOAD.execute_many(connection, [{"tenant": tenant, "digest": one, "created_s": now_s} for one in digests])

        await self._put(artifacts, refer)

    async def get(self, digest: str) -> bytes:
        """Return bytes by their digest, whatever refers to them.

        Raises:
            ArtifactNotFound: There is no such artifact.
            StoreUnavailable: The store failed.
        """
        try:
            return await self._store.get(_path(digest))
        except FileNotFoundError as exc:
            raise ArtifactNotFound(f"there is no artifact {digest[:64]!r}") from exc

    async def get_range(self, digest: str, start: int, length: int) -> bytes:
        """Return up to ``length`` bytes from ``start`` on; raises as `get`."""
        try:
            return await self._store.get_range(_path(digest), start, length)
        except FileNotFoundError as exc:
            raise ArtifactNotFound(f"there is no artifact {digest[:64]!r}") from exc

    async def makers_of(self, tenant: str, digest: str) -> list[str]:
        """Return the ids of a tenant's searches that may have made an artifact: the oldest few.

        These refer to it, and it is not among the pictures of their requests: many searches may share a scene.

        Raises:
            StoreUnavailable: The database failed.
        """

        def work(connection: Connection) -> list[str]:
            rows = _REFERRING.execute(connection, {"digest": digest, "of": tenant})
            return [row.id for row in rows if digest.encode() not in row.request]

        return await self._database.read(work)

    async def size_for_tenant(self, tenant: str, digest: str) -> int:
        """Return the size in bytes of an artifact that a tenant uploaded, or that a search of the tenant refers to.

        Raises:
            ArtifactNotFound: There is no such artifact, or it belongs to others.
            StoreUnavailable: The database failed.
        """

        def size(connection: Connection) -> int | None:
            uploaded = select(UPLOADS.c.digest).where(UPLOADS.c.digest == digest, UPLOADS.c.tenant == tenant)
            referred = (
                select(REFERENCES.c.digest)
                .join(SEARCHES, SEARCHES.c.id == REFERENCES.c.search_id)
                .where(REFERENCES.c.digest == digest, SEARCHES.c.tenant == tenant)
                .limit(1)
            )
            if not any(connection.execute(query).first() is not None for query in (uploaded, referred)):
                return None
            return connection.execute(select(OBJECTS.c.size).where(OBJECTS.c.digest == digest)).scalar()

        _path(digest)  # raises before the database is queried
        found = await self._database.read(size)
        if found is None:
            raise ArtifactNotFound(f"there is no artifact {digest[:64]!r}")
        return found

    async def remove_unreferred(self, digests: list[str]) -> int:
        """Remove the objects that nothing refers to; return how many bytes they had."""
        return sum([await self._database.run(partial(self._remove, digest)) for digest in digests])

    async def _put(
        self,
        artifacts: Sequence[Artifact],
        refer: Callable[[Connection, Sequence[str]], None],
    ) -> None:
        data = {one.digest: one.data for one in artifacts}
        digests = sorted(data)  # in one order, which avoids deadlocks

        def work(connection: Connection) -> set[str]:
            new = _lock_rows(connection, {digest: len(data[digest]) for digest in digests})
            refer(connection, digests)
            return new

        new = await self._database.run(work)
        unsure = {_path(digest) for digest in digests if digest not in new}
        held = unsure - await self._store.missing(unsure) if unsure else set()
        await self._store.put({path: data[digest] for digest in digests if (path := _path(digest)) not in held})

    def _remove(self, digest: str, connection: Connection) -> int:
        """Remove one object while its row is locked; return how many bytes it had."""
        row = connection.execute(select(OBJECTS).where(OBJECTS.c.digest == digest).with_for_update()).first()
        if row is None or any(
            connection.execute(select(table.c.digest).where(table.c.digest == digest).limit(1)).first()
            for table in (REFERENCES, UPLOADS)
        ):
            return 0
        with suppress(FileNotFoundError):  # recorded, but the process ended before it was written
            self._store.delete(_path(digest))
        connection.execute(delete(OBJECTS).where(OBJECTS.c.digest == digest))
        return int(row.size)


class SearchArtifacts:
    """An `eacps.evaluation.ArtifactStore` of one search.

    Args:
        objects: Holds the artifacts.
        search_id: Id of the search.
    """

    def __init__(self, objects: ObjectStore, search_id: str) -> None:
        self._objects, self._search_id = objects, search_id

    async def put(self, artifacts: Sequence[Artifact]) -> None:
        """See `ArtifactStore.put`."""
        await self._objects.put_for_search(self._search_id, artifacts)

    async def get(self, digest: str) -> bytes:
        """See `ArtifactStore.get`."""
        try:
            return await self._objects.get(digest)
        except ArtifactNotFound as exc:
            raise KeyError(digest) from exc


def _lock_rows(connection: Connection, sizes: Mapping[str, int]) -> set[str]:
    """Lock the rows of objects until the transaction ends, and return which of them are known to be new.

    An object is removed while its row is locked, so that a write of the same object comes after the removal.
    """
    left = [{"digest": digest, "size": size} for digest, size in sizes.items()]
    if _OBJECT.execute_many(connection, left) == len(left):
        return set(sizes)
    while left:  # which of them are new is unknown: each is looked for before it is written
        left = [row for row in left if _LOCK_OBJECT.execute(connection, row).first() is None]  # removed a moment ago
        if left:
            _OBJECT.execute_many(connection, left)
    return set()


def _path(digest: str) -> str:
    if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
        raise ArtifactNotFound(f"{digest[:64]!r} is no SHA-256 in hexadecimal")
    return f"{digest[:2]}/{digest}"
