"""Around every call: authentication, admission, reading the request, mapping errors to status codes, observers.

Servicers raise errors of `eacps.errors` and know no status codes. The handlers of our services are replaced by ones
that read and write messages themselves, for all four forms of methods. So a call can be refused before its request is
read; and an error becomes a status without ``context.abort``, whose exception is part of a reference cycle that would
keep the request and its pictures in memory until the garbage collector runs.
"""

import asyncio
import inspect
import logging
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError
from google.rpc import status_pb2
from grpc_status import rpc_status
from opentelemetry import propagate
from opentelemetry.context import attach, detach

from eacps.api.access import Access
from eacps.api.admission import ANYONE, Admission, AdmittedCall
from eacps.api.calls import Call, CallObserver, Context, FinishedCall, Unobserved, set_current_call
from eacps.api.message_items import check_items
from eacps.api.status import RecordedFailure, incident_status, reason_in, status_of
from eacps.errors import DeadlineExceeded, EacpsError, Fault, FieldViolation, InvalidRequest, QuotaExceeded
from eacps.evaluation import Observer

_log = logging.getLogger(__name__)
_OURS = "/eacps."
_LEAVING_S = 1.0
"""Longest time between a failed write at the end of a connection and the cancellation of its call."""


@dataclass(frozen=True)
class CallDependencies:
    """What the handlers of all methods share.

    Args:
        access: Authenticates callers.
        admission: Admits calls.
        observer: Receives a span for every call, within the caller's trace if there is one.
        calls: Notified of every call.
    """

    access: Access
    admission: Admission
    observer: Observer
    calls: CallObserver


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Answers the calls of our services; those of health and reflection are only admitted.

    Args:
        access: Authenticates callers; None lets anyone call.
        admission: Admits calls; None for the default limits.
        observer: Receives a span for every call.
        calls: Notified of every call.
    """

    def __init__(
        self,
        access: Access | None = None,
        admission: Admission | None = None,
        observer: Observer | None = None,
        calls: CallObserver | None = None,
    ) -> None:
        self._dependencies = CallDependencies(
            access or Access(None), admission or Admission(), observer or Observer(), calls or Unobserved()
        )
        self._handlers: dict[str, Any] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Return the handler of a call."""
        handler = await continuation(handler_call_details)
        method = str(handler_call_details.method)
        if handler is None:
            return None
        if not method.startswith(_OURS):
            return self._probed(handler, method) if handler.unary_unary else self._admitted(handler, method)
        if method not in self._handlers:
            answer = _Method(method, handler, self._dependencies).answer
            self._handlers[method] = grpc.stream_stream_rpc_method_handler(answer, None, handler.response_serializer)
        return self._handlers[method]

    def _admitted(self, handler: Any, method: str) -> Any:
        """Admit a stream of health or reflection."""
        try:
            self._admit(method, ANYONE)
        except EacpsError as exc:
            return _refusal(status_of(exc))
        return handler

    def _probed(self, handler: Any, method: str) -> Any:
        """Admit a health check, before its request comes.

        Callers who send no request, or do not read the response, hold slots, so no host gets all of them.
        """
        kind, timeout_s = _input_of(method), self._dependencies.admission.limits.request_timeout_s

        async def answer(_: object, context: Context) -> None:
            try:
                self._admit(method, context.peer().rpartition(":")[0])
                request = _parsed(await _received(context, timeout_s), kind, handler.request_deserializer)
            except EacpsError as exc:
                _set_status(context, status_of(exc))
                return
            await _write(context, await handler.unary_unary(request, context))

        return grpc.stream_stream_rpc_method_handler(answer, None, handler.response_serializer)

    def _admit(self, method: str, tenant: str) -> None:
        """Admit a call; its slot is released when the task that answers it ends."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("calls are answered in tasks")
        admitted = self._dependencies.admission.admit(method, tenant)
        task.add_done_callback(lambda _: admitted.end())
        admitted.received()


class _Method:
    """Answers the calls of one method.

    Args:
        method: Full name, ``/package.Service/Method``.
        handler: The servicer's handler.
        dependencies: What all methods share.
    """

    def __init__(self, method: str, handler: Any, dependencies: CallDependencies) -> None:
        self._method, self._handler, self._dependencies = method, handler, dependencies
        self._name, self._input = method.rpartition("/")[2], _input_of(method)
        self._behavior = next(
            one
            for one in (handler.unary_unary, handler.unary_stream, handler.stream_unary, handler.stream_stream)
            if one is not None
        )
        if handler.response_streaming and not inspect.isasyncgenfunction(self._behavior):
            raise TypeError(f"{method} must be an async generator")

    async def answer(self, _: object, context: Context) -> None:
        """Answer a call, and notify the observers of its end."""
        self._dependencies.calls.call_began(self._name)
        begun_s, tenant, code, reason = time.monotonic(), "", grpc.StatusCode.CANCELLED.name, ""
        try:
            status = None
            try:
                tenant = self._dependencies.access.tenant_of(context)
                await self._respond(tenant, context)
            except Exception as exc:
                status = self._status_of(exc)
            code = grpc.StatusCode.OK.name
            if status is not None:
                code, reason = _code_of(status).name, reason_in(status)
                _set_status(context, status)
        except asyncio.CancelledError:
            if context.time_remaining() == 0.0:
                code = grpc.StatusCode.DEADLINE_EXCEEDED.name
            raise
        finally:
            seconds = time.monotonic() - begun_s
            self._dependencies.calls.call_ended(FinishedCall(self._name, tenant, context.peer(), code, reason, seconds))

    async def _respond(self, tenant: str, context: Context) -> None:
        with self._dependencies.admission.admit(self._method, tenant) as admitted:
            set_current_call(Call(self._method, tenant, admitted))
            with self._span(context):
                if self._handler.response_streaming:
                    # The generator is closed, and releases what it holds, before the call ends.
                    async with aclosing(self._behavior(await self._request(context, admitted), context)) as responses:
                        async for response in responses:
                            await _write(context, response)
                else:
                    await _write(context, await self._behavior(await self._request(context, admitted), context))

    async def _request(self, context: Context, admitted: AdmittedCall) -> Any:
        """Return the request, or the stream of requests, whose servicer calls `AdmittedCall.received` itself."""
        if self._handler.request_streaming:
            return self._requests(context)
        message = self._parsed(await _received(context, self._dependencies.admission.limits.request_timeout_s))
        admitted.received()
        return message

    async def _requests(self, context: Context) -> AsyncIterator[Any]:
        while (data := await context.read()) is not grpc.aio.EOF:
            yield self._parsed(data)

    def _parsed(self, data: Any) -> Any:
        return _parsed(data, self._input, self._handler.request_deserializer)

    @contextmanager
    def _span(self, context: Context) -> Iterator[None]:
        """Record a call as a span, within the trace in its metadata."""
        carrier = {str(name): value for name, value in context.invocation_metadata() or () if isinstance(value, str)}
        token = attach(propagate.extract(carrier))
        try:
            with self._dependencies.observer.span(self._name, {}):
                yield
        finally:
            detach(token)

    def _status_of(self, error: Exception) -> status_pb2.Status:
        if isinstance(error, RecordedFailure):
            return error.status
        if isinstance(error, EacpsError):
            _log.log(_level_of(error), "%s: %s: %s", self._method, error.reason, error)
            return status_of(error)
        incident_id = uuid.uuid4().hex[:12]
        _log.error("%s: incident %s", self._method, incident_id, exc_info=error)
        return incident_status(incident_id)


def _input_of(method: str) -> Descriptor | None:
    """Return the type of a method's requests; None if it is not in the default pool, as services of tests."""
    try:
        found: Descriptor = descriptor_pool.Default().FindMethodByName(method[1:].replace("/", ".")).input_type
    except KeyError:
        return None
    return found


