"""Retention: deletes old searches and uploads, and the oldest ones beyond a total size."""

import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, exists, func, select

from eacps.durable.database import Database
from eacps.durable.object_store import ObjectStore
from eacps.durable.rows import delete_search
from eacps.durable.stored import UNFINISHED
from eacps.durable.tables import OBJECTS, REFERENCES, SEARCHES, UPLOADS

_AT_ONCE = 256

_DAY_S = 86400.0


@dataclass(frozen=True)
class Retention:
    """How long searches and pictures are kept.

    Args:
        search_s: Seconds after its end that a search is kept.
        upload_s: Seconds that an uploaded picture is kept which no search refers to.
        size: Most bytes of all objects together; beyond it, the searches that ended first are deleted early.
    """

    search_s: float = 30 * _DAY_S
    upload_s: float = _DAY_S
    size: int = 100 * 2**30


@dataclass(frozen=True)
class Swept:
    """What was deleted: ids of searches, and bytes of objects."""

    searches: tuple[str, ...]
    size: int


class Sweeper:
    """Deletes what has outlived its retention. Several servers may sweep at once.

    Args:
        database: Holds the searches.
        objects: Objects that the searches refer to.
        retention: What to keep.
        clock: Seconds since the epoch.
    """

    def __init__(
        self,
        database: Database,
        objects: ObjectStore,
        retention: Retention,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database, self._objects, self._retention, self._clock = database, objects, retention, clock

    async def sweep(self, on_deleted: Callable[[Collection[str]], Awaitable[None]] | None = None) -> Swept:
        """Delete what is too old, then the oldest of the rest until the objects are within their size.

        Uploads that no search refers to go first, so that uploading cannot delete results.

        Args:
            on_deleted: Called with the ids of the deleted searches.
        """
        now_s = self._clock()
        await self._database.run(
            lambda connection: connection.execute(
                delete(UPLOADS).where(UPLOADS.c.created_s < now_s - self._retention.upload_s)
            )
        )
        searches: list[str] = []
        try:
            await self._delete_expired(SEARCHES.c.finished_s < now_s - self._retention.search_s, searches)
            size = await self._remove()
            while await self._database.read(_size) > self._retention.size:
                if not await self._database.run(_delete_oldest_upload):
                    if not (deleted := await self._delete_searches(SEARCHES.c.finished_s.is_not(None), most=1)):
                        break
                    searches += deleted
                size += await self._remove()
        finally:
            if on_deleted is not None and searches:
                await on_deleted(searches)
        return Swept(tuple(searches), size)

    async def _delete_expired(self, condition: ColumnElement[bool], searches: list[str]) -> None:
        """Delete all that expired, and add their ids to ``searches``: in batches, so that others write in between."""
        while True:
            deleted = await self._delete_searches(condition, most=_AT_ONCE)
            searches += deleted
            if len(deleted) < _AT_ONCE:
                return

    async def _delete_searches(self, condition: ColumnElement[bool], *, most: int) -> list[str]:
        def work(connection: Connection) -> list[str]:
            over = SEARCHES.c.state.not_in([state.value for state in UNFINISHED])
            query = select(SEARCHES.c.id).where(over, condition).order_by(SEARCHES.c.finished_s).limit(most)
            ids = list(connection.execute(query).scalars())
            for search_id in ids:
                delete_search(connection, search_id)
            return ids

        return await self._database.run(work)

    async def _remove(self) -> int:
        """Remove the objects that nothing refers to; return how many bytes they had."""
        unreferred = (
            select(OBJECTS.c.digest)
            .where(
                ~exists().where(REFERENCES.c.digest == OBJECTS.c.digest),
                ~exists().where(UPLOADS.c.digest == OBJECTS.c.digest),
            )
            .limit(_AT_ONCE)
        )
        size = 0
        while digests := await self._database.read(lambda connection: list(connection.execute(unreferred).scalars())):
            size += (removed := await self._objects.remove_unreferred(digests))
            if not removed:
                break
        return size


def _delete_oldest_upload(connection: Connection) -> bool:
    """Delete the oldest upload that no search refers to; return whether there was one."""
    unused = ~exists().where(REFERENCES.c.digest == UPLOADS.c.digest)
    query = select(UPLOADS.c.digest, UPLOADS.c.tenant).where(unused).order_by(UPLOADS.c.created_s).limit(1)
    if (oldest := connection.execute(query).first()) is None:
        return False
    connection.execute(delete(UPLOADS).where(UPLOADS.c.digest == oldest.digest, UPLOADS.c.tenant == oldest.tenant))
    return True


def _size(connection: Connection) -> int:
    return int(connection.execute(select(func.coalesce(func.sum(OBJECTS.c.size), 0))).scalar_one())
