"""The search service, thin: check, hand on, convert."""

import asyncio
import logging
import secrets
import uuid
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Any

import grpc.aio

from eacps.api.access import ANYONE, tenant_of
from eacps.api.album import Album
from eacps.api.converters import prior_of, rendered_of, scored_of, search_of
from eacps.api.faults import Faults
from eacps.api.listing import listing_of, page_token_of
from eacps.api.rates import RateLimit
from eacps.api.status import RecordedFailure
from eacps.api.submission import check_envelope, submission_of
from eacps.api.validation import Rules, gathered, plan_of, prior_plan_of, render_plan_of, score_plan_of
from eacps.durable import ObjectStore, SearchEngine, StoredSearch
from eacps.errors import (
    DeadlineExceeded,
    EacpsError,
    FieldViolation,
    InvalidPicture,
    InvalidRequest,
    SearchCancelled,
    SearchNotFound,
    TooManyCalls,
)
from eacps.evaluation import Deadline, Laboratory, Observer, Silent, prepare_prior, render_candidate, score_pictures
from eacps.v1 import search_service_pb2 as pb
from eacps.v1.search_service_pb2_grpc import SearchServiceServicer

_log = logging.getLogger(__name__)
DEFAULT_MAX_CALLS = 16
CHUNK_BYTES = 2**20
UPLOAD_TIMEOUT_S = 120.0
Context = grpc.aio.ServicerContext[Any, Any]


