"""Calls in whose midst something else ends: the client, the task that makes them, or what is being sent."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import grpc
import pytest

from eacps.client import AsyncClient, CallFailed, v1
from eacps.testing import ToyModels
from eacps.triton import Generated, GenerateRequest
from tests.api.conftest import Serve, make_request, png, serve
from tests.api.test_keepalive import Ports
from tests.cli.conftest import toy, toy_server

__all__ = ["make_request", "png", "serve", "toy"]  # fixtures
MakeRequest = Callable[..., v1.RunSearchRequest]


class Endless(ToyModels):
    """Never answers."""

    async def generate(self, asked: GenerateRequest, *, timeout_s: float | None = None) -> Generated:
        await asyncio.Event().wait()
        raise AssertionError


async def endless() -> AsyncIterator[bytes]:
    yield b"x"
    await asyncio.Event().wait()


async def events(client: AsyncClient, request: v1.RunSearchRequest) -> None:
    async for _ in client.run(request):
        pass


def calls(client: AsyncClient, request: v1.RunSearchRequest) -> list[Callable[[], Awaitable[object]]]:
    """One call of each kind: unary, stream of requests, stream of responses, and streams within a call that repeats."""
    return [
        client.capabilities,
        lambda: client.upload_chunks(endless()),
        lambda: events(client, request),
        lambda: client.download("0" * 64),
        lambda: client.upload(bytes(2**20)),
    ]


@pytest.mark.parametrize("kind", range(5))
@pytest.mark.parametrize("after_s", [None, 0.0, 0.002, 0.2])
async def test_a_client_that_is_closed(make_request: MakeRequest, kind: int, after_s: float | None) -> None:
    """Before the call, while it begins, and while it waits: the call fails, and nobody takes it for a cancellation."""
    with toy_server(models=Endless()) as address:
        client = AsyncClient(address)
        if after_s is None:
            await client.close()
        call = asyncio.ensure_future(calls(client, make_request())[kind]())
        await asyncio.sleep(after_s or 0.0)
        await client.close()
        await asyncio.wait([call], timeout=20)
        assert call.done()
        assert not call.cancelled()
        error = call.exception()
    if error is None or getattr(error, "code", None) in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT):
        assert after_s  # done before
        assert kind in (0, 3, 4)
    else:
        assert isinstance(error, CallFailed)
        assert (error.code, error.reason, error.temporary) == (grpc.StatusCode.CANCELLED, "CLIENT_CLOSED", False)


@pytest.mark.parametrize("kind", [1, 2])
async def test_a_task_that_is_cancelled(make_request: MakeRequest, kind: int) -> None:
    with toy_server(models=Endless()) as address:
        async with AsyncClient(address) as client:
            call = asyncio.ensure_future(calls(client, make_request())[kind]())
            await asyncio.sleep(0.2)
            call.cancel()
            await asyncio.wait([call], timeout=20)
            assert call.cancelled()


class Lost(Exception):
    """What is being sent comes to no end."""


async def test_what_is_being_sent_breaks_off(serve: Serve) -> None:
    """The caller gets the error of what was to be sent, not gRPC's cancellation of the call."""

    async def broken() -> AsyncIterator[bytes]:
        yield b"x"
        raise Lost

    ports = Ports()
    async with serve(between=ports.to), AsyncClient(f"127.0.0.1:{ports.port}") as client:
        with pytest.raises(Lost):
            await client.upload_chunks(broken())
