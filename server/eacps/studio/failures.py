"""What can go wrong in a request, as JSON."""

import logging
from typing import Any

import grpc
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from eacps.client import CallFailed

_STATUS = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.CANCELLED: 409,
    grpc.StatusCode.FAILED_PRECONDITION: 412,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}
_OTHER = 502
_logger = logging.getLogger(__name__)


class BrokenOff(Exception):
    """A response that has begun, and cannot be completed."""


class RequestRefused(Exception):
    """A request of the browser that the studio itself does not answer.

    Args:
        status: HTTP status.
        code: For programs, such as ``KEY_NEEDED``.
        message: For people.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        self.status, self.code, self.message = status, code, message
        super().__init__(message)


class UnfinishedResponses:
    """ASGI middleware: a response that breaks off ends its connection, which tells the browser that it is incomplete.

    Args:
        app: What raises `BrokenOff`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        try:
            await self._app(scope, receive, send)
        except BrokenOff as exc:
            _logger.warning("a response broke off: %s", exc)


def call_failure(error: CallFailed) -> dict[str, Any]:
    """Return the JSON form of a failed call."""
    return {
        "code": error.code.name,
        "reason": error.reason,
        "message": error.message,
        "temporary": error.temporary,
        "violations": [{"field": one.field, "description": one.description} for one in error.violations],
    }


async def on_call_failed(_: Request, error: Exception) -> JSONResponse:
    """Answer a request whose call failed."""
    assert isinstance(error, CallFailed)
    return JSONResponse(call_failure(error), _STATUS.get(error.code, _OTHER))


async def on_refused(_: Request, error: Exception) -> JSONResponse:
    """Answer a request that is refused."""
    assert isinstance(error, RequestRefused)
    body = {"code": error.code, "reason": "", "message": error.message, "temporary": False, "violations": []}
    return JSONResponse(body, error.status)
