"""The pictures of requests and answers: within them, or kept and named by their hash."""

from typing import TypeVar

from google.protobuf.message import Message

from eacps.durable import ObjectStore
from eacps.errors import ArtifactNotFound, FieldViolation
from eacps.v1 import search_service_pb2 as pb
from eacps.wire import images_in

M = TypeVar("M", bound=Message)
R = TypeVar("R", pb.PreparePriorResponse, pb.RenderCandidateResponse)
MOST_PICTURES, MOST_BYTES = 32, 256 * 2**20
"""Of one request, by name: all are held at once."""
MOST_INLINE_BYTES = 2 * 2**20
"""Of a delivered picture within a message, beside others, of which gRPC's clients accept 4 MiB by themselves."""


class Album:
    """Puts the pictures of requests and answers into the object store, and gets those that are there.

    Args:
        objects: The store.
    """

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    async def filled(self, request: M, tenant: str) -> tuple[M, list[FieldViolation]]:
        """Give a request with the bytes of all its pictures.

        Args:
            request: Not modified.
            tenant: Whose; pictures of others do not exist.

        Returns:
            The request, pictures that were named still carrying their names, and what is wrong with the names.
        """
        full = type(request)()
        full.CopyFrom(request)
        faults: list[FieldViolation] = []
        left = MOST_BYTES
        for place, (path, image) in enumerate(images_in(full)):
            if not image.artifact:
                continue
            if place >= MOST_PICTURES or left <= 0:
                text = f"is beyond {MOST_PICTURES} pictures or {MOST_BYTES} bytes"
                faults.append(FieldViolation(f"{path}.artifact", text))
                break
            if image.data:
                faults.append(FieldViolation(f"{path}.artifact", "is given beside data"))
                continue
            try:
                image.data = await self._objects.get_for_tenant(tenant, image.artifact)
            except ArtifactNotFound as exc:
                faults.append(FieldViolation(f"{path}.artifact", str(exc)))
            left -= len(image.data)
        return full, faults

    async def named(self, request: M, tenant: str) -> tuple[M, frozenset[str]]:
        """Give a request with its pictures by name alone, all of them in the store; and their digests."""
        bare = type(request)()
        bare.CopyFrom(request)
        digests: set[str] = set()
        for _, image in images_in(bare):
            if not image.artifact:
                image.artifact = await self._objects.put_upload(tenant, image.data)
            image.ClearField("data")
            digests.add(image.artifact)
        return bare, frozenset(digests)

    async def fill_event(self, event: pb.SearchEvent) -> None:
        """Put the bytes of an event's pictures beside their names; not those of a result too large for a message."""
        if event.HasField("prior_ready"):
            images = [event.prior_ready.prior, event.prior_ready.scene]
        elif event.HasField("finished"):
            images = [event.finished.best]
        else:
            return
        for image in images:
            image.data = await self._objects.get(image.artifact)
        if event.finished.HasField("delivered"):  # not in events told before pictures were put back
            data = await self._objects.get(event.finished.delivered.artifact)
            event.finished.delivered.data = data if len(data) <= MOST_INLINE_BYTES else b""

    async def with_result(self, response: R, tenant: str) -> R:
        """Give a response whose delivered picture is kept and named where it is too large for a message."""
        image = response.delivered
        if len(image.data) > MOST_INLINE_BYTES:
            image.artifact = await self._objects.put_upload(tenant, image.data)
            image.ClearField("data")
        return response
