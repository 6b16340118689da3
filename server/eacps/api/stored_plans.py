"""Plans of stored requests, for searches that begin or resume: reads and decodes their pictures."""

import asyncio
import weakref
from collections.abc import Mapping

from eacps.api.decoding import Decoding
from eacps.api.memory_budget import Reservation
from eacps.api.request_pictures import SCENE, Found, KnownPictures, decoder_of
from eacps.api.validation import Rules, plan_of
from eacps.durable.protocols import ReadPicture
from eacps.errors import InvalidPicture
from eacps.evaluation import SearchPlan, SearchSettings
from eacps.imaging import Header
from eacps.imaging.limits import TRUSTED
from eacps.v1 import search_service_pb2 as pb
from eacps.wire import images_in


class StoredPlans:
    """Makes plans of stored requests, one at a time.

    Args:
        rules: What the server accepts.
        decoding: Decodes the pictures, within the memory that calls and searches share.
    """

    def __init__(self, rules: Rules, decoding: Decoding) -> None:
        self._rules, self._decoding, self._alone = rules, decoding, asyncio.Lock()

    async def plan_of(self, request: pb.RunSearchRequest, read: ReadPicture, *, search_id: str) -> SearchPlan:
        """Return the plan of a request. Memory stays reserved for as long as the plan's pictures are referred to.

        Waits until there is memory for the pictures. Only one search at a time holds encoded pictures.

        Args:
            request: As stored, its pictures by digest.
            read: Returns the bytes of a picture.
            search_id: Id of the search.

        Raises:
            InvalidRequest: This server does not accept it.
        """
        with self._decoding.memory.reservation() as reservation:
            async with self._alone:
                found, files = await self._decoded(dict(images_in(request)), read, reservation)
            plan = self._plan(request, KnownPictures(found, files), search_id)
            kept = reservation.moved()
        # The last reference may be dropped in another thread.
        loop = asyncio.get_running_loop()
        weakref.finalize(plan.pictures, _released, loop, kept)
        return plan

    def settings_of(self, request: pb.RunSearchRequest, *, search_id: str) -> SearchSettings:
        """Return the settings of a request alone, without reading its pictures; otherwise as `plan_of`."""
        return self._plan(request, KnownPictures({}), search_id).settings

    def _plan(self, request: pb.RunSearchRequest, reader: KnownPictures, search_id: str) -> SearchPlan:
        seed = request.search.random_seed
        return plan_of(request, self._rules, search_id=search_id, drawn_seed=seed, reader=reader, accepted_before=True)

    async def _decoded(
        self, images: Mapping[str, pb.Image], read: ReadPicture, reservation: Reservation
    ) -> tuple[dict[str, Found], dict[str, bytes]]:
        """Return the decoded pictures or their errors, and the scene's file, each by path."""
        encoded = {path: await read(image.artifact) for path, image in images.items()}
        found: dict[str, Found] = {}
        files, headers = {SCENE: encoded[SCENE]}, list[Header]()
        for path in images:
            try:
                headers.append(await self._decoding.header(encoded[path], TRUSTED))
            except InvalidPicture as exc:
                found[path] = exc
        await reservation.wait_for(self._decoding.bytes_of(headers))
        for path in images.keys() - found.keys():
            found[path] = await self._picture(path, encoded.pop(path))
        return found, files

    async def _picture(self, path: str, data: bytes) -> Found:
        try:
            return await decoder_of(self._decoding, path)(data, TRUSTED, pixels=True)
        except InvalidPicture as exc:
            return exc


def _released(loop: asyncio.AbstractEventLoop, reservation: Reservation) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(reservation.release)
