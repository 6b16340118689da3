"""What a client raises.

ClientError
|-- InvalidSettings     certificates that cannot be read, or half of a pair
`-- CallFailed          the server answered with an error, or not at all
"""

from dataclasses import dataclass
from datetime import timedelta

import grpc
import grpc.aio
from google.rpc import error_details_pb2
from grpc_status import rpc_status


class ClientError(Exception):
    """Root of the tree."""


class InvalidSettings(ClientError):
    """The client's own settings are at fault."""


@dataclass(frozen=True)
class Violation:
    """One field of the request at fault: its path, and what is wrong with it."""

    field: str
    description: str


class CallFailed(ClientError):
    """A call ended with an error.

    Args:
        code: Status code.
        message: For people.
        reason: For machines, such as ``NO_FACE_FOUND``; empty where the answer was not the service's own.
        violations: Every field at fault.
        retry_after_s: Seconds after which the server asks to be called again; None where it does not.
    """

    def __init__(
        self,
        code: grpc.StatusCode,
        message: str,
        *,
        reason: str = "",
        violations: tuple[Violation, ...] = (),
        retry_after_s: float | None = None,
    ) -> None:
        self.code, self.message, self.reason = code, message, reason
        self.violations, self.retry_after_s = violations, retry_after_s
        super().__init__(f"{code.name}: {message}")


def failure_of(error: grpc.aio.AioRpcError) -> CallFailed:
    """Translate what gRPC raises; raise the result ``from`` it."""
    # Typed for calls, but an error has all that is read: code, details, trailing metadata.
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    reason, retry_after_s = "", None
    violations: list[Violation] = []
    for detail in status.details if status is not None else ():
        info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            reason = info.reason
        elif detail.Unpack(bad):
            violations += [Violation(one.field, one.description) for one in bad.field_violations]
        elif detail.Unpack(retry):
            retry_after_s = retry.retry_delay.ToTimedelta() / timedelta(seconds=1)
    return CallFailed(
        error.code(),
        error.details() or "no details",
        reason=reason,
        violations=tuple(violations),
        retry_after_s=retry_after_s,
    )
