"""Calls of one stub: with the caller's key, a time limit, and retries while the server is unavailable."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import grpc.aio

from eacps.client.errors import CallFailed, ClientClosed, failure_of
from eacps.client.retries import Retries
from eacps.v1 import search_service_pb2_grpc as pb_grpc

T = TypeVar("T")


class Calls:
    """Makes calls.

    Args:
        channel: Connection to the server.
        api_key: Sent with every call; None sends none.
        retries: How often to retry calls that find the server unavailable, or are refused with a retry delay.
        timeout_s: Time limit of every attempt of a unary call; None for no limit.
    """

    def __init__(
        self, channel: grpc.aio.Channel, api_key: str | None, retries: Retries, timeout_s: float | None
    ) -> None:
        self.stub: Any = pb_grpc.SearchServiceStub(channel)  # type: ignore[no-untyped-call]  # generated
        self._metadata = None if api_key is None else (("authorization", f"Bearer {api_key}"),)
        self._retries, self._timeout_s = retries, timeout_s
        self._closed = asyncio.Event()

    def close(self) -> None:
        """Let calls end with `ClientClosed`, where they wait for another attempt at once; then close the channel."""
        self._closed.set()

    def pauses(self) -> Iterator[float]:
        """Return the pauses between the attempts of a call, in seconds."""
        return self._retries.pauses()

    async def pause(self, pauses: Iterator[float], failure: CallFailed) -> None:
        """Wait before the next attempt, at least as long as the server asks for.

        Raises:
            CallFailed: The failure, where no attempt is left.
            ClientClosed: The client was closed meanwhile.
        """
        pause_s = next(pauses, None)
        if pause_s is None:
            raise failure
        try:
            await asyncio.wait_for(self._closed.wait(), max(pause_s, failure.retry_after_s or 0.0))
        except TimeoutError:
            return
        raise ClientClosed from failure

    async def unary(self, method: Callable[..., Awaitable[T]], request: Any, **options: Any) -> T:
        """Call a method until it succeeds or there are no retries left.

        Args:
            method: Of the stub, or one like it.
            request: Its request.
            options: In the place of the usual ones: metadata and timeout.

        Raises:
            CallFailed: It failed for good.
        """
        pauses = self.pauses()
        while True:
            try:
                with self._failures():
                    return await method(request, **{"metadata": self._metadata, "timeout": self._timeout_s, **options})
            except CallFailed as failure:
                if not failure.temporary:
                    raise
                await self.pause(pauses, failure)

    async def once(self, method: Callable[..., Awaitable[T]], request: Any, timeout_s: float | None) -> T:
        """Call a method once.

        Raises:
            CallFailed: It failed.
        """
        with self._failures():
            return await method(request, metadata=self._metadata, timeout=timeout_s)

    async def stream(
        self, method: Callable[..., AsyncIterator[T]], request: Any, timeout_s: float | None
    ) -> AsyncGenerator[T, None]:
        """Call a method once and yield its responses; closing the generator early cancels the call.

        Raises:
            CallFailed: It failed.
        """
        with self._failures():
            call: Any = method(request, metadata=self._metadata, timeout=timeout_s)
            try:
                async for response in call:
                    yield response
            finally:
                call.cancel()  # nobody reads the rest of a call that is not over

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """Translate what a call raises.

        gRPC ends the calls of a channel that is closed by a cancellation, as if their task were cancelled. Whoever
        awaits them would take it for the end of the task, or log it as an error of its own.
        """
        try:
            yield
        except grpc.aio.AioRpcError as exc:
            raise failure_of(exc) from exc
        except (grpc.aio.UsageError, asyncio.CancelledError) as exc:
            task = asyncio.current_task()
            if not self._closed.is_set() or (task is not None and task.cancelling()):
                raise
            raise ClientClosed from exc
