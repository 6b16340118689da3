"""Moves pictures of messages into the object store, where their hash names them, and back."""

import asyncio
from typing import TypeVar

from google.protobuf.message import Message

from eacps.api.decoding import Decoding
from eacps.api.memory_budget import Reservation
from eacps.artifacts import Artifact
from eacps.durable import ObjectStore
from eacps.errors import InvalidRequest, TooManyCalls
from eacps.v1 import search_service_pb2 as pb
from eacps.wire import images_in, pictures_of

M = TypeVar("M", bound=Message)
R = TypeVar("R", pb.PreparePriorResponse, pb.RenderCandidateResponse, pb.PickCandidateResponse)
MOST_INLINE_BYTES = 3 * 2**20
"""Most bytes of pictures in one message: gRPC clients accept messages of 4 MiB by default."""
_READ_AT_ONCE = 8
"""Events whose pictures are read at the same time."""


class MessagePictures:
    """Stores the pictures of requests and responses, and reads those of events.

    Args:
        objects: Holds the pictures.
        decoding: Hashes large pictures off the event loop.
    """

    def __init__(self, objects: ObjectStore, decoding: Decoding) -> None:
        self._objects, self._decoding = objects, decoding
        self._reading = asyncio.Semaphore(_READ_AT_ONCE)

    async def put(self, tenant: str, data: bytes) -> str:
        """Store a picture of a tenant, and return its digest."""
        return await self._objects.put_upload(tenant, data, digest=await self._decoding.digest(data))

    async def stored(self, request: M, tenant: str) -> tuple[M, frozenset[str]]:
        """Store all pictures of a request. Return a copy that names them by hash, and their digests."""
        bare = type(request)()
        bare.CopyFrom(request)
        images, new = [image for _, image in images_in(bare)], dict[str, bytes]()
        for image in images:
            if not image.artifact:
                digest, data = await self._decoding.digest(image.data), image.data
                image.artifact, new[digest] = digest, data
        if new:
            await self._objects.put_uploads(tenant, [Artifact(digest, data) for digest, data in new.items()])
        return bare, frozenset(image.artifact for image in images)

    async def fill_event(self, event: pb.SearchEvent, reservation: Reservation) -> None:
        """Replace the hashes of an event's pictures by their bytes, as long as they fit into one message and in memory.

        Args:
            event: The event.
            reservation: Grows by the bytes; to be held until the event was sent, since its reader may be slow.
        """
        if not (images := list(pictures_of(event))):
            return
        room, known = MOST_INLINE_BYTES, dict[str, bytes]()
        async with self._reading:  # to the end, since also pictures that do not fit are in memory until then
            for image in images:
                if (digest := image.artifact) not in known:
                    known[digest] = await self._objects.get(digest)
                if (size := len(known[digest])) > room:
                    continue
                try:
                    reservation.add(size)
                except (InvalidRequest, TooManyCalls):  # not even alone, or not now
                    return
                room -= size
                image.data = known[digest]

    async def fitting(self, response: R, tenant: str) -> R:
        """Store the pictures of a response that do not fit into one message, and name them by hash."""
        room = MOST_INLINE_BYTES
        for _, image in images_in(response):
            if len(image.data) > room:
                image.artifact = await self.put(tenant, image.data)
            else:
                room -= len(image.data)
        return response
