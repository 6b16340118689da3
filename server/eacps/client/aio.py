"""The asyncio client."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing
from types import TracebackType
from typing import Any, Self

import grpc

from eacps.client.calls import Calls
from eacps.client.connection import ClientTls, Keepalive, open_channel
from eacps.client.errors import CallFailed, InvalidSettings, failure_in
from eacps.client.file_names import LAYERS
from eacps.client.picture_calls import PictureCalls
from eacps.client.retries import Retries
from eacps.limits import RANGES
from eacps.v1 import search_service_pb2 as pb
from eacps.wire import pictures_of

_AWAY = ("", "SERVER_STOPPING", "STORE_UNAVAILABLE", "DECODER_UNAVAILABLE")
"""Reasons of UNAVAILABLE that concern the server. Any other one concerns a search that has failed."""
_LAST = ("finished", "failed", "cancelled")
_RETRIES, _KEEPALIVE = Retries(), Keepalive()
_CANCEL_TIMEOUT_S = 5.0
"""Candidates in a page of a ranking."""


class AsyncClient(PictureCalls):
    """Calls a search server. Close it, or use it as a context manager.

    Args:
        server: ``host:port``.
        tls: How to trust the server; None uses no TLS.
        api_key: Sent with every call; None sends none.
        retries: How often to retry calls that find the server unavailable, or are refused with a retry delay.
        timeout_s: Time limit of every call except searches, uploads and downloads; None for no limit.
        keepalive: How to notice that the host is dead.

    Raises:
        InvalidSettings: The certificates are invalid, or the key cannot be sent.
    """

    def __init__(
        self,
        server: str,
        *,
        tls: ClientTls | None = None,
        api_key: str | None = None,
        retries: Retries = _RETRIES,
        timeout_s: float | None = 60.0,
        keepalive: Keepalive = _KEEPALIVE,
    ) -> None:
        if api_key is not None and not all("!" <= character <= "~" for character in api_key):
            raise InvalidSettings("the API key holds a space, a line break or a character that is not ASCII")
        self._channel = open_channel(server, tls, keepalive)
        super().__init__(Calls(self._channel, api_key, retries, timeout_s))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End all calls, which raise `ClientClosed`, and close the connection."""
        self._calls.close()
        await self._channel.close()

    async def run(
        self,
        request: pb.RunSearchRequest,
        *,
        timeout_s: float | None = None,
        on_submitted: Callable[[pb.Search], None] | None = None,
    ) -> AsyncGenerator[pb.SearchEvent, None]:
        """Run a search and yield its events, pictures included. Closing the generator early cancels the search.

        Args:
            request: Pictures above 4 MiB, or beyond 12 MiB in total, are uploaded first. If it has no ``request_id``,
                one is set.
            timeout_s: The search ends within this time, with the best candidate so far; None for no bound.
            on_submitted: Called with the search when it has been submitted, with its position if it is queued.

        Raises:
            CallFailed: The search failed, or the server was unavailable for too long.
        """
        asked = await self._named(request)
        search_id, after, over = "", 0, False
        end_s = None if timeout_s is None else asyncio.get_running_loop().time() + timeout_s
        pauses = self._calls.pauses()
        try:
            while not over:
                try:
                    async with aclosing(self._stream(asked, search_id, after, _left(end_s), on_submitted)) as events:
                        async for event in events:
                            search_id = search_id or event.started.search_id
                            after, over = event.sequence, event.WhichOneof("event") in _LAST
                            pauses = self._calls.pauses()
                            yield event
                    break
                except CallFailed as exc:
                    if not exc.temporary or (exc.code is grpc.StatusCode.UNAVAILABLE and exc.reason not in _AWAY):
                        over = True
                        raise
                    await self._calls.pause(pauses, exc)
        finally:
            if not over and not asked.detach:
                await self._cancel_quietly(asked, search_id)

    async def submit(self, request: pb.RunSearchRequest) -> pb.Search:
        """Create a search and leave it to the server. With a ``request_id`` the call can be repeated safely.

        Args:
            request: As for `run`.

        Raises:
            CallFailed: The request is invalid, or the server was unavailable for too long.
        """
        asked = pb.CreateSearchRequest(search=await self._named(request))
        answer: pb.CreateSearchResponse = await self._calls.unary(self._stub.CreateSearch, asked)
        return answer.search

    async def validate(self, request: pb.RunSearchRequest) -> None:
        """Check a request on the server, and create nothing.

        Raises:
            CallFailed: The request is invalid, with all violations, or the server was unavailable for too long.
        """
        asked = pb.CreateSearchRequest(search=await self._transfer.shipped(request), validate_only=True)
        await self._calls.unary(self._stub.CreateSearch, asked)

    async def get(self, search_id: str) -> pb.Search:
        """Return a search.

        Raises:
            CallFailed: There is no such search, or the server was unavailable for too long. So do all methods below.
        """
        answer: pb.GetSearchResponse = await self._calls.unary(
            self._stub.GetSearch, pb.GetSearchRequest(search_id=search_id)
        )
        return answer.search

    async def list(
        self,
        *,
        states: Iterable["pb.SearchState"] = (),
        labels: Mapping[str, str] | None = None,
        page_size: int = 0,
    ) -> AsyncGenerator[pb.Search, None]:
        """Yield the searches of the tenant, newest first.

        Args:
            states: Only searches in one of these states; empty for any.
            labels: Only searches with all of these labels.
            page_size: Number of searches per call; 0 for the default of the server.
        """
        request = pb.ListSearchesRequest(states=states, labels=labels, page_size=page_size)
        while True:
            answer: pb.ListSearchesResponse = await self._calls.unary(self._stub.ListSearches, request)
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
            search_id: Id of the search.
            after: Yield only events after this sequence number.
            inline_pictures: Whether events have the bytes of prior, scene, best and delivered picture.
        """
        pauses = self._calls.pauses()
        while True:
            try:
                async with aclosing(self._watched(search_id, after, inline=inline_pictures, timeout_s=None)) as events:
                    async for event in events:
                        after, pauses = event.sequence, self._calls.pauses()
                        yield event
            except CallFailed as exc:
                if not exc.temporary:
                    raise
                await self._calls.pause(pauses, exc)
            else:
                return

    async def pick(self, search_id: str, candidate_id: str) -> bytes:
        """Return a candidate's picture in the scene as it came, at full resolution. No model is asked."""
        delivered = await self.picked(search_id, candidate_id)
        return delivered.data or await self.download(delivered.artifact)

    async def picked(self, search_id: str, candidate_id: str) -> pb.Image:
        """Return the same picture by its bytes, or by its hash if it is large."""
        request = pb.PickCandidateRequest(search_id=search_id, candidate_id=candidate_id)
        answer: pb.PickCandidateResponse = await self._calls.unary(self._stub.PickCandidate, request)
        return answer.delivered

    async def layers(self, search_id: str, candidate_id: str) -> dict[str, bytes]:
        """Return the files that a candidate's picture in its scene is put together from: plate, patch and matte."""
        request = pb.PickCandidateRequest(search_id=search_id, candidate_id=candidate_id, layers=True)
        layers = (await self._calls.unary(self._stub.PickCandidate, request)).layers
        images = {name: getattr(layers, name) for name in LAYERS}
        return {name: image.data or await self.download(image.artifact) for name, image in images.items()}

    async def rank(self, request: pb.RankCandidatesRequest) -> pb.RankCandidatesResponse:
        """Rank the candidates of a search by other weights; the response has those of all pages."""
        asked, ranking = pb.RankCandidatesRequest(), pb.RankCandidatesResponse()
        asked.CopyFrom(request)
        asked.page_size = asked.page_size or int(RANGES["page_size"].most)
        while True:
            page: pb.RankCandidatesResponse = await self._calls.unary(self._stub.RankCandidates, asked)
            ranking.candidates.extend(page.candidates)
            if not page.next_page_token:
                break
            asked.page_token = page.next_page_token
        ranking.scorers.extend(page.scorers)
        ranking.pareto_front.extend(page.pareto_front)
        return ranking

    async def capabilities(self) -> pb.GetCapabilitiesResponse:
        """Return what the server offers and accepts."""
        request = pb.GetCapabilitiesRequest()
        answer: pb.GetCapabilitiesResponse = await self._calls.unary(self._stub.GetCapabilities, request)
        return answer

    async def cancel(self, search_id: str) -> pb.Search:
        """Cancel a search unless it is over, and return it."""
        request = pb.CancelSearchRequest(search_id=search_id)
        answer: pb.CancelSearchResponse = await self._calls.unary(self._stub.CancelSearch, request)
        return answer.search

    async def delete(self, search_id: str, *, allow_missing: bool = False) -> None:
        """Delete a search and its pictures; with ``allow_missing``, also if there is none."""
        request = pb.DeleteSearchRequest(search_id=search_id, allow_missing=allow_missing)
        await self._calls.unary(self._stub.DeleteSearch, request)

    async def _named(self, request: pb.RunSearchRequest) -> pb.RunSearchRequest:
        """Return the request as it is sent: with a ``request_id``, so that it can be sent again."""
        asked = await self._transfer.shipped(request)
        asked.request_id = asked.request_id or uuid.uuid4().hex
        return asked

    async def _stream(
        self,
        request: pb.RunSearchRequest,
        search_id: str,
        after: int,
        timeout_s: float | None,
        on_submitted: Callable[[pb.Search], None] | None,
    ) -> AsyncGenerator[pb.SearchEvent, None]:
        """Yield the events of a new search, or of one that is known from where the connection was lost."""
        if search_id:
            events = self._watched(search_id, after, inline=True, timeout_s=timeout_s)
        else:
            events = self._events(self._stub.RunSearch, request, timeout_s, inline=True, on_submitted=on_submitted)
        async with aclosing(events):
            async for event in events:
                if (failure := failure_in(event)) is not None:
                    raise failure
                yield event

    def _watched(
        self, search_id: str, after: int, *, inline: bool, timeout_s: float | None
    ) -> AsyncGenerator[pb.SearchEvent, None]:
        request = pb.WatchSearchRequest(search_id=search_id, after_sequence=after, inline_pictures=inline)
        return self._events(self._stub.WatchSearch, request, timeout_s, inline=inline)

    async def _events(
        self,
        method: Any,
        request: Any,
        timeout_s: float | None,
        *,
        inline: bool,
        on_submitted: Callable[[pb.Search], None] | None = None,
    ) -> AsyncGenerator[pb.SearchEvent, None]:
        """Yield the events of one call; with ``inline``, with the bytes of all their pictures."""
        async with aclosing(self._calls.stream(method, request, timeout_s)) as responses:
            async for response in responses:
                if not response.HasField("event"):  # the search itself, which RunSearch sends first
                    if on_submitted is not None:
                        on_submitted(response.search)
                    continue
                if inline:
                    await self.fetch(pictures_of(response.event))
                yield response.event

    async def _cancel_quietly(self, asked: pb.RunSearchRequest, search_id: str) -> None:
        """Cancel a search that was asked for. If no event has arrived yet, its ``request_id`` identifies it."""
        try:
            if not search_id:
                create = pb.CreateSearchRequest(search=asked)
                created = await self._calls.once(self._stub.CreateSearch, create, _CANCEL_TIMEOUT_S)
                search_id = created.search.search_id
            cancel = pb.CancelSearchRequest(search_id=search_id)
            await self._calls.once(self._stub.CancelSearch, cancel, _CANCEL_TIMEOUT_S)
        except CallFailed:
            return  # the caller has left, and the server cannot be told


def _left(end_s: float | None) -> float | None:
    return None if end_s is None else max(0.001, end_s - asyncio.get_running_loop().time())