async def _received(context: Context, timeout_s: float) -> Any:
    """Return the encoded request of a call."""
    try:
        async with asyncio.timeout(timeout_s):
            data = await context.read()
    except TimeoutError as exc:
        raise DeadlineExceeded(f"the request did not come within {timeout_s:g} s") from exc
    if data is grpc.aio.EOF:
        raise InvalidRequest([FieldViolation("request", "is missing")])
    return data


def _parsed(data: Any, kind: Descriptor | None, deserialize: Callable[[Any], Any]) -> Any:
    """Return a request, which has to be of ``kind``."""
    check_items(data, kind)
    try:
        message = deserialize(data)
    except DecodeError as exc:
        text = "is not a message of this call: its bytes are damaged, or a text in it is not UTF-8"
        raise InvalidRequest([FieldViolation("request", text)]) from exc
    message.DiscardUnknownFields()  # else searches would be stored with them, of any size
    return message


def _level_of(error: EacpsError) -> int:
    if isinstance(error, QuotaExceeded):
        return logging.DEBUG  # refused calls must not fill the log; metrics and the access log count them
    return logging.INFO if error.fault is Fault.CALLER else logging.WARNING


async def _write(context: Context, response: Any) -> None:
    try:
        await context.write(response)
    except grpc.aio.BaseError:
        # Most likely the caller has left, and this task is about to be cancelled, as for any such call.
        await asyncio.sleep(_LEAVING_S)
        raise


def _set_status(context: Context, status: status_pb2.Status) -> None:
    context.set_code(_code_of(status))
    context.set_details(status.message)
    context.set_trailing_metadata(rpc_status.to_status(status).trailing_metadata)


def _code_of(status: status_pb2.Status) -> grpc.StatusCode:
    return _CODES[status.code]


_CODES = {code.value[0]: code for code in grpc.StatusCode}


def _refusal(status: status_pb2.Status) -> Any:
    """Return a handler that refuses calls of any form without reading the request."""

    async def refuse(_: object, context: Context) -> None:
        _set_status(context, status)

    return grpc.stream_stream_rpc_method_handler(refuse)