class SearchServicer(SearchServiceServicer):
    """Answers calls.

    Args:
        rules: What requests may ask for.
        engine: Runs searches.
        objects: Keeps pictures.
        open_laboratory: Gives every call that is no search a laboratory of its own, so that nothing of it outlives it.
        max_calls: Calls that make or take in pictures at once, searches aside; further ones are refused.
        observer: Told of requests for searches that are refused.
        rate: Of every tenant's searches and of calls that make or take in pictures.
    """

    def __init__(
        self,
        rules: Rules,
        engine: SearchEngine,
        objects: ObjectStore,
        open_laboratory: Callable[[], Laboratory],
        *,
        max_calls: int = DEFAULT_MAX_CALLS,
        observer: Observer | None = None,
        rate: RateLimit | None = None,
    ) -> None:
        self._rules, self._engine, self._objects = rules, engine, objects
        self._open_laboratory, self._album = open_laboratory, Album(objects)
        self._max_calls, self._calls, self._observer = max_calls, Counter[str](), observer or Silent()
        self._rate = rate or RateLimit(None)

    async def RunSearch(  # noqa: N802  # the service's name for it
        self, request: pb.RunSearchRequest, context: Context
    ) -> AsyncIterator[pb.RunSearchResponse]:
        """See ``search_service.proto``."""
        tenant = tenant_of(context)
        # A caller with a name for its search may come back for it after its connection was lost.
        attached = not request.detach and not request.request_id
        search = await self._submitted(request, context, bounded=not request.detach)
        over = False
        try:
            async with aclosing(self._events(tenant, search.id, 0, inline=True)) as events:
                async for event in events:
                    over = event.WhichOneof("event") in ("finished", "failed", "cancelled")
                    if event.HasField("failed"):
                        await self._raise_failure(tenant, search.id)
                    if event.HasField("cancelled"):
                        raise SearchCancelled(f"search {search.id} was cancelled")
                    yield pb.RunSearchResponse(event=event)
        finally:
            if attached and not over and not self._engine.stopping:
                await self._cancelled_quietly(tenant, search.id)

    async def CreateSearch(self, request: pb.CreateSearchRequest, context: Context) -> pb.CreateSearchResponse:  # noqa: N802
        """See ``search_service.proto``."""
        try:
            search = await self._submitted(request.search, context, bounded=False)
        except InvalidRequest as exc:
            inner = [FieldViolation(f"search.{one.field}", one.description) for one in exc.violations]
            raise InvalidRequest(inner) from exc
        return pb.CreateSearchResponse(search=search_of(search))

    async def GetSearch(self, request: pb.GetSearchRequest, context: Context) -> pb.GetSearchResponse:  # noqa: N802
        """See ``search_service.proto``."""
        search = await self._engine.store.get(tenant_of(context), request.search_id)
        return pb.GetSearchResponse(search=search_of(search))

    async def ListSearches(self, request: pb.ListSearchesRequest, context: Context) -> pb.ListSearchesResponse:  # noqa: N802
        """See ``search_service.proto``."""
        listing = listing_of(request)
        found = await self._engine.store.page(
            tenant_of(context),
            states=listing.states,
            labels=listing.labels,
            after=listing.after,
            most=listing.page_size + 1,
        )
        page = found[: listing.page_size]
        token = page_token_of(page[-1], listing) if len(found) > len(page) else ""
        return pb.ListSearchesResponse(searches=[search_of(one, brief=True) for one in page], next_page_token=token)

    async def WatchSearch(  # noqa: N802
        self, request: pb.WatchSearchRequest, context: Context
    ) -> AsyncIterator[pb.WatchSearchResponse]:
        """See ``search_service.proto``."""
        after = min(request.after_sequence, 2**63 - 1)
        events = self._events(tenant_of(context), request.search_id, after, inline=request.inline_pictures)
        async with aclosing(events):
            async for event in events:
                yield pb.WatchSearchResponse(event=event)

    async def CancelSearch(self, request: pb.CancelSearchRequest, context: Context) -> pb.CancelSearchResponse:  # noqa: N802
        """See ``search_service.proto``."""
        search = await self._engine.cancel(tenant_of(context), request.search_id)
        return pb.CancelSearchResponse(search=search_of(search))

    async def DeleteSearch(self, request: pb.DeleteSearchRequest, context: Context) -> pb.DeleteSearchResponse:  # noqa: N802
        """See ``search_service.proto``."""
        await self._engine.delete(tenant_of(context), request.search_id)
        return pb.DeleteSearchResponse()

    async def UploadImage(  # noqa: N802
        self, request_iterator: AsyncIterator[pb.UploadImageRequest], context: Context
    ) -> pb.UploadImageResponse:
        """See ``search_service.proto``."""
        with self._place(context):
            picture = await self._received(request_iterator)
            await asyncio.to_thread(self._rules.decode, picture, self._rules.uploads)
            digest = await self._objects.put_upload(tenant_of(context), picture)
            return pb.UploadImageResponse(image=pb.Image(artifact=digest), size=len(picture))

    async def _received(self, requests: AsyncIterator[pb.UploadImageRequest]) -> bytes:
        data, most = bytearray(), self._rules.uploads.max_bytes
        try:
            async with asyncio.timeout(UPLOAD_TIMEOUT_S):
                async for request in requests:
                    data += request.chunk
                    if len(data) > most:
                        raise InvalidPicture(f"has more than {most} bytes")
        except TimeoutError as exc:
            raise DeadlineExceeded(f"the picture did not come within {UPLOAD_TIMEOUT_S:g} s") from exc
        return bytes(data)

    async def DownloadArtifact(  # noqa: N802
        self, request: pb.DownloadArtifactRequest, context: Context
    ) -> AsyncIterator[pb.DownloadArtifactResponse]:
        """See ``search_service.proto``."""
        data = await self._objects.get_for_tenant(tenant_of(context), request.artifact)
        for start in range(0, len(data), CHUNK_BYTES):
            yield pb.DownloadArtifactResponse(chunk=data[start : start + CHUNK_BYTES])

    async def PreparePrior(self, request: pb.PreparePriorRequest, context: Context) -> pb.PreparePriorResponse:  # noqa: N802
        """See ``search_service.proto``."""
        with self._place(context):
            plan = await self._checked(request, context, prior_plan_of)
            prior = await prepare_prior(plan, self._open_laboratory(), deadline=_deadline_of(context))
            return await self._album.with_result(prior_of(prior), tenant_of(context))

    async def RenderCandidate(  # noqa: N802
        self, request: pb.RenderCandidateRequest, context: Context
    ) -> pb.RenderCandidateResponse:
        """See ``search_service.proto``."""
        with self._place(context):
            plan, recipe = await self._checked(request, context, render_plan_of)
            deadline = _deadline_of(context)
            rendered = await render_candidate(plan, self._open_laboratory(), recipe, deadline=deadline)
            return await self._album.with_result(rendered_of(rendered), tenant_of(context))

    async def ScoreImages(self, request: pb.ScoreImagesRequest, context: Context) -> pb.ScoreImagesResponse:  # noqa: N802
        """See ``search_service.proto``."""
        with self._place(context):
            plan, pictures = await self._checked(request, context, score_plan_of)
            deadline = _deadline_of(context)
            return scored_of(await score_pictures(plan, self._open_laboratory(), pictures, deadline=deadline))

    async def _submitted(self, request: pb.RunSearchRequest, context: Context, *, bounded: bool) -> StoredSearch:
        """Check a request and have it searched for; ``bounded`` by the call's deadline."""
        try:
            self._rate.take(tenant_of(context))
            return await self._submit(request, context, bounded=bounded)
        except EacpsError as exc:
            self._observer.refused(exc.reason.lower())
            raise

    async def _submit(self, request: pb.RunSearchRequest, context: Context, *, bounded: bool) -> StoredSearch:
        tenant, time_left_s = tenant_of(context), context.time_remaining()
        faults = Faults()
        check_envelope(faults, request)
        full, missing = await self._album.filled(request, tenant)
        search_id, seed = uuid.uuid4().hex, secrets.randbits(32)
        plan = await asyncio.to_thread(
            gathered,
            [*missing, *faults.found],
            lambda: plan_of(full, self._rules, search_id=search_id, drawn_seed=seed).without_pictures(),
        )
        named, inputs = await self._album.named(request, tenant)
        submission = submission_of(
            named, plan, tenant=tenant, inputs=inputs, time_left_s=time_left_s if bounded else None
        )
        search = await self._engine.submit(submission)
        _log.info("search %s: asked for by %s at %s", search.id, tenant, context.peer())
        return search

    async def _checked(self, request: Any, context: Context, check: Callable[..., Any]) -> Any:
        """Give what a request asks for."""
        full, missing = await self._album.filled(request, tenant_of(context))
        call_id = uuid.uuid4().hex
        return await asyncio.to_thread(gathered, missing, lambda: check(full, self._rules, call_id=call_id))

    async def _events(
        self, tenant: str, search_id: str, after: int, *, inline: bool
    ) -> AsyncGenerator[pb.SearchEvent, None]:
        async with aclosing(self._engine.watch(tenant, search_id, after=after)) as stored:
            async for one in stored:
                event = pb.SearchEvent.FromString(one.payload)
                if inline:
                    await self._album.fill_event(event)
                yield event

    async def _raise_failure(self, tenant: str, search_id: str) -> None:
        search = await self._engine.store.get(tenant, search_id)
        raise RecordedFailure(search.failure or b"")

    async def _cancelled_quietly(self, tenant: str, search_id: str) -> None:
        try:
            await self._engine.cancel(tenant, search_id)
        except SearchNotFound:
            return  # deleted meanwhile

    @contextmanager
    def _place(self, context: Context) -> Iterator[None]:
        """Take one of the places for calls, to be given back at the end. No tenant gets the last quarter of them.

        Raises:
            TooManyCalls: All are taken, or those of the tenant, or it calls too often.
        """
        tenant = tenant_of(context)
        self._rate.take(tenant)
        share = self._max_calls if tenant == ANYONE else -(-3 * self._max_calls // 4)
        if self._calls.total() >= self._max_calls or self._calls[tenant] >= share:
            raise TooManyCalls(f"{self._calls[tenant]} of your calls are being answered; come again when one has ended")
        self._calls[tenant] += 1
        try:
            yield
        finally:
            self._calls[tenant] -= 1
            if not self._calls[tenant]:
                del self._calls[tenant]


def _deadline_of(context: Context) -> Deadline:
    return Deadline.after(context.time_remaining())
