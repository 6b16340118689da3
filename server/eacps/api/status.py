"""Errors as rich gRPC status: ``google.rpc.Status`` with details (AIP-193)."""

import random
from datetime import timedelta

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from eacps.errors import EacpsError, InvalidRequest, QuotaExceeded

DOMAIN = "eacps.v1"
"""Reasons are unique within the package of the API."""
_JITTER = (0.5, 1.5)
"""Factors of the delay, so that callers that were refused together do not retry together."""
INTERNAL_REASON = "INTERNAL"
_MAX_MESSAGE = 500  # trailers are limited; the details carry the rest
_MAX_MESSAGE_BYTES = 1500
"""Of the message as gRPC encodes it: three bytes for each byte that is not printable ASCII."""
_MAX_VIOLATIONS_BYTES = 4096
"""Of all violated fields in one status. Many clients refuse trailers of 8 KiB, and the error with them."""


class RecordedFailure(Exception):
    """Why a search failed, as recorded, perhaps by another server.

    Args:
        status: Encoded ``google.rpc.Status``.
    """

    def __init__(self, status: bytes) -> None:
        self.status = status_pb2.Status.FromString(status)
        super().__init__(self.status.message)


def status_of(error: EacpsError) -> status_pb2.Status:
    """Convert an error of `eacps.errors`.

    ErrorInfo is always there; BadRequest names fields, QuotaFailure a limit, RetryInfo says when to try again.
    """
    details: list[Message] = [
        error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=dict(error.metadata))
    ]
    if isinstance(error, InvalidRequest):
        details.append(error_details_pb2.BadRequest(field_violations=_fields_of(error)))
    if isinstance(error, QuotaExceeded):
        violation = error_details_pb2.QuotaFailure.Violation(subject=error.subject, description=str(error))
        details.append(error_details_pb2.QuotaFailure(violations=[violation]))
    if error.retryable:
        delay = duration_pb2.Duration()
        delay.FromTimedelta(timedelta(seconds=error.retry_after_s * random.uniform(*_JITTER)))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    return _status(grpc.StatusCode[error.grpc_code], str(error), details)


def incident_status(incident_id: str) -> status_pb2.Status:
    """Describe an unexpected error: the caller gets only the id under which it is logged."""
    info = error_details_pb2.ErrorInfo(reason=INTERNAL_REASON, domain=DOMAIN, metadata={"incident_id": incident_id})
    return _status(grpc.StatusCode.INTERNAL, f"internal error; incident {incident_id}", [info])


def reason_in(status: status_pb2.Status) -> str:
    """Return the reason in a status; empty if there is none."""
    info = error_details_pb2.ErrorInfo()
    return next((info.reason for detail in status.details if detail.Unpack(info)), "")


def _status(code: grpc.StatusCode, message: str, details: list[Message]) -> status_pb2.Status:
    status = status_pb2.Status(code=code.value[0], message=_clipped(message))
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def _fields_of(error: InvalidRequest) -> list[error_details_pb2.BadRequest.FieldViolation]:
    """Return the violated fields, as many as fit, and how many are left out."""
    fields, room = list[error_details_pb2.BadRequest.FieldViolation](), _MAX_VIOLATIONS_BYTES
    for index, violation in enumerate(error.violations):
        field = error_details_pb2.BadRequest.FieldViolation(
            field=_clipped(violation.field), description=_clipped(violation.description)
        )
        room -= field.ByteSize()
        if room < 0:
            rest = f"has {len(error.violations) - index} more errors"
            return [*fields, error_details_pb2.BadRequest.FieldViolation(field="request", description=rest)]
        fields.append(field)
    return fields


def _clipped(message: str) -> str:
    room = _MAX_MESSAGE_BYTES
    for index, letter in enumerate(message):
        room -= 1 if " " <= letter <= "~" and letter != "%" else 3 * len(letter.encode(errors="replace"))
        if index >= _MAX_MESSAGE or room < 0:
            return message[: max(0, index - 3)] + "..."
    return message
