"""Errors raised in a servicer, seen as status by a real client of a real server."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import StringValue
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from eacps.api.interceptor import CallInterceptor
from eacps.errors import (
    EvaluationFailed,
    FieldViolation,
    InvalidRequest,
    NoFaceFound,
    TritonModelFailed,
    TritonUnavailable,
)

CALL, STREAM = "/eacps.test/Call", "/eacps.test/Stream"


class Servicer:
    """Raises what it is given, in a unary call and after the first message of a stream."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.closed = error, asyncio.Event()

    async def call(self, request: StringValue, context: Any) -> StringValue:
        if self.error is not None:
            raise self.error
        return request

    async def stream(self, request: StringValue, context: Any) -> AsyncIterator[StringValue]:
        try:
            yield request
            if self.error is not None:
                raise self.error
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0)  # cleaning up may take a turn of the loop
            self.closed.set()


@asynccontextmanager
async def channel_to(servicer: Servicer) -> AsyncIterator[grpc.aio.Channel]:
    server = grpc.aio.server(interceptors=[CallInterceptor()])
    kinds = {"request_deserializer": StringValue.FromString, "response_serializer": StringValue.SerializeToString}
    handlers = {
        "Call": grpc.unary_unary_rpc_method_handler(servicer.call, **kinds),
        "Stream": grpc.unary_stream_rpc_method_handler(servicer.stream, **kinds),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("eacps.test", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
    finally:
        await server.stop(0)


def stubs(channel: grpc.aio.Channel) -> tuple[Callable[..., Any], Callable[..., Any]]:
    kinds = {"request_serializer": StringValue.SerializeToString, "response_deserializer": StringValue.FromString}
    return channel.unary_unary(CALL, **kinds), channel.unary_stream(STREAM, **kinds)


async def failure_of(error: Exception, *, streamed: bool = False) -> grpc.aio.AioRpcError:
    async with channel_to(Servicer(error)) as channel:
        call, stream = stubs(channel)

        async def ask() -> object:
            if streamed:
                return [answer async for answer in stream(StringValue(value="x"))]
            return await call(StringValue(value="x"))

        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ask()
    return caught.value


def details_of(error: grpc.aio.AioRpcError) -> list[Message]:
    status = rpc_status.from_call(SyncView(error))
    kinds = (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.RetryInfo)
    found: list[Message] = []
    for packed in status.details:
        for kind in kinds:
            if packed.Is(kind.DESCRIPTOR):
                message = kind()
                packed.Unpack(message)
                found.append(message)
    return found


class SyncView:
    """What `rpc_status.from_call` reads of a call that has ended."""

    def __init__(self, error: grpc.aio.AioRpcError) -> None:
        self.code, self.details, self.trailing_metadata = error.code, error.details, error.trailing_metadata


class TestMapping:
    @pytest.mark.parametrize("letter", ["x", "é", "👩", "%", "\n"])
    async def test_an_error_of_any_length_reaches_clients(self, letter: str) -> None:
        violations = [FieldViolation(f"images[{index}]", letter * 1000) for index in range(1000)]
        error = await failure_of(InvalidRequest(violations))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert sum(len(key) + len(value) + 32 for key, value in error.trailing_metadata()) < 6 * 2**10
        _, bad_request = details_of(error)
        named = bad_request.field_violations
        assert (named[0].field, named[-1].field) == ("images[0]", "request")
        assert named[-1].description == f"has {1000 - len(named) + 1} more errors"

    @pytest.mark.parametrize("streamed", [False, True])
    async def test_names_every_violation(self, streamed: bool) -> None:
        violations = [FieldViolation("prompt", "is empty"), FieldViolation("search.parents", "is 0")]
        error = await failure_of(InvalidRequest(violations), streamed=streamed)
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        info, bad_request = details_of(error)
        assert (info.reason, info.domain) == ("INVALID_REQUEST", "eacps.v1")
        assert [(one.field, one.description) for one in bad_request.field_violations] == [
            ("prompt", "is empty"),
            ("search.parents", "is 0"),
        ]

    @pytest.mark.parametrize(
        ("error", "code", "reason", "retry"),
        [
            (NoFaceFound("scene"), grpc.StatusCode.FAILED_PRECONDITION, "NO_FACE_FOUND", False),
            (EvaluationFailed("none"), grpc.StatusCode.UNAVAILABLE, "EVALUATION_FAILED", True),
            (TritonUnavailable("away"), grpc.StatusCode.UNAVAILABLE, "TRITON_UNAVAILABLE", True),
            (TritonModelFailed("broken"), grpc.StatusCode.INTERNAL, "TRITON_MODEL_FAILED", False),
        ],
    )
    async def test_says_whether_to_retry(
        self, error: Exception, code: grpc.StatusCode, reason: str, retry: bool
    ) -> None:
        failure = await failure_of(error)
        assert failure.code() is code
        info, *others = details_of(failure)
        assert info.reason == reason
        assert [type(one) for one in others] == ([error_details_pb2.RetryInfo] if retry else [])

    async def test_says_in_which_picture_no_face_was_found(self) -> None:
        info, *_ = details_of(await failure_of(NoFaceFound("character", 1)))
        assert dict(info.metadata) == {"picture": "character", "found": "1"}

    @pytest.mark.parametrize("streamed", [False, True])
    async def test_keeps_unknown_errors_to_itself(self, streamed: bool, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.ERROR, logger="eacps"):
            error = await failure_of(ZeroDivisionError("secret of the house"), streamed=streamed)
        assert error.code() is grpc.StatusCode.INTERNAL
        (info,) = details_of(error)
        incident = info.metadata["incident_id"]
        assert incident in str(error.details())
        assert "secret" not in str(error.details())
        assert incident in caplog.text
        assert "secret of the house" in caplog.text

    async def test_a_message_of_any_length_fits_the_trailers(self) -> None:
        violations = [FieldViolation(f"scorers[{number}].name", "x" * 100) for number in range(50)]
        error = await failure_of(InvalidRequest(violations))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert len(str(error.details())) <= 500

    async def test_leaves_success_alone(self) -> None:
        async with channel_to(Servicer()) as channel:
            call, _ = stubs(channel)
            assert (await call(StringValue(value="x"))).value == "x"


async def test_a_stream_is_closed_when_its_caller_leaves() -> None:
    servicer = Servicer()
    async with channel_to(servicer) as channel:
        _, stream = stubs(channel)
        call = stream(StringValue(value="x"))
        assert (await call.read()).value == "x"
        call.cancel()
        async with asyncio.timeout(60):
            await servicer.closed.wait()
