"""Calls in whose midst something else ends: the client, the task that makes them, or what is being sent."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NoReturn

import grpc
import grpc.aio
import pytest

from eacps.client import AsyncBatch, AsyncClient, CallFailed, Client, ClientClosed, Retries, Shot, v1
from eacps.v1 import search_service_pb2_grpc as pb_grpc
from tests.cli.conftest import toy, toy_server
from tests.client.test_client import request

__all__ = ["toy"]  # a fixture
LONG = Retries(attempts=2, first_s=3600.0, most_s=3600.0)
SOON_S = 20.0


class Silent(pb_grpc.SearchServiceServicer):
    """Takes every call, and answers none."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def _never(self, _: Any, __: Any) -> None:
        self.asked.set()
        await asyncio.Event().wait()

    async def _no_responses(self, _: Any, __: Any) -> AsyncIterator[NoReturn]:
        self.asked.set()
        await asyncio.Event().wait()
        yield

    GetCapabilities = GetSearch = UploadImage = CreateSearch = _never  # type: ignore[assignment]
    RunSearch = WatchSearch = DownloadArtifact = _no_responses  # type: ignore[assignment]


class Away(pb_grpc.SearchServiceServicer):
    """Is unavailable."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def GetSearch(self, _: Any, context: Any) -> None:  # noqa: N802  # gRPC's name
        self.asked.set()
        await context.abort(grpc.StatusCode.UNAVAILABLE, "away")

    WatchSearch = GetSearch  # type: ignore[assignment]


@asynccontextmanager
async def serving(servicer: Any) -> AsyncIterator[str]:
    server = grpc.aio.server()
    pb_grpc.add_SearchServiceServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]  # generated
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


async def endless() -> AsyncIterator[bytes]:
    yield b"x"
    await asyncio.Event().wait()


async def events(items: AsyncIterator[object]) -> None:
    async for _ in items:
        pass


CALLS: dict[str, Callable[[AsyncClient], Awaitable[object]]] = {
    "unary": lambda client: client.capabilities(),
    "stream of requests": lambda client: client.upload_chunks(endless()),
    "stream of responses": lambda client: events(client.run(request(detach=True))),
    "stream of responses, followed": lambda client: events(client.watch("s")),
    "stream of requests, repeated": lambda client: client.upload(bytes(2**20)),
    "stream of responses, repeated": lambda client: client.download("0" * 64),
}
BLOCKING: dict[str, Callable[[Client], object]] = {
    "unary": lambda client: client.capabilities(),
    "stream of responses": lambda client: list(client.run(request(detach=True))),
    "stream of responses, followed": lambda client: list(client.watch("s")),
    "upload": lambda client: client.upload(bytes(2**20)),
    "download": lambda client: client.download("0" * 64),
}


async def ended(call: "asyncio.Future[object]") -> BaseException | None:
    """What a call has ended with, that may not hang."""
    await asyncio.wait([call], timeout=SOON_S)
    assert call.done()
    assert not call.cancelled()
    return call.exception()


@pytest.mark.parametrize("kind", CALLS)
@pytest.mark.parametrize("when", ["before it", "at once", "as it begins", "while it waits"])
async def test_a_client_that_is_closed(kind: str, when: str) -> None:
    servicer = Silent()
    async with serving(servicer) as address:
        client = AsyncClient(address)
        if when == "before it":
            await client.close()
        call = asyncio.ensure_future(CALLS[kind](client))
        if when == "as it begins":
            await asyncio.sleep(0.002)
        if when == "while it waits":
            await asyncio.wait_for(servicer.asked.wait(), SOON_S)
        await client.close()
        error = await ended(call)
    assert isinstance(error, ClientClosed)
    assert (error.code, error.reason, error.temporary) == (grpc.StatusCode.CANCELLED, "CLIENT_CLOSED", False)


@pytest.mark.parametrize("kind", ["get", "watch"])
async def test_a_client_that_is_closed_between_two_attempts(kind: str) -> None:
    servicer = Away()
    async with serving(servicer) as address:
        client = AsyncClient(address, retries=LONG)
        work: Awaitable[object] = client.get("s") if kind == "get" else events(client.watch("s"))
        call = asyncio.ensure_future(work)
        await asyncio.wait_for(servicer.asked.wait(), SOON_S)
        await asyncio.sleep(0.1)  # it has the answer, and pauses
        await client.close()
        assert isinstance(await ended(call), ClientClosed)


@pytest.mark.parametrize("kind", CALLS)
async def test_a_task_that_is_cancelled(kind: str) -> None:
    servicer = Silent()
    async with serving(servicer) as address, AsyncClient(address) as client:
        call = asyncio.ensure_future(CALLS[kind](client))
        await asyncio.wait_for(servicer.asked.wait(), SOON_S)
        call.cancel()
        await asyncio.wait([call], timeout=SOON_S)
        assert call.cancelled()


@pytest.mark.parametrize("kind", BLOCKING)
async def test_a_blocking_client_that_another_thread_closes(kind: str) -> None:
    servicer = Silent()
    async with serving(servicer) as address:
        client = await asyncio.to_thread(Client, address)
        call = asyncio.ensure_future(asyncio.to_thread(BLOCKING[kind], client))
        await asyncio.wait_for(servicer.asked.wait(), SOON_S)
        await asyncio.wait_for(asyncio.to_thread(client.close), SOON_S)
        assert isinstance(await ended(call), ClientClosed)
        with pytest.raises(ClientClosed):
            BLOCKING[kind](client)
        client.close()


async def test_a_blocking_client_that_is_closed_between_two_attempts() -> None:
    servicer = Away()
    async with serving(servicer) as address:
        client = await asyncio.to_thread(lambda: Client(address, retries=LONG))
        call = asyncio.ensure_future(asyncio.to_thread(lambda: list(client.watch("s"))))
        await asyncio.wait_for(servicer.asked.wait(), SOON_S)
        await asyncio.wait_for(asyncio.to_thread(client.close), SOON_S)
        assert isinstance(await ended(call), ClientClosed)


def test_events_that_are_read_after_the_client_was_closed() -> None:
    with toy_server() as address:
        client = Client(address)
        found = client.run(request())
        next(found)
        client.close()
        with pytest.raises(ClientClosed):
            list(found)
    assert not [thread for thread in threading.enumerate() if thread.name == "eacps client" and thread.is_alive()]


class Lost(Exception):
    """What is being sent comes to no end."""


async def test_what_is_being_sent_breaks_off() -> None:
    """The caller gets the error of what was to be sent, not gRPC's cancellation of the call."""

    async def broken() -> AsyncIterator[bytes]:
        yield b"x"
        raise Lost

    async with serving(Silent()) as address, AsyncClient(address) as client:
        with pytest.raises(Lost):
            await client.upload_chunks(broken())


async def test_a_batch_whose_client_is_closed_searches_nothing_twice(tmp_path: Path) -> None:
    """What became of a shot is not known then, and so nothing is recorded of it."""
    shots = [Shot(name, request(prompt=name)) for name in ("a", "b", "c")]
    with toy_server() as address:
        client = AsyncClient(address)
        submit, submitted = client.submit, []

        async def closed_after_it(asked: v1.RunSearchRequest) -> v1.Search:
            submitted.append((await submit(asked)).search_id)
            await client.close()
            raise ClientClosed

        client.submit = closed_after_it  # type: ignore[method-assign]
        with pytest.raises(ClientClosed):
            await AsyncBatch(client, shots, tmp_path).run()
        async with AsyncClient(address) as again:
            entries = await AsyncBatch(again, shots, tmp_path).run()
            searches = [one.search_id async for one in again.list()]
    assert [entry.state for entry in entries] == ["succeeded"] * 3
    assert entries[0].search_id == submitted[0]
    assert sorted(searches) == sorted(entry.search_id for entry in entries)


def test_a_closed_client_is_a_failed_call() -> None:
    assert issubclass(ClientClosed, CallFailed)
