"""How durable searches are written down: as the messages of the API, with pictures by digest."""

import logging
import uuid
from collections.abc import Callable, Collection, Mapping

from eacps.api.converters import event_of, failure_of
from eacps.api.status import incident_status, status_of
from eacps.api.validation import Rules, plan_of
from eacps.errors import EacpsError
from eacps.evaluation import SearchPlan, SearchUpdate
from eacps.v1 import search_service_pb2 as pb
from eacps.wire import images_in

_log = logging.getLogger(__name__)


class MessageCodec:
    """An `eacps.durable.Codec`.

    Args:
        rules: What requests may ask for.
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules

    def pictures_of(self, request: bytes) -> Collection[str]:
        """See `Codec.pictures_of`."""
        message = pb.RunSearchRequest.FromString(request)
        return {image.artifact for _, image in images_in(message)}

    def plan_of(self, request: bytes, pictures: Mapping[str, bytes], *, search_id: str) -> SearchPlan:
        """See `Codec.plan_of`."""
        message = pb.RunSearchRequest.FromString(request)
        for _, image in images_in(message):
            image.data = pictures[image.artifact]
        return plan_of(message, self._rules, search_id=search_id, drawn_seed=message.search.random_seed)

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
        failure = failure_of(status)

        def event(sequence: int) -> bytes:
            return pb.SearchEvent(sequence=sequence, failed=failure).SerializeToString()

        return event, status.SerializeToString()

    def cancelled(self, *, sequence: int) -> bytes:
        """See `Codec.cancelled`."""
        return pb.SearchEvent(sequence=sequence, cancelled=pb.SearchCancelled()).SerializeToString()
