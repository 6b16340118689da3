"""The asyncio client."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from eacps.client.errors import CallFailed, failure_of
from eacps.client.retries import Retries
from eacps.client.tls import ClientTls, open_channel
from eacps.v1 import search_service_pb2 as pb
from eacps.v1 import search_service_pb2_grpc as pb_grpc
from eacps.wire import images_in

CHUNK_BYTES = 2**20
INLINE_BYTES, INLINE_BYTES_TOGETHER = 4 * 2**20, 12 * 2**20
"""Larger pictures, and those beyond so many bytes of one request, do not fit into it and are uploaded."""
_AWAY = ("", "SERVER_STOPPING", "STORE_UNAVAILABLE")
_LAST = ("finished", "failed", "cancelled")
_RETRIES = Retries()
_CANCEL_TIMEOUT_S = 5.0
T = TypeVar("T")
M = TypeVar("M", bound=Message)


class AsyncClient:
    """Calls a search server. Close it, or use it as a context manager.

    Args:
        server: ``host:port``.
        tls: How to trust it; None speaks in the clear.
        api_key: Shown with every call; None shows none.
        retries: Of calls that find it unavailable.
        timeout_s: Of every call that is no search, upload or download; None for none.

    Raises:
        InvalidSettings: The certificates are at fault.
    """

    def __init__(
        self,
        server: str,
        *,
        tls: ClientTls | None = None,
        api_key: str | None = None,
        retries: Retries = _RETRIES,
        timeout_s: float | None = 60.0,
    ) -> None:
        self._channel = open_channel(server, tls)
        self._stub: Any = pb_grpc.SearchServiceStub(self._channel)  # type: ignore[no-untyped-call]  # generated
        self._metadata = None if api_key is None else (("authorization", f"Bearer {api_key}"),)
        self._retries, self._timeout_s = retries, timeout_s

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End all calls and close the connection."""
        await self._channel.close()

    async def run(
        self, request: pb.RunSearchRequest, *, timeout_s: float | None = None
    ) -> AsyncGenerator[pb.SearchEvent, None]:
        """Run a search and yield its events, pictures included. Closing the generator early cancels the search.

        Args:
            request: Pictures of more than 4 MiB, or beyond 12 MiB together, are uploaded first. Without a
                ``request_id`` it gets one.
            timeout_s: The search ends within it, with the best so far; None for no bound.

        Raises:
            CallFailed: The search failed, or the server was unavailable for too long.
        """
        asked = await self._named(request)
        search_id, after, over = "", 0, False
        end_s = None if timeout_s is None else asyncio.get_running_loop().time() + timeout_s
        pauses = self._retries.pauses()
        try:
            while not over:
                try:
                    async with aclosing(self._stream(asked, search_id, after, _left(end_s))) as events:
                        async for event in events:
                            search_id = search_id or event.started.search_id
                            after, over = event.sequence, event.WhichOneof("event") in _LAST
                            pauses = self._retries.pauses()
                            yield event
                    break
                except CallFailed as exc:
                    # The server is gone for a while; with any other reason it is the search that has failed.
                    if exc.code is not grpc.StatusCode.UNAVAILABLE or exc.reason not in _AWAY:
                        over = True
                        raise
                    await _pause(pauses, exc)
        finally:
            if not over and not asked.detach:
                await self._cancel_quietly(asked, search_id)

    async def submit(self, request: pb.RunSearchRequest) -> pb.Search:
        """Create a search and leave it to the server. Safe to be called again with a ``request_id`` of one's own.

        Args:
            request: As for `run`.

        Raises:
            CallFailed: The request is at fault, or the server was unavailable for too long.
        """
        asked = pb.CreateSearchRequest(search=await self._named(request))
        answer: pb.CreateSearchResponse = await self._call(self._stub.CreateSearch, asked)
        return answer.search

    async def get(self, search_id: str) -> pb.Search:
        """Give a search as it stands.

        Raises:
            CallFailed: There is none such, or the server was unavailable for too long; so all methods below.
        """
        answer: pb.GetSearchResponse = await self._call(self._stub.GetSearch, pb.GetSearchRequest(search_id=search_id))
        return answer.search

    async def list(
        self,
        *,
        states: Iterable["pb.SearchState"] = (),
        labels: Mapping[str, str] | None = None,
        page_size: int | None = None,
    ) -> AsyncGenerator[pb.Search, None]:
        """Yield one's searches, newest first, page by page.

        Args:
            states: Only those in one of these; empty for any.
            labels: Only those that carry all of these.
            page_size: Of one call; None leaves it to the server.
        """
        request = pb.ListSearchesRequest(states=states, labels=labels, page_size=page_size)
        while True:
            answer: pb.ListSearchesResponse = await self._call(self._stub.ListSearches, request)
            for search in answer.searches:
                yield search
            if not answer.next_page_token:
                return
            request.page_token = answer.next_page_token

    async def watch(
        self, search_id: str, *, after: int = 0, inline_pictures: bool = False
    ) -> AsyncGenerator[pb.SearchEvent, None]:
        """Yield the events of a search until it is over, without gap or repeat, through lost connections.

        Args:
            search_id: Which.
            after: Events up to this sequence number are left out.
            inline_pictures: Whether prior, scene and best picture come with their events.
        """
        pauses = self._retries.pauses()
        while True:
            try:
                async with aclosing(self._watched(search_id, after, inline_pictures, None)) as events:
                    async for event in events:
                        after, pauses = event.sequence, self._retries.pauses()
                        yield event
            except CallFailed as exc:
                if exc.code is not grpc.StatusCode.UNAVAILABLE:
                    raise
                await _pause(pauses, exc)
            else:
                return

    async def cancel(self, search_id: str) -> pb.Search:
        """Cancel a search that is not over, and give it as it stands then."""
        request = pb.CancelSearchRequest(search_id=search_id)
        answer: pb.CancelSearchResponse = await self._call(self._stub.CancelSearch, request)
        return answer.search

    async def delete(self, search_id: str) -> None:
        """Delete a search and its pictures."""
        await self._call(self._stub.DeleteSearch, pb.DeleteSearchRequest(search_id=search_id))

    async def upload(self, picture: bytes) -> pb.Image:
        """Upload a picture of up to 64 MiB, and give what requests name it by."""

        def call(_: object, **options: Any) -> Awaitable[pb.UploadImageResponse]:
            chunks = (picture[start : start + CHUNK_BYTES] for start in range(0, len(picture), CHUNK_BYTES))
            return self._stub.UploadImage(  # type: ignore[no-any-return]
                iter([pb.UploadImageRequest(chunk=chunk) for chunk in chunks]), **{**options, "timeout": None}
            )

        return (await self._call(call, None)).image

    async def download(self, artifact: str) -> bytes:
        """Download an artifact by its hash."""

        async def call(request: pb.DownloadArtifactRequest, **options: Any) -> bytes:
            answers = self._stub.DownloadArtifact(request, **{**options, "timeout": None})
            return b"".join([answer.chunk async for answer in answers])

        return await self._call(call, pb.DownloadArtifactRequest(artifact=artifact))

    async def prepare_prior(self, request: pb.PreparePriorRequest) -> pb.PreparePriorResponse:
        """Make the identity prior alone."""
        answer: pb.PreparePriorResponse = await self._call(self._stub.PreparePrior, await self._shipped(request))
        return answer

    async def render(self, request: pb.RenderCandidateRequest) -> pb.RenderCandidateResponse:
        """Make a candidate's picture again from its recipe."""
        answer: pb.RenderCandidateResponse = await self._call(self._stub.RenderCandidate, await self._shipped(request))
        return answer

    async def score(self, request: pb.ScoreImagesRequest) -> pb.ScoreImagesResponse:
        """Score pictures."""
        answer: pb.ScoreImagesResponse = await self._call(self._stub.ScoreImages, await self._shipped(request))
        return answer

    async def _named(self, request: pb.RunSearchRequest) -> pb.RunSearchRequest:
        """The request as it can be sent, with a name under which it may be sent again."""
        asked = await self._shipped(request)
        asked.request_id = asked.request_id or uuid.uuid4().hex
        return asked

    async def _shipped(self, request: M) -> M:
        """A copy of a request whose large pictures are uploaded."""
        copy = type(request)()
        copy.CopyFrom(request)
        room = INLINE_BYTES_TOGETHER
        for _, image in images_in(copy):
            if len(image.data) > min(INLINE_BYTES, room):
                image.CopyFrom(await self.upload(image.data))
            room -= len(image.data)
        return copy

    async def _stream(
        self, request: pb.RunSearchRequest, search_id: str, after: int, timeout_s: float | None
    ) -> AsyncGenerator[pb.SearchEvent, None]:
        """The events of a search: asked for, or from where they broke off."""
        if search_id:
            async with aclosing(self._watched(search_id, after, True, timeout_s)) as events:
                async for event in events:
                    if event.HasField("failed"):
                        code = grpc.StatusCode[event.failed.code]
                        raise CallFailed(code, event.failed.message, reason=event.failed.reason)
                    if event.HasField("cancelled"):
                        raise CallFailed(grpc.StatusCode.CANCELLED, "the search was cancelled")
                    yield event
            return
        call = self._stub.RunSearch(request, metadata=self._metadata, timeout=timeout_s)
        async with aclosing(_translated(call)) as responses:
            async for response in responses:
                yield response.event

    async def _watched(
        self, search_id: str, after: int, inline: bool, timeout_s: float | None
    ) -> AsyncGenerator[pb.SearchEvent, None]:
        request = pb.WatchSearchRequest(search_id=search_id, after_sequence=after, inline_pictures=inline)
        call = self._stub.WatchSearch(request, metadata=self._metadata, timeout=timeout_s)
        async with aclosing(_translated(call)) as responses:
            async for response in responses:
                yield response.event

    async def _call(self, method: Callable[..., Awaitable[T]], request: Any) -> T:
        """Call, and again after a pause while the server is unavailable."""
        pauses = self._retries.pauses()
        while True:
            try:
                return await method(request, metadata=self._metadata, timeout=self._timeout_s)
            except grpc.aio.AioRpcError as exc:
                failure = failure_of(exc)
                if failure.code is not grpc.StatusCode.UNAVAILABLE:
                    raise failure from exc
                await _pause(pauses, failure)

    async def _cancel_quietly(self, asked: pb.RunSearchRequest, search_id: str) -> None:
        """Cancel a search that was asked for; where nothing was heard of it yet, its request says which it is."""
        bounds: dict[str, Any] = {"metadata": self._metadata, "timeout": _CANCEL_TIMEOUT_S}
        try:
            if not search_id:
                answer = await self._stub.CreateSearch(pb.CreateSearchRequest(search=asked), **bounds)
                search_id = answer.search.search_id
            await self._stub.CancelSearch(pb.CancelSearchRequest(search_id=search_id), **bounds)
        except grpc.aio.AioRpcError:
            return  # nobody is there to be told, and the caller has left


async def _translated(call: AsyncIterator[Any]) -> AsyncGenerator[Any, None]:
    try:
        async for response in call:
            yield response
    except grpc.aio.AioRpcError as exc:
        raise failure_of(exc) from exc
    finally:
        call.cancel()  # type: ignore[attr-defined]  # of a call that is not over, nobody reads the rest


async def _pause(pauses: Any, failure: CallFailed) -> None:
    """Wait before the next attempt; raise the failure where there is none left."""
    pause_s = next(pauses, None)
    if pause_s is None:
        raise failure
    await asyncio.sleep(pause_s)


def _left(end_s: float | None) -> float | None:
    return None if end_s is None else max(0.001, end_s - asyncio.get_running_loop().time())
