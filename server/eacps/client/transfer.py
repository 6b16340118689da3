"""Pictures on their way: uploads of those too large for a request, downloads of those too large for a response."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Iterable
from contextlib import aclosing
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message

from eacps.client.calls import Calls
from eacps.client.errors import CallFailed
from eacps.client.sending import response_of
from eacps.v1 import search_service_pb2 as pb
from eacps.wire import CHUNK_BYTES, images_in

INLINE_BYTES, INLINE_BYTES_TOGETHER = 4 * 2**20, 12 * 2**20
"""Largest picture inside a request, and all of them together; others are uploaded."""
M = TypeVar("M", bound=Message)


class Transfer:
    """Sends and receives pictures.

    Args:
        calls: Makes the calls.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def upload(self, picture: bytes) -> pb.UploadImageResponse:
        """Upload a picture."""

        def call(_: object, **options: Any) -> Awaitable[pb.UploadImageResponse]:
            chunks = (picture[start : start + CHUNK_BYTES] for start in range(0, len(picture), CHUNK_BYTES))
            requests = iter([pb.UploadImageRequest(chunk=chunk) for chunk in chunks])
            return response_of(self._calls.stub.UploadImage(requests, **options))

        return await self._calls.unary(call, None, timeout=None)

    async def upload_chunks(self, chunks: AsyncIterable[bytes]) -> pb.UploadImageResponse:
        """Upload a picture as it comes in; it is not held, and so the call is not repeated.

        Raises:
            CallFailed: The call failed.
            Exception: What ``chunks`` has raised.
        """
        broken: list[Exception] = []

        async def requests() -> AsyncGenerator[pb.UploadImageRequest, None]:
            try:
                async for chunk in chunks:
                    for start in range(0, len(chunk), CHUNK_BYTES):
                        yield pb.UploadImageRequest(chunk=chunk[start : start + CHUNK_BYTES])
            except Exception as exc:
                broken.append(exc)  # gRPC would only cancel the call
                raise

        def call(sent: object, **options: Any) -> Awaitable[pb.UploadImageResponse]:
            return response_of(self._calls.stub.UploadImage(sent, **options))

        try:
            return await self._calls.once(call, requests(), None)
        except (CallFailed, asyncio.CancelledError) as exc:
            if broken:
                raise broken[0] from exc
            raise

    async def chunks(self, artifact: str) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of an artifact as they arrive; an error at the end says that they are not all of it."""
        digest, request = hashlib.sha256(), pb.DownloadArtifactRequest(artifact=artifact)
        responses = self._calls.stream(self._calls.stub.DownloadArtifact, request, None)
        async with aclosing(responses):
            async for response in responses:
                digest.update(response.chunk)
                yield response.chunk
        if digest.hexdigest() != artifact:
            raise _damaged(artifact)

    async def download(self, artifact: str) -> bytes:
        """Download an artifact by its hash."""

        async def call(request: pb.DownloadArtifactRequest, **options: Any) -> bytes:
            responses = self._calls.stub.DownloadArtifact(request, **options)
            data = b"".join([response.chunk async for response in responses])
            if hashlib.sha256(data).hexdigest() != artifact:
                raise _damaged(artifact)
            return data

        return await self._calls.unary(call, pb.DownloadArtifactRequest(artifact=artifact), timeout=None)

    async def shipped(self, request: M) -> M:
        """Return a copy of a request whose large pictures are uploaded and given by hash."""
        copy = type(request)()
        copy.CopyFrom(request)
        room = INLINE_BYTES_TOGETHER
        for _, image in images_in(copy):
            if len(image.data) > min(INLINE_BYTES, room):
                image.CopyFrom((await self.upload(image.data)).image)
            room -= len(image.data)
        return copy

    async def fetch(self, images: Iterable[pb.Image]) -> None:
        """Replace the hashes of pictures by their bytes."""
        known: dict[str, bytes] = {}
        for image in images:
            if artifact := image.artifact:
                if artifact not in known:
                    known[artifact] = await self.download(artifact)
                image.data = known[artifact]


def _damaged(artifact: str) -> CallFailed:
    return CallFailed(grpc.StatusCode.DATA_LOSS, f"what was downloaded is not artifact {artifact}")
