"""From what goes wrong between us and Triton to the error tree. The only table of its kind."""

import grpc
import grpc.aio
from tritonclient.utils import InferenceServerException

from eacps.errors import DeadlineExceeded, EacpsError, TritonModelFailed, TritonRefused, TritonUnavailable

# Every status that is not named here is the model's fault: it answered, with an error.
_ERRORS: dict[str, type[EacpsError]] = {
    "UNAVAILABLE": TritonUnavailable,
    "CANCELLED": TritonUnavailable,  # not by us, since that raises CancelledError: Triton is going down
    "DEADLINE_EXCEEDED": DeadlineExceeded,
    "INVALID_ARGUMENT": TritonRefused,
}
# What a call through tritonclient raises; asyncio.CancelledError is none of it and travels on.
CLIENT_ERRORS = (grpc.RpcError, InferenceServerException, grpc.aio.UsageError)


def translated(error: Exception, *, doing: str) -> EacpsError:
    """Give the domain error for one of ``CLIENT_ERRORS``; the caller raises it ``from`` the original.

    Args:
        error: As caught.
        doing: What was asked of Triton, for the message: ``qwen_edit``, ``server metadata``.
    """
    status, message = _status_of(error)
    kind = _ERRORS.get(status, TritonModelFailed)
    return kind(f"{doing}: {message} ({status})")


def _status_of(error: Exception) -> tuple[str, str]:
    if isinstance(error, grpc.aio.AioRpcError):
        return error.code().name, error.details() or "no details"
    if isinstance(error, InferenceServerException):
        # tritonclient keeps the text of the enum member, "StatusCode.UNAVAILABLE", or nothing within a stream.
        return str(error.status() or "INTERNAL").removeprefix("StatusCode."), error.message() or "no details"
    return "UNAVAILABLE", str(error) or type(error).__name__  # a call on a channel that is closed
