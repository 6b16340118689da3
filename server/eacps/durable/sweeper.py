"""Retention: what is old, or too much, goes; what is referred to stays."""

import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, exists, func, select

from eacps.durable.database import Database
from eacps.durable.objects import ObjectStore
from eacps.durable.records import UNFINISHED
from eacps.durable.rows import forget
from eacps.durable.tables import OBJECTS, REFERENCES, SEARCHES, UPLOADS

DAY_S = 86400.0
_AT_ONCE = 256


@dataclass(frozen=True)
class Retention:
    """How long searches and pictures are kept.

    Args:
        search_s: After its end, a search is kept so many seconds.
        upload_s: An uploaded picture that no search refers to, so many seconds.
        size: When the objects are more than so many bytes together, the searches that ended first go before their time.
    """

    search_s: float = 30 * DAY_S
    upload_s: float = DAY_S
    size: int = 100 * 2**30


@dataclass(frozen=True)
class Swept:
    """What went: searches by id, and bytes of objects."""

    searches: tuple[str, ...]
    size: int


class Sweeper:
    """Sweeps when told to. Several servers may sweep at once.

    Args:
        database: Of the searches.
        objects: What they refer to.
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

    async def sweep(self, forget_too: Callable[[Collection[str]], Awaitable[None]] | None = None) -> Swept:
        """Remove what is older than it may be; then, of the rest, the oldest until it is little enough.

        Uploads that no search refers to go before any search does: nobody loses a result to what another one brings.

        Args:
            forget_too: Told of searches that went.
        """
        now_s = self._clock()
        await self._database.run(
            lambda connection: connection.execute(
                delete(UPLOADS).where(UPLOADS.c.created_s < now_s - self._retention.upload_s)
            )
        )
        searches = await self._forget(SEARCHES.c.finished_s < now_s - self._retention.search_s)
        try:
            size = await self._remove()
            while await self._database.run(_size) > self._retention.size:
                if not await self._database.run(_forget_oldest_upload):
                    if not (forgotten := await self._forget(SEARCHES.c.finished_s.is_not(None), most=1)):
                        break
                    searches += forgotten
                size += await self._remove()
        finally:
            if forget_too is not None and searches:
                await forget_too(searches)
        return Swept(tuple(searches), size)

    async def _forget(self, condition: ColumnElement[bool], *, most: int = _AT_ONCE) -> list[str]:
        def work(connection: Connection) -> list[str]:
            over = SEARCHES.c.state.not_in([state.value for state in UNFINISHED])
            query = select(SEARCHES.c.id).where(over, condition).order_by(SEARCHES.c.finished_s).limit(most)
            ids = list(connection.execute(query).scalars())
            for search_id in ids:
                forget(connection, search_id)
            return ids

        return await self._database.run(work)

    async def _remove(self) -> int:
        """Remove the objects that nobody refers to; bytes removed."""
        unreferred = (
            select(OBJECTS.c.digest)
            .where(
                ~exists().where(REFERENCES.c.digest == OBJECTS.c.digest),
                ~exists().where(UPLOADS.c.digest == OBJECTS.c.digest),
            )
            .limit(_AT_ONCE)
        )
        size = 0
        while digests := await self._database.run(lambda connection: list(connection.execute(unreferred).scalars())):
            size += (removed := await self._objects.remove_unreferred(digests))
            if not removed:
                break
        return size


def _forget_oldest_upload(connection: Connection) -> bool:
    """Forget an upload that no search refers to; say whether there was one."""
    unused = ~exists().where(REFERENCES.c.digest == UPLOADS.c.digest)
    query = select(UPLOADS.c.digest, UPLOADS.c.tenant).where(unused).order_by(UPLOADS.c.created_s).limit(1)
    if (oldest := connection.execute(query).first()) is None:
        return False
    connection.execute(delete(UPLOADS).where(UPLOADS.c.digest == oldest.digest, UPLOADS.c.tenant == oldest.tenant))
    return True


def _size(connection: Connection) -> int:
    return int(connection.execute(select(func.coalesce(func.sum(OBJECTS.c.size), 0))).scalar_one())
