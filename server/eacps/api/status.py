"""Errors of the tree as rich gRPC status: ``google.rpc.Status`` with details (AIP-193)."""

from datetime import timedelta

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from eacps.errors import EacpsError, InvalidRequest, NoFaceFound

DOMAIN = "eacps"
RETRY_DELAY = timedelta(seconds=5)
INTERNAL_REASON = "INTERNAL"
_MAX_MESSAGE = 500  # trailers are limited; the details carry the rest


class RecordedFailure(Exception):
    """Why a search failed, as it was recorded: perhaps by another server.

    Args:
        status: Encoded ``google.rpc.Status``.
    """

    def __init__(self, status: bytes) -> None:
        self.status = status_pb2.Status.FromString(status)
        super().__init__(self.status.message)


def status_of(error: EacpsError) -> status_pb2.Status:
    """Describe an error of the tree: always ErrorInfo, BadRequest with fields, RetryInfo where retrying may help."""
    details: list[Message] = [
        error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=_metadata_of(error))
    ]
    if isinstance(error, InvalidRequest):
        fields = [
            error_details_pb2.BadRequest.FieldViolation(field=violation.field, description=violation.description)
            for violation in error.violations
        ]
        details.append(error_details_pb2.BadRequest(field_violations=fields))
    if error.retryable:
        delay = duration_pb2.Duration()
        delay.FromTimedelta(RETRY_DELAY)
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    return _status(grpc.StatusCode[error.grpc_code], str(error), details)


def incident_status(incident_id: str) -> status_pb2.Status:
    """Describe an error that nobody foresaw: the caller learns under which id the log has it, and no more."""
    info = error_details_pb2.ErrorInfo(reason=INTERNAL_REASON, domain=DOMAIN, metadata={"incident_id": incident_id})
    return _status(grpc.StatusCode.INTERNAL, f"internal error; incident {incident_id}", [info])


def _metadata_of(error: EacpsError) -> dict[str, str]:
    if isinstance(error, NoFaceFound):
        return {"picture": error.picture, "found": str(error.found)}
    return {}


def _status(code: grpc.StatusCode, message: str, details: list[Message]) -> status_pb2.Status:
    status = status_pb2.Status(code=code.value[0], message=_clipped(message))
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def _clipped(message: str) -> str:
    return message if len(message) <= _MAX_MESSAGE else message[: _MAX_MESSAGE - 3] + "..."
