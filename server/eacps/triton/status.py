"""Translation of errors of Triton calls to the error tree, in one table."""

import re

import grpc
import grpc.aio
from tritonclient.utils import InferenceServerException

from eacps.errors import (
    CheckpointChanged,
    DeadlineExceeded,
    EacpsError,
    FieldViolation,
    InvalidRequest,
    TritonModelFailed,
    TritonUnavailable,
)
from eacps.tensors import OTHER_BUILD, SAMPLER

# Every status that is not named here is the model's fault: it answered, with an error.
_ERRORS: dict[str, type[EacpsError]] = {
    "UNAVAILABLE": TritonUnavailable,
    "CANCELLED": TritonUnavailable,  # not by us, since that raises CancelledError: Triton is going down
    "DEADLINE_EXCEEDED": DeadlineExceeded,
}
# Inputs of the sampler that come from the caller as they are, by their field in the caller's request. What is wrong
# with any other input, such as a picture size that the checkpoint does not take, is a fault of the configuration.
_CALLERS_FIELDS = {
    "prompt": "prompt",
    "negative_prompt": "negative_prompt",
    "steps": "sampler.steps",
    "edit_mask": "mask",
}
# All models were ready when we connected: one that is not there is unloaded by a server that goes down or restarts.
_OTHER_BUILD = re.compile(re.escape(OTHER_BUILD))
_UNLOADED = re.compile(r"unknown model|is not ready|no available versions")
_FAULT = re.compile(r"(?P<input>\w+): (?P<description>.+)", re.DOTALL)
# What a call through tritonclient raises; asyncio.CancelledError is not included and propagates.
CLIENT_ERRORS = (grpc.RpcError, InferenceServerException, grpc.aio.UsageError)


def translated(error: Exception, *, doing: str) -> EacpsError:
    """Translate one of ``CLIENT_ERRORS`` to a domain error; the caller raises it ``from`` the original.

    Args:
        error: As caught.
        doing: What was asked of Triton, for the message: ``sampler``, ``server metadata``.
    """
    status, message = _status_of(error)
    if status == "INVALID_ARGUMENT" and doing == SAMPLER.name and (violations := _field_violations(message)):
        return InvalidRequest(violations)
    if _OTHER_BUILD.search(message):
        return CheckpointChanged(f"{doing}: {message}")
    kind = TritonUnavailable if _UNLOADED.search(message) else _ERRORS.get(status, TritonModelFailed)
    return kind(f"{doing}: {message} ({status})")


def _field_violations(message: str) -> list[FieldViolation]:
    """Read the sampler's faults, "<input>: <what is wrong>" joined by "; ", if all of them are the caller's."""
    violations = []
    for part in message.split("; "):
        fault = _FAULT.fullmatch(part)
        if fault is None or fault["input"] not in _CALLERS_FIELDS:
            return []
        violations.append(FieldViolation(_CALLERS_FIELDS[fault["input"]], fault["description"]))
    return violations


def _status_of(error: Exception) -> tuple[str, str]:
    if isinstance(error, grpc.aio.AioRpcError):
        return error.code().name, error.details() or "no details"
    if isinstance(error, InferenceServerException):
        # tritonclient keeps the text of the enum member, "StatusCode.UNAVAILABLE", or nothing within a stream.
        return str(error.status() or "INTERNAL").removeprefix("StatusCode."), error.message() or "no details"
    return "UNAVAILABLE", str(error) or type(error).__name__  # a call on a channel that is closed
