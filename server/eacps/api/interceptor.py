"""The one place where errors become gRPC status. Servicers raise errors of the tree and know no status codes."""

import inspect
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from google.rpc import status_pb2
from grpc_status import rpc_status
from opentelemetry import propagate
from opentelemetry.context import attach, detach

from eacps.api.status import RecordedFailure, incident_status, status_of
from eacps.errors import EacpsError, Fault, FieldViolation, InvalidRequest
from eacps.evaluation import Observer, Silent

_log = logging.getLogger(__name__)
_OURS = "/eacps."


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Maps what our services raise; health and reflection, which are not ours, pass through.

    It also drives the streams: a response stream is an async generator, and it is closed, and with it all it holds,
    before the call ends, whatever ends it. Left to itself, grpc.aio leaves that to the garbage collector.

    Args:
        observer: Shown every call as a span, within its caller's trace where there is one.
    """

    def __init__(self, observer: Observer | None = None) -> None:
        self._observer = observer or Silent()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wrap the handler of a call to one of our services."""
        handler = await continuation(handler_call_details)
        method = str(handler_call_details.method)
        if handler is None or not method.startswith(_OURS):
            return handler
        if handler.request_streaming and handler.response_streaming:
            raise NotImplementedError(f"{method}: streams both ways are not intercepted yet")
        forms = _tolerant(handler.request_deserializer), handler.response_serializer
        if handler.request_streaming:
            return grpc.stream_unary_rpc_method_handler(
                _mapped_call(handler.stream_unary, method, self._observer), *forms
            )
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                _mapped_stream(handler.unary_stream, method, self._observer), *forms
            )
        return grpc.unary_unary_rpc_method_handler(_mapped_call(handler.unary_unary, method, self._observer), *forms)


class _Malformed:
    """In the place of a request that could not be read."""


def _tolerant(deserialize: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """Read requests, and let those that cannot be read come through: gRPC by itself would call them our fault."""

    def read(data: bytes) -> Any:
        try:
            return deserialize(data)
        except DecodeError:
            return _Malformed()

    return read


def _checked(request: Any) -> Any:
    """Give a request that could be read; of a stream, give all of them.

    Raises:
        InvalidRequest: It could not be read.
    """
    if isinstance(request, _Malformed):
        text = "is no message of this call: its bytes are damaged, or a text in it is not UTF-8"
        raise InvalidRequest([FieldViolation("request", text)])
    return _all_checked(request) if isinstance(request, AsyncIterator) else request


async def _all_checked(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        yield _checked(request)


Context = grpc.aio.ServicerContext[Any, Any]


def _mapped_call(behaviour: Callable[[Any, Context], Awaitable[Any]], method: str, observer: Observer) -> Any:
    async def call(request: Any, context: Context) -> Any:
        try:
            with _span(observer, method, context):
                return await behaviour(_checked(request), context)
        except grpc.aio.AbortError:
            raise
        except Exception as exc:
            await _abort(context, exc, method)

    return call


def _mapped_stream(behaviour: Callable[[Any, Context], AsyncIterator[Any]], method: str, observer: Observer) -> Any:
    if not inspect.isasyncgenfunction(behaviour):
        raise TypeError(f"{method} must be an async generator")

    async def call(request: Any, context: Context) -> None:
        try:
            with _span(observer, method, context):
                async with aclosing(behaviour(_checked(request), context)) as responses:
                    async for response in responses:
                        await context.write(response)
        except grpc.aio.AbortError:
            raise
        except Exception as exc:
            await _abort(context, exc, method)

    return call


@contextmanager
def _span(observer: Observer, method: str, context: Context) -> Iterator[None]:
    """Show a call as a span, within the trace that its caller says it is part of."""
    said = {str(name): value for name, value in context.invocation_metadata() or () if isinstance(value, str)}
    token = attach(propagate.extract(said))
    try:
        with observer.span(method.rpartition("/")[2], {}):
            yield
    finally:
        detach(token)


async def _abort(context: Context, error: Exception, method: str) -> None:
    if context.done():
        # The caller has left, and what was written after that failed. Nobody is there to be told.
        _log.info("%s: after the caller left: %r", method, error)
        return
    status = rpc_status.to_status(_status_and_log(error, method))
    await context.abort(status.code, status.details, status.trailing_metadata)


def _status_and_log(error: Exception, method: str) -> status_pb2.Status:
    if isinstance(error, RecordedFailure):
        return error.status
    if isinstance(error, EacpsError):
        level = logging.INFO if error.fault is Fault.CALLER else logging.WARNING
        _log.log(level, "%s: %s: %s", method, error.reason, error)
        return status_of(error)
    incident_id = uuid.uuid4().hex[:12]
    _log.error("%s: incident %s", method, incident_id, exc_info=error)
    return incident_status(incident_id)
