"""The search service: checks requests, passes them on, converts the results."""

import logging
import secrets
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from functools import lru_cache
from typing import Any, TypeVar

from eacps.api.calls import Context, current_call
from eacps.api.candidate_calls import CandidateCalls
from eacps.api.candidate_reader import CandidateReader
from eacps.api.capabilities import capabilities_of
from eacps.api.converters import faces_of, prior_of, rendered_of, scored_of, search_of, set_time
from eacps.api.decoding import Decoding
from eacps.api.earlier_searches import EarlierSearches
from eacps.api.listing import listing_of, page_of
from eacps.api.memory_budget import MemoryBudget
from eacps.api.message_pictures import MessagePictures
from eacps.api.request_pictures import PictureReader, RequestPictures
from eacps.api.status import RecordedFailure
from eacps.api.submission import check_envelope, submission_of
from eacps.api.uploads import received
from eacps.api.validation import (
    Rules,
    face_picture_of,
    gathered,
    plan_of,
    prior_plan_of,
    render_plan_of,
    score_plan_of,
)
from eacps.api.violations import Violations
from eacps.durable import ObjectStore, Retention, SearchEngine, StoredSearch
from eacps.errors import (
    EacpsError,
    FieldViolation,
    InvalidRequest,
    SearchCancelled,
    SearchNotFound,
)
from eacps.evaluation import (
    Deadline,
    Observer,
    SearchPlan,
    SearchSettings,
    Services,
    detect_faces,
    prepare_prior,
    render_candidate,
    score_pictures,
)
from eacps.v1 import search_service_pb2 as pb
from eacps.v1.search_service_pb2_grpc import SearchServiceServicer
from eacps.wire import CHUNK_BYTES

_log = logging.getLogger(__name__)
UPLOADED_BYTES = 512 * 2**20
_INLINE_BYTES = 256 * 2**20
"""Most bytes of pictures in all events together that are being sent."""
_SHARED_RESPONSES = 256
T = TypeVar("T")


