"""Connections of the HTTP gateways: bounded in number, and in the time that a request may take to begin."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from eacps.descriptors import half_of_descriptors
from eacps.http.connections import ConnectionLimits
from eacps.http.serving import serving_http

WHOLE, HALF = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nX: "
HEAD_S = 0.3
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def slow(_: Request) -> Response:
    """Answers after the head's time is over."""
    await asyncio.sleep(3 * HEAD_S)
    return PlainTextResponse("here")


@asynccontextmanager
async def connected(count: int, limits: ConnectionLimits) -> AsyncIterator[list[Stream]]:
    """So many connections to a server with such limits."""
    async with serving_http(Starlette(routes=[Route("/", slow)]), "127.0.0.1", 0, limits=limits) as port:
        streams = [await asyncio.open_connection("127.0.0.1", port) for _ in range(count)]
        try:
            async with asyncio.timeout(30):
                yield streams
        finally:
            for _, writer in streams:
                writer.close()


async def ended(stream: Stream) -> bool:
    """Whether the server has closed a connection, or closes it soon."""
    try:
        async with asyncio.timeout(5 * HEAD_S):
            return not await stream[0].read(99)
    except TimeoutError:
        return False
    except ConnectionError:
        return True


async def test_more_connections_than_allowed_are_closed() -> None:
    async with connected(6, ConnectionLimits(most=4)) as streams:
        assert await asyncio.gather(*map(ended, streams)) == [False] * 4 + [True] * 2
        streams[0][1].write(WHOLE)
        assert (await streams[0][0].read(99)).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("sent", [b"", HALF])
async def test_a_request_that_does_not_begin_is_given_up(sent: bytes) -> None:
    async with connected(1, ConnectionLimits(head_timeout_s=HEAD_S)) as [stream]:
        stream[1].write(sent)
        assert await ended(stream)


async def test_so_is_a_later_one_and_an_answer_takes_its_time() -> None:
    async with connected(1, ConnectionLimits(head_timeout_s=HEAD_S)) as [stream]:
        for _ in range(2):
            stream[1].write(WHOLE)
            answer = await stream[0].readuntil(b"here")
            assert answer.startswith(b"HTTP/1.1 200")
        stream[1].write(HALF)
        assert await ended(stream)


def test_half_of_the_descriptors_are_for_connections() -> None:
    assert ConnectionLimits().connections == half_of_descriptors()
    assert [ConnectionLimits(most=most).connections for most in (7, 0)] == [7, 0]
