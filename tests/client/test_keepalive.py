"""A server whose host or network has died, as a client meets it: connections stay open and nothing passes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import grpc
import pytest

from eacps.client import AsyncClient, CallFailed, Keepalive, Retries, v1
from tests.api.conftest import Serve, make_request, png, serve
from tests.api.test_stored_searches import Gated
from tests.api.wire import Wire

__all__ = ["make_request", "png", "serve"]  # fixtures
MakeRequest = Callable[..., v1.RunSearchRequest]
EAGER = Keepalive(interval_s=1.0, timeout_s=0.5)
LONGEST_S = 15.0


class Line(Wire):
    """A wire that remembers where it begins."""

    port = 0

    @asynccontextmanager
    async def to(self, port: int) -> AsyncIterator[int]:
        async with super().to(port) as self.port:
            yield port


def client_over(line: Line, attempts: int) -> AsyncClient:
    retries = Retries(attempts=attempts, first_s=0.1, most_s=0.2)
    return AsyncClient(f"127.0.0.1:{line.port}", keepalive=EAGER, retries=retries, timeout_s=None)


async def watch(client: AsyncClient, search_id: str) -> list[int]:
    async with aclosing(client.watch(search_id)) as events:
        return [event.sequence async for event in events]


async def call_of(kind: str, client: AsyncClient, search_id: str) -> Any:
    calls: dict[str, Callable[[], Awaitable[Any]]] = {
        "watch": lambda: watch(client, search_id),
        "get": lambda: client.get(search_id),
        "upload": lambda: client.upload(bytes(2**20)),
        "download": lambda: client.download("0" * 64),
    }
    return await calls[kind]()


@pytest.mark.parametrize("kind", ["watch", "get", "upload", "download"])
async def test_a_dead_host_is_noticed(serve: Serve, make_request: MakeRequest, kind: str) -> None:
    line = Line()
    async with serve(models=Gated(), between=line.to), client_over(line, attempts=1) as client:
        search = await client.submit(make_request())
        calling = asyncio.create_task(call_of("watch", client, search.search_id)) if kind == "watch" else None
        await asyncio.sleep(0.5)
        line.cut.set()
        async with asyncio.timeout(LONGEST_S):
            with pytest.raises(CallFailed) as caught:
                await (calling or call_of(kind, client, search.search_id))
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE


async def test_a_search_is_followed_over_a_new_connection(serve: Serve, make_request: MakeRequest) -> None:
    models, line = Gated(), Line(spared=1)
    async with serve(models=models, between=line.to), client_over(line, attempts=20) as client:
        search = await client.submit(make_request())
        watching = asyncio.create_task(watch(client, search.search_id))
        await asyncio.sleep(0.5)
        line.cut.set()
        async with asyncio.timeout(2 * LONGEST_S):
            while line.connections < 2:
                await asyncio.sleep(0.1)
            models.gate.set()
            sequences = await watching
    assert sequences == list(range(1, len(sequences) + 1))