class SearchServicer(SearchServiceServicer):
    """Answers the calls of ``eacps.v1.SearchService``.

    Args:
        rules: What the server accepts.
        engine: Runs searches.
        objects: Holds pictures.
        open_services: Creates the services of one call that is not a search.
        decoding: Decodes callers' pictures; None decodes them in threads, by the decoder of ``rules``.
        uploaded_bytes: Most bytes of all uploads together that are arriving.
        tenant_share: Largest part of them, and of those of pictures in events, that one tenant may hold, in (0, 1].
        observer: Notified of requests for searches that are refused.
        retention: How long searches and uploads are kept, for ``expire_time``.
    """

    def __init__(
        self,
        rules: Rules,
        engine: SearchEngine,
        objects: ObjectStore,
        open_services: Callable[[], Services],
        *,
        decoding: Decoding | None = None,
        uploaded_bytes: int = UPLOADED_BYTES,
        tenant_share: float = 1.0,
        observer: Observer | None = None,
        retention: Retention | None = None,
    ) -> None:
        self._rules, self._engine, self._objects = rules, engine, objects
        self._open_services, self._decoding = open_services, decoding or Decoding(rules.decoder)
        self._message_pictures = MessagePictures(objects, self._decoding)
        reader = CandidateReader(engine.store)
        self._earlier_searches = EarlierSearches(engine.store, reader, objects)
        self._pictures = RequestPictures(objects, self._decoding, rules.pictures, rules.uploads)
        self._candidate_calls = CandidateCalls(engine.store, reader, objects, self._pictures, open_services)
        self._uploads = MemoryBudget("uploads", uploaded_bytes, tenant_share)
        self._inline = MemoryBudget("pictures in events", _INLINE_BYTES, tenant_share)
        self._observer, self._retention = observer or Observer(), retention or Retention()

    async def RunSearch(self, request: pb.RunSearchRequest, context: Context) -> AsyncIterator[pb.RunSearchResponse]:
        """See ``search_service.proto``."""
        call = current_call()
        tenant = call.tenant
        # A caller that named its search can ask for it again after its connection was lost.
        attached = not request.detach and not request.request_id
        search = await self._submitted(request, context, bounded=not request.detach)
        del request  # releases its pictures: this call may last long
        call.admitted.submitted()
        over = False
        try:
            yield pb.RunSearchResponse(search=search_of(search, self._retention, brief=True))
            async with aclosing(self._events(tenant, search.id, 0, inline=True)) as events:
                async for event in events:
                    over = event.WhichOneof("event") in ("finished", "failed", "cancelled")
                    if event.HasField("failed"):
                        await self._raise_failure(tenant, search.id)
                    if event.HasField("cancelled"):
                        raise SearchCancelled(f"search {search.id} was cancelled")
                    yield pb.RunSearchResponse(event=event)
        finally:
            if attached and not over:
                self._engine.withdraw(tenant, search.id)

    async def CreateSearch(self, request: pb.CreateSearchRequest, context: Context) -> pb.CreateSearchResponse:
        """See ``search_service.proto``."""
        try:
            if request.validate_only:
                await self._check(
                    request.search, await self._earlier_searches.resolved(request.search, current_call().tenant)
                )
                return pb.CreateSearchResponse()
            search = await self._submitted(request.search, context, bounded=False)
        except InvalidRequest as exc:
            inner = [FieldViolation(f"search.{one.field}", one.description) for one in exc.violations]
            raise InvalidRequest(inner) from exc
        return pb.CreateSearchResponse(search=search_of(search, self._retention))

    async def GetSearch(self, request: pb.GetSearchRequest, context: Context) -> pb.GetSearchResponse:
        """See ``search_service.proto``."""
        search = await self._engine.store.get(current_call().tenant, request.search_id)
        return pb.GetSearchResponse(search=search_of(search, self._retention))

    async def ListSearches(self, request: pb.ListSearchesRequest, context: Context) -> pb.ListSearchesResponse:
        """See ``search_service.proto``."""
        listing = listing_of(request)
        found = await self._engine.store.page(
            current_call().tenant,
            states=listing.states,
            labels=listing.labels,
            after=listing.after,
            most=listing.page_size + 1,
        )
        page, token = page_of(found, listing)
        return pb.ListSearchesResponse(
            searches=[search_of(one, self._retention, brief=True) for one in page], next_page_token=token
        )

    async def WatchSearch(
        self, request: pb.WatchSearchRequest, context: Context
    ) -> AsyncIterator[pb.WatchSearchResponse]:
        """See ``search_service.proto``."""
        tenant, search_id, after = current_call().tenant, request.search_id, request.after_sequence
        if after < 0:
            raise InvalidRequest([FieldViolation("after_sequence", f"is {after}, below 0")])
        if request.inline_pictures:
            async with aclosing(self._events(tenant, search_id, after, inline=True)) as events:
                async for event in events:
                    yield pb.WatchSearchResponse(event=event)
            return
        async with aclosing(self._engine.watch(tenant, search_id, after=after)) as stored:
            async for one in stored:
                yield _watched(one.payload)

    async def CancelSearch(self, request: pb.CancelSearchRequest, context: Context) -> pb.CancelSearchResponse:
        """See ``search_service.proto``."""
        search = await self._engine.cancel(current_call().tenant, request.search_id)
        return pb.CancelSearchResponse(search=search_of(search, self._retention))

    async def DeleteSearch(self, request: pb.DeleteSearchRequest, context: Context) -> pb.DeleteSearchResponse:
        """See ``search_service.proto``."""
        try:
            await self._engine.delete(current_call().tenant, request.search_id)
        except SearchNotFound:
            if not request.allow_missing:
                raise
        return pb.DeleteSearchResponse()

    async def UploadImage(
        self, request_iterator: AsyncIterator[pb.UploadImageRequest], context: Context
    ) -> pb.UploadImageResponse:
        """See ``search_service.proto``."""
        call = current_call()
        with self._uploads.reservation(call.tenant) as reservation:
            data = await received(request_iterator, self._rules.uploads.max_bytes, reservation)
            call.admitted.received()
            async with self._decoding.slot(call.tenant):
                decoded = await self._decoding.picture(data, self._rules.uploads, pixels=False)
                digest = await self._decoding.digest(data)
            stored_s = time.time()
            await self._objects.put_upload(call.tenant, data, digest=digest)
            response = pb.UploadImageResponse(
                image=pb.Image(artifact=digest), size_bytes=len(data), notes=decoded.notes
            )
            set_time(response.expire_time, stored_s + self._retention.upload_s)
            return response

    async def DownloadArtifact(
        self, request: pb.DownloadArtifactRequest, context: Context
    ) -> AsyncIterator[pb.DownloadArtifactResponse]:
        """See ``search_service.proto``."""
        size = await self._objects.size_for_tenant(current_call().tenant, request.artifact)
        for start in range(0, size, CHUNK_BYTES):
            length = min(CHUNK_BYTES, size - start)
            yield pb.DownloadArtifactResponse(chunk=await self._objects.get_range(request.artifact, start, length))

    async def DetectFaces(self, request: pb.DetectFacesRequest, context: Context) -> pb.DetectFacesResponse:
        """See ``search_service.proto``."""
        tenant, call_id = current_call().tenant, uuid.uuid4().hex
        async with self._pictures.decoded(lambda reader: face_picture_of(request, reader), tenant) as picture:
            services, deadline = self._open_services(), _deadline_of(context)
            return faces_of(await detect_faces(picture, services, call_id=call_id, deadline=deadline), picture)

    async def PreparePrior(self, request: pb.PreparePriorRequest, context: Context) -> pb.PreparePriorResponse:
        """See ``search_service.proto``."""
        async with self._checked(request, prior_plan_of) as plan:
            prior = await prepare_prior(plan, self._open_services(), deadline=_deadline_of(context))
        return await self._message_pictures.fitting(prior_of(prior, plan.settings.notes), current_call().tenant)

    async def RenderCandidate(self, request: pb.RenderCandidateRequest, context: Context) -> pb.RenderCandidateResponse:
        """See ``search_service.proto``."""
        async with self._checked(request, render_plan_of) as (plan, recipe):
            services, deadline = self._open_services(), _deadline_of(context)
            rendered = await render_candidate(plan, services, recipe, deadline=deadline)
        return await self._message_pictures.fitting(rendered_of(rendered, plan.settings.notes), current_call().tenant)

    async def PickCandidate(self, request: pb.PickCandidateRequest, context: Context) -> pb.PickCandidateResponse:
        """See ``search_service.proto``."""
        tenant = current_call().tenant
        picked = await self._candidate_calls.pick(request, tenant)
        return await self._message_pictures.fitting(picked, tenant)

    async def RankCandidates(self, request: pb.RankCandidatesRequest, context: Context) -> pb.RankCandidatesResponse:
        """See ``search_service.proto``."""
        return await self._candidate_calls.rank(request, current_call().tenant)

    async def ScoreImages(self, request: pb.ScoreImagesRequest, context: Context) -> pb.ScoreImagesResponse:
        """See ``search_service.proto``."""
        async with self._checked(request, score_plan_of) as (plan, pictures):
            services, deadline = self._open_services(), _deadline_of(context)
            return scored_of(await score_pictures(plan, services, pictures, deadline=deadline))

    async def GetCapabilities(self, request: pb.GetCapabilitiesRequest, context: Context) -> pb.GetCapabilitiesResponse:
        """See ``search_service.proto``."""
        return capabilities_of(self._rules, await self._open_services().models.describe())

    async def _submitted(self, request: pb.RunSearchRequest, context: Context, *, bounded: bool) -> StoredSearch:
        """Check and submit a request; ``bounded``: the deadline of the call is that of the search."""
        try:
            return await self._submit(request, context, bounded=bounded)
        except EacpsError as exc:
            self._observer.refused(exc.reason.lower())
            raise

    async def _submit(self, request: pb.RunSearchRequest, context: Context, *, bounded: bool) -> StoredSearch:
        tenant, left_s = current_call().tenant, context.time_remaining()
        # Read first: the time that decoding takes must not move the deadline.
        expires_s = None if left_s is None or not bounded else time.time() + left_s
        resolved = await self._earlier_searches.resolved(request, tenant)
        settings = await self._check(request, resolved)
        named, inputs = await self._message_pictures.stored(request, tenant)
        attached = bounded and not request.request_id
        submission = submission_of(
            named, settings, resolved, tenant=tenant, inputs=inputs, expires_s=expires_s, attached=attached
        )
        search = await self._engine.submit(submission)
        _log.info("search %s: submitted by %s at %s", search.id, tenant, context.peer())
        return search

    async def _check(self, request: pb.RunSearchRequest, search: pb.SearchSettings) -> SearchSettings:
        """Check a request, pictures included, and return its settings.

        Args:
            request: As it came.
            search: Its search settings, start points resolved.
        """
        full = pb.RunSearchRequest()
        full.CopyFrom(request)
        full.search.CopyFrom(search)
        envelope, search_id, seed = Violations(), uuid.uuid4().hex, secrets.randbits(32)
        check_envelope(envelope, request)

        def check(reader: PictureReader) -> SearchPlan:
            return gathered(
                envelope.found,
                lambda: plan_of(full, self._rules, search_id=search_id, drawn_seed=seed, reader=reader),
            )

        return (await self._pictures.checked(check, current_call().tenant)).settings

    def _checked(self, request: Any, check: Callable[..., T]) -> AbstractAsyncContextManager[T]:
        """Check a request for pictures or scores, and hold its decoded pictures until the block ends."""
        call_id = uuid.uuid4().hex
        return self._pictures.decoded(
            lambda reader: check(request, self._rules, reader, call_id=call_id), current_call().tenant
        )

    async def _events(
        self, tenant: str, search_id: str, after: int, *, inline: bool
    ) -> AsyncGenerator[pb.SearchEvent, None]:
        async with aclosing(self._engine.watch(tenant, search_id, after=after)) as stored:
            async for one in stored:
                event = pb.SearchEvent.FromString(one.payload)
                with self._inline.reservation(tenant) as reservation:
                    if inline:
                        await self._message_pictures.fill_event(event, reservation)
                    yield event

    async def _raise_failure(self, tenant: str, search_id: str) -> None:
        search = await self._engine.store.get(tenant, search_id)
        raise RecordedFailure(search.failure or b"")


@lru_cache(maxsize=_SHARED_RESPONSES)
def _watched(payload: bytes) -> pb.WatchSearchResponse:
    """Return the response for a stored event. All who watch the search share it; it must not be changed."""
    return pb.WatchSearchResponse(event=pb.SearchEvent.FromString(payload))


def _deadline_of(context: Context) -> Deadline:
    return Deadline.after(context.time_remaining())
