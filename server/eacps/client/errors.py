"""What a client raises.

ClientError
|-- InvalidSettings     certificates that cannot be read, half of a pair, or a key that cannot be sent
|-- InvalidBatch        shots, or names of their files, that cannot be run: all of them are named
|-- BatchRunning        another batch is running in the folder
`-- CallFailed          the server answered with an error, or not at all
    `-- ClientClosed    the client was closed before the call was over
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import grpc
import grpc.aio
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from eacps.v1 import search_service_pb2 as pb

_CODES = {code.value[0]: code for code in grpc.StatusCode}


class ClientError(Exception):
    """Root of the tree."""


class InvalidSettings(ClientError):
    """The client's own settings are at fault."""


@dataclass(frozen=True)
class Violation:
    """One field of the request at fault: its path, and what is wrong with it."""

    field: str
    description: str


class InvalidBatch(ClientError):
    """Shots of a batch are at fault; nothing was run.

    Args:
        violations: All of them; ``field`` begins with the shot's name.
    """

    def __init__(self, violations: Sequence[Violation]) -> None:
        self.violations = tuple(violations)
        super().__init__("; ".join(f"{one.field} {one.description}" for one in violations))


class BatchRunning(ClientError):
    """Another batch is running in the folder."""


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

    @property
    def temporary(self) -> bool:
        """Whether the same call may succeed later: the server is unavailable, or says when to call it again."""
        refused = self.code is grpc.StatusCode.RESOURCE_EXHAUSTED and self.retry_after_s is not None
        return refused or self.code is grpc.StatusCode.UNAVAILABLE


class ClientClosed(CallFailed):
    """The client was closed before the call was over. What the server made of the call is not known."""

    def __init__(self) -> None:
        super().__init__(grpc.StatusCode.CANCELLED, "the client was closed", reason="CLIENT_CLOSED")


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


def failure_in(event: pb.SearchEvent) -> CallFailed | None:
    """Return what an event that ends a search without a result says, as a call would raise it; None for the others."""
    if event.HasField("failed"):
        return CallFailed(_CODES[event.failed.code], event.failed.message, reason=event.failed.reason)
    if event.HasField("cancelled"):
        return CallFailed(grpc.StatusCode.CANCELLED, "the search was cancelled", reason="SEARCH_CANCELLED")
    return None
