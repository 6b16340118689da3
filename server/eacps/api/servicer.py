"""The search service, thin: check, run, convert."""

import asyncio
import logging
import secrets
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Any

import grpc.aio

from eacps.api.access import tenant
from eacps.api.converters import prior_of, rendered_of, response_of, scored_of
from eacps.api.validation import Rules, plan_of, prior_plan_of, render_plan_of, score_plan_of
from eacps.errors import EacpsError, TooManySearches
from eacps.evaluation import (
    Deadline,
    Laboratory,
    Observer,
    Silent,
    prepare_prior,
    render_candidate,
    run_search,
    score_pictures,
)
from eacps.v1 import search_service_pb2 as pb
from eacps.v1.search_service_pb2_grpc import SearchServiceServicer

_log = logging.getLogger(__name__)
DEFAULT_MAX_SEARCHES = 8


class SearchServicer(SearchServiceServicer):
    """Runs searches.

    Args:
        rules: What requests may ask for.
        open_laboratory: Gives every search a laboratory of its own, so that nothing of it outlives it.
        max_searches: Searches that run at once; further ones are refused, not queued.
        observer: Watches.
    """

    def __init__(
        self,
        rules: Rules,
        open_laboratory: Callable[[], Laboratory],
        *,
        max_searches: int = DEFAULT_MAX_SEARCHES,
        observer: Observer | None = None,
    ) -> None:
        self._rules, self._open_laboratory, self._observer = rules, open_laboratory, observer or Silent()
        self._max_searches, self._running = max_searches, 0

    async def RunSearch(  # noqa: N802  # the service's name for it
        self, request: pb.RunSearchRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[pb.RunSearchResponse]:
        """See ``search_service.proto``."""
        with self._place(), self._watched():
            async with aclosing(self._search(request, context)) as responses:
                async for response in responses:
                    yield response

    async def PreparePrior(  # noqa: N802
        self, request: pb.PreparePriorRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.PreparePriorResponse:
        """See ``search_service.proto``."""
        with self._place():
            plan = await asyncio.to_thread(prior_plan_of, request, self._rules, call_id=uuid.uuid4().hex)
            return prior_of(await prepare_prior(plan, self._open_laboratory(), deadline=_deadline_of(context)))

    async def RenderCandidate(  # noqa: N802
        self, request: pb.RenderCandidateRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.RenderCandidateResponse:
        """See ``search_service.proto``."""
        with self._place():
            plan, recipe = await asyncio.to_thread(render_plan_of, request, self._rules, call_id=uuid.uuid4().hex)
            deadline = _deadline_of(context)
            return rendered_of(await render_candidate(plan, self._open_laboratory(), recipe, deadline=deadline))

    async def ScoreImages(  # noqa: N802
        self, request: pb.ScoreImagesRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.ScoreImagesResponse:
        """See ``search_service.proto``."""
        with self._place():
            plan, pictures = await asyncio.to_thread(score_plan_of, request, self._rules, call_id=uuid.uuid4().hex)
            deadline = _deadline_of(context)
            return scored_of(await score_pictures(plan, self._open_laboratory(), pictures, deadline=deadline))

    @contextmanager
    def _place(self) -> Iterator[None]:
        """Take one of the places for searches, to be given back at the end.

        Raises:
            TooManySearches: All are taken.
        """
        if self._running >= self._max_searches:
            self._observer.refused()
            raise TooManySearches(f"{self._running} searches are running, as many as this server runs at once")
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Tell the observer how the search ends."""
        self._observer.began()
        outcome, reason = "cancelled", ""
        try:
            yield
            outcome = "finished"
        except EacpsError as exc:
            outcome, reason = "failed", exc.reason.lower()
            raise
        except Exception:
            outcome, reason = "failed", "internal"
            raise
        finally:
            self._observer.ended(outcome, reason)

    async def _search(
        self, request: pb.RunSearchRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncGenerator[pb.RunSearchResponse, None]:
        deadline = _deadline_of(context)
        plan = await asyncio.to_thread(
            plan_of, request, self._rules, search_id=uuid.uuid4().hex, drawn_seed=secrets.randbits(32)
        )
        _log.info("search %s: asked for by %s at %s", plan.search_id, tenant.get(), context.peer())
        search = run_search(plan, self._open_laboratory(), deadline=deadline)
        del plan  # the search lets go of the pictures as they came once they are fitted
        async with aclosing(search) as updates:
            sequence = 0
            async for update in updates:
                sequence += 1
                self._observer.updated(update)
                yield response_of(update, sequence=sequence)


def _deadline_of(context: grpc.aio.ServicerContext[Any, Any]) -> Deadline:
    return Deadline.after(context.time_remaining())
