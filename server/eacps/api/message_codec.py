"""Encodes durable searches as messages of the API, with pictures by digest."""

import logging
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace

from eacps.api.converters import event_of, search_failed_of
from eacps.api.decoding import Decoding
from eacps.api.status import incident_status, status_of
from eacps.api.stored_plans import StoredPlans
from eacps.api.validation import Rules
from eacps.errors import EacpsError
from eacps.evaluation import SearchPlan, SearchSettings, SearchUpdate
from eacps.v1 import search_service_pb2 as pb

_log = logging.getLogger(__name__)


class MessageCodec:
    """An `eacps.durable.Codec`.

    Args:
        rules: What the server accepts; its default scorers do not apply.
        decoding: Decodes the pictures of searches; None decodes them by the decoder of ``rules``.
    """

    def __init__(self, rules: Rules, decoding: Decoding | None = None) -> None:
        # Stored requests name every scorer: what the server reports by default may have changed since.
        own = replace(rules, default_held_out=frozenset())
        self._stored_plans = StoredPlans(own, decoding or Decoding(rules.decoder, at_once=1))

    async def plan_of(self, request: bytes, read: Callable[[str], Awaitable[bytes]], *, search_id: str) -> SearchPlan:
        """See `Codec.plan_of`."""
        return await self._stored_plans.plan_of(pb.RunSearchRequest.FromString(request), read, search_id=search_id)

    def settings_of(self, request: bytes, *, search_id: str) -> SearchSettings:
        """See `Codec.settings_of`."""
        return self._stored_plans.settings_of(pb.RunSearchRequest.FromString(request), search_id=search_id)

    def event_of(self, update: SearchUpdate, *, sequence: int) -> bytes:
        """See `Codec.event_of`."""
        return event_of(update, sequence=sequence).SerializeToString()

    def failed(self, error: Exception) -> tuple[Callable[[int], bytes], bytes]:
        """See `Codec.failed`."""
        if isinstance(error, EacpsError):
            status = status_of(error)
        else:
            incident_id = uuid.uuid4().hex[:12]
            _log.error("a search failed: incident %s", incident_id, exc_info=error)
            status = incident_status(incident_id)
        failure = search_failed_of(status)

        def event(sequence: int) -> bytes:
            return pb.SearchEvent(sequence=sequence, failed=failure).SerializeToString()

        return event, status.SerializeToString()

    def cancelled(self, *, sequence: int) -> bytes:
        """See `Codec.cancelled`."""
        return pb.SearchEvent(sequence=sequence, cancelled=pb.SearchCancelled()).SerializeToString()
