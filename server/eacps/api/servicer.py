"""The search service, thin: check, run, convert."""

import asyncio
import logging
import secrets
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import grpc.aio

from eacps.api.converters import response_of
from eacps.api.validation import Rules, plan_of
from eacps.evaluation import Deadline, Laboratory, run_search
from eacps.v1 import search_service_pb2 as pb
from eacps.v1.search_service_pb2_grpc import SearchServiceServicer

_log = logging.getLogger(__name__)


class SearchServicer(SearchServiceServicer):
    """Runs searches.

    Args:
        rules: What requests may ask for.
        open_laboratory: Gives every search a laboratory of its own, so that nothing of it outlives it.
    """

    def __init__(self, rules: Rules, open_laboratory: Callable[[], Laboratory]) -> None:
        self._rules, self._open_laboratory = rules, open_laboratory

    async def RunSearch(  # noqa: N802  # the service's name for it
        self, request: pb.RunSearchRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[pb.RunSearchResponse]:
        """See ``search_service.proto``."""
        deadline = Deadline.after(context.time_remaining())
        plan = await asyncio.to_thread(
            plan_of, request, self._rules, search_id=uuid.uuid4().hex, drawn_seed=secrets.randbits(32)
        )
        _log.info("search %s: asked for by %s", plan.search_id, context.peer())
        async with aclosing(run_search(plan, self._open_laboratory(), deadline=deadline)) as updates:
            sequence = 0
            async for update in updates:
                sequence += 1
                yield response_of(update, sequence=sequence)
