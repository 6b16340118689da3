"""Calls that send a stream of requests, and the status that the server ends them with.

A server may end such a call before the client has sent everything, as where a picture is too large. Then a message
that is being written fails, and `grpc.aio` puts a status of its own, INTERNAL, in the place of the server's
(https://github.com/grpc/grpc/issues/36066).
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import grpc.aio

T = TypeVar("T")
_PATIENCE_S = 5.0
"""How long the server's status may come after the failed write."""


async def response_of(call: Any) -> Any:
    """Return the response to a stream of requests.

    Args:
        call: Of a stub, just begun.

    Raises:
        AioRpcError: The call failed; with the server's own status, if there is one.
    """
    answered = asyncio.Event()
    errors: list[grpc.aio.AioRpcError] = []

    def note(_: object) -> None:
        error = _error_of(call)
        if not _is_of_a_write(error):
            errors.append(error)
            answered.set()

    call.add_done_callback(note)  # called for each status that the call gets
    try:
        return await call
    except grpc.aio.AioRpcError as exc:
        if not _is_of_a_write(exc):
            raise
        try:
            await asyncio.wait_for(answered.wait(), _PATIENCE_S)
        except TimeoutError:
            raise exc from None
        raise errors[0] from exc


def _is_of_a_write(error: grpc.aio.AioRpcError) -> bool:
    return error.code() is grpc.StatusCode.INTERNAL and error.details() == "Internal error from Core"


def _error_of(call: Any) -> grpc.aio.AioRpcError:
    """Return the error that a call which is done has ended with."""
    metadata = _at_once(call.trailing_metadata()) or grpc.aio.Metadata()
    return grpc.aio.AioRpcError(_at_once(call.code()), grpc.aio.Metadata(), metadata, details=_at_once(call.details()))


def _at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """Return the result of a coroutine that has nothing to wait for; a moment later it could be another one."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
    coroutine.close()
    raise RuntimeError("the call is not done")
