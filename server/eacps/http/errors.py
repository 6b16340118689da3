"""Errors in the form of OpenAI's API. One table translates gRPC's status codes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import grpc
from starlette.responses import JSONResponse

from eacps.client import CallFailed

INVALID, SERVER, RATE = "invalid_request_error", "server_error", "rate_limit_error"


@dataclass(frozen=True)
class ErrorKind:
    """What a gRPC status code is in HTTP.

    Args:
        status: HTTP status code.
        type: OpenAI's type of error.
        code: OpenAI's code, unless the search server names a reason.
    """

    status: int
    type: str
    code: str


ERROR_KINDS: Mapping[grpc.StatusCode, ErrorKind] = {
    grpc.StatusCode.INVALID_ARGUMENT: ErrorKind(400, INVALID, "invalid_value"),
    grpc.StatusCode.OUT_OF_RANGE: ErrorKind(400, INVALID, "invalid_value"),
    grpc.StatusCode.FAILED_PRECONDITION: ErrorKind(400, INVALID, "failed_precondition"),
    grpc.StatusCode.UNAUTHENTICATED: ErrorKind(401, INVALID, "invalid_api_key"),
    grpc.StatusCode.PERMISSION_DENIED: ErrorKind(403, INVALID, "permission_denied"),
    grpc.StatusCode.NOT_FOUND: ErrorKind(404, INVALID, "not_found"),
    grpc.StatusCode.ALREADY_EXISTS: ErrorKind(409, INVALID, "already_exists"),
    grpc.StatusCode.ABORTED: ErrorKind(409, INVALID, "aborted"),
    grpc.StatusCode.CANCELLED: ErrorKind(409, INVALID, "search_cancelled"),
    grpc.StatusCode.RESOURCE_EXHAUSTED: ErrorKind(429, RATE, "rate_limit_exceeded"),
    grpc.StatusCode.UNKNOWN: ErrorKind(500, SERVER, "server_error"),
    grpc.StatusCode.INTERNAL: ErrorKind(500, SERVER, "server_error"),
    grpc.StatusCode.DATA_LOSS: ErrorKind(500, SERVER, "data_loss"),
    grpc.StatusCode.UNIMPLEMENTED: ErrorKind(501, SERVER, "not_implemented"),
    grpc.StatusCode.UNAVAILABLE: ErrorKind(503, SERVER, "service_unavailable"),
    grpc.StatusCode.DEADLINE_EXCEEDED: ErrorKind(504, SERVER, "deadline_exceeded"),
}
_OF_PICTURES = {"scene": "image", "character": "image", "references": "image", "more_characters": "eacps"}
_OF_FORM = ("mask", "prompt")


class HttpError(Exception):
    """A request that ends with an error.

    Args:
        status: HTTP status code.
        message: For people.
        type: OpenAI's type of error.
        code: For programs.
        param: Field of the form at fault; None if it is none.
        retry_after_s: After how many seconds the same request may succeed; None if that is not known.
        retry: Whether it may succeed at all.
        details: What the search server said beyond that.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str = INVALID,
        code: str = "invalid_value",
        param: str | None = None,
        retry_after_s: float | None = None,
        retry: bool = False,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.type, self.code, self.param = status, message, type, code, param
        self.retry_after_s, self.retry, self.details = retry_after_s, retry, details

    @property
    def body(self) -> dict[str, Any]:
        """The JSON form."""
        error = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return {"error": error | ({"eacps": self.details} if self.details else {})}

    @property
    def response(self) -> JSONResponse:
        """The response; OpenAI's clients retry, or not, as its headers say."""
        headers = {"x-should-retry": "true" if self.retry else "false"}
        if self.retry_after_s is not None:
            headers["retry-after"] = str(max(1, round(self.retry_after_s)))
        if self.status == 401:
            headers["www-authenticate"] = "Bearer"
        return JSONResponse(self.body, self.status, headers)


def error_of(failure: CallFailed) -> HttpError:
    """Translate what a call of the search server ended with."""
    kind = ERROR_KINDS.get(failure.code, ERROR_KINDS[grpc.StatusCode.UNKNOWN])
    violations = [{"field": one.field, "description": one.description} for one in failure.violations]
    details = {"status": failure.code.name, "reason": failure.reason, "violations": violations}
    return HttpError(
        kind.status,
        failure.message,
        type=kind.type,
        code=failure.reason.lower() or kind.code,
        param=_param(failure.violations[0].field) if failure.violations else None,
        retry_after_s=failure.retry_after_s,
        retry=failure.temporary,
        details={name: value for name, value in details.items() if value},
    )


def _param(field: str) -> str:
    """Return the field of the form that a field of the search server's request came from."""
    first = field.partition(".")[0].partition("[")[0]
    return first if first in _OF_FORM else _OF_PICTURES.get(first, "eacps")
