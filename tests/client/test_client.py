"""The client against a real server over toy models: blocking and asyncio, through lost connections."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import grpc
import numpy as np
import pytest

from eacps.api.admission import CallLimits
from eacps.client import AsyncClient, CallFailed, Client, InvalidSettings, Retries, v1
from eacps.imaging import encode_png
from eacps.testing import ToyModels
from eacps.triton import Generated, GenerateRequest
from tests.api.conftest import Serve, make_request, png, serve
from tests.api.test_keepalive import Ports
from tests.cli.conftest import toy, toy_server
from tests.cli.searches import picture

__all__ = ["make_request", "png", "serve", "toy"]  # fixtures
MakeRequest = Callable[..., v1.RunSearchRequest]
QUICK = Retries(attempts=40, first_s=0.02, most_s=0.1)


def request(**fields: Any) -> v1.RunSearchRequest:
    defaults: dict[str, Any] = {
        "scene": v1.Image(data=picture(10)),
        "character": v1.Image(data=picture(100)),
        "prompt": "make the person smile",
        "search": v1.SearchSettings(
            eacps={"global_candidates": 4, "parents": 1, "children_per_parent": 2}, random_seed=5, micro_batch=2
        ),
    }
    return v1.RunSearchRequest(**{**defaults, **fields})


def noisy(side: int) -> bytes:
    """A picture that does not compress: three bytes a pixel."""
    return encode_png(np.random.default_rng(side).integers(0, 256, (side, side, 3), np.uint8))


class Slow(ToyModels):
    """Takes its time, so that there is something to interrupt."""

    async def generate(self, asked: GenerateRequest, *, timeout_s: float | None = None) -> Generated:
        await asyncio.sleep(0.2)
        return await super().generate(asked, timeout_s=timeout_s)


@pytest.fixture(scope="module")
def slow() -> Iterator[str]:
    with toy_server(models=Slow()) as address:
        yield address


class Line:
    """What lies between client and server: a line that can be cut, and is there again at once."""

    def __init__(self, server: str) -> None:
        host, _, port = server.rpartition(":")
        self._server, self._writers = (host, int(port)), set[asyncio.StreamWriter]()
        self.cuts = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        listener = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        async with listener:
            yield f"127.0.0.1:{listener.sockets[0].getsockname()[1]}"
            self.cut()

    def cut(self) -> None:
        self.cuts += 1
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(*self._server)
        self._writers |= {writer, back}
        await asyncio.gather(_pipe(reader, back), _pipe(there, writer))


async def _pipe(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    except OSError:
        return
    finally:
        sink.close()


def names(events: list[v1.SearchEvent]) -> list[str | None]:
    return [event.WhichOneof("event") for event in events]


class TestBlocking:
    def test_submit_watch_get_list_download_delete(self, toy: str) -> None:
        with Client(toy) as client:
            search = client.submit(request(labels={"of": "test_submit"}))
            events = list(client.watch(search.search_id))
            assert names(events)[-1] == "finished"
            assert client.get(search.search_id).result == events[-1].finished
            listed = list(client.list(labels={"of": "test_submit"}, page_size=1))
            assert [one.search_id for one in listed] == [search.search_id]
            assert client.download(events[-1].finished.best.artifact).startswith(b"\x89PNG")
            assert client.cancel(search.search_id).state == v1.SEARCH_STATE_SUCCEEDED
            client.delete(search.search_id)
            with pytest.raises(CallFailed) as caught:
                client.get(search.search_id)
        assert (caught.value.code, caught.value.reason) == (grpc.StatusCode.NOT_FOUND, "SEARCH_NOT_FOUND")

    def test_single_calls(self, toy: str) -> None:
        asked = request()
        pictures = {"scene": asked.scene, "character": asked.character}
        recipe = v1.Recipe(terms=[v1.RecipeTerm(seed=1, coefficient=1.0)])
        with Client(toy) as client:
            prior = client.prepare_prior(v1.PreparePriorRequest(**pictures)).prior
            made = client.render(v1.RenderCandidateRequest(**pictures, prompt="x", recipe=recipe)).picture
            scored = client.score(v1.ScoreImagesRequest(**pictures, prompt="x", images=[prior, made]))
        assert len(scored.evaluations) == 2

    def test_what_does_not_fit_into_a_request_is_uploaded_wherever_it_stands(self, toy: str) -> None:
        large = noisy(1100)
        assert len(large) < 4 * 2**20 < 13 * 2**20 < 4 * len(large)
        likeness = v1.FaceSelector(likeness=v1.Image(data=noisy(1200)))
        asked = request(more_characters=[v1.Image(data=large)] * 4, character_face=likeness)
        with Client(toy) as client:
            search = client.submit(asked)
            assert list(client.watch(search.search_id))[-1].HasField("finished")
        assert asked.character_face.likeness.data, "the caller's request is not touched"

    def test_faults_are_typed(self, toy: str) -> None:
        with Client(toy) as client, pytest.raises(CallFailed) as caught:
            client.submit(request(prompt="", sampler=v1.SamplerSettings(steps=0)))
        assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT
        assert {one.field for one in caught.value.violations} == {"search.prompt", "search.sampler.steps"}

    def test_leaving_a_run_cancels_the_search(self, slow: str) -> None:
        with Client(slow) as client:
            events = client.run(request())
            search_id = next(events).started.search_id
            events.close()
            assert client.get(search_id).state == v1.SEARCH_STATE_CANCELLED

    def test_nobody_there_is_said_after_the_last_attempt(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            with (
                Client(address, retries=Retries(attempts=2, first_s=0.01)) as client,
                pytest.raises(CallFailed) as caught,
            ):
                client.get("0" * 32)
        assert caught.value.code is grpc.StatusCode.UNAVAILABLE


class TestLostConnections:
    @pytest.mark.parametrize("method", ["watch", "run"])
    async def test_events_come_without_gap_or_repeat(self, slow: str, method: str) -> None:
        line = Line(slow)
        async with line.open() as address, AsyncClient(address, retries=QUICK) as client:
            if method == "watch":
                followed = client.watch((await client.submit(request())).search_id)
            else:
                followed = client.run(request())
            events = []
            async with aclosing(followed):
                async for event in followed:
                    events.append(event)
                    if len(events) in (1, 3, 6):
                        line.cut()
        assert line.cuts >= 4
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))
        assert names(events)[-1] == "finished"

    async def test_a_request_whose_answer_was_lost_is_not_searched_twice(self, toy: str) -> None:
        async with AsyncClient(toy) as client:
            asked = request(request_id="lost", labels={"of": "lost"})
            found = await asyncio.gather(*(client.submit(asked) for _ in range(8)))
            assert len({search.search_id for search in found}) == 1
            assert [one.search_id async for one in client.list(labels={"of": "lost"})] == [found[0].search_id]


def test_pauses_grow_to_a_bound_and_end() -> None:
    for _ in range(20):
        pauses = list(Retries(attempts=6, first_s=1.0, factor=2.0, most_s=5.0).pauses())
        assert len(pauses) == 5
        assert all(0 <= pause <= bound for pause, bound in zip(pauses, (1.0, 2.0, 4.0, 5.0, 5.0), strict=True))


async def test_who_is_asked_to_come_again_does_and_no_sooner(serve: Serve, make_request: MakeRequest) -> None:
    ports = Ports()
    limits = CallLimits(calls_per_second=1.0)
    async with serve(admitted=limits, between=ports.to):
        async with AsyncClient(f"127.0.0.1:{ports.port}", retries=Retries(attempts=20, first_s=0.01)) as client:
            begun = asyncio.get_running_loop().time()
            searches = [await client.submit(make_request()) for _ in range(4)]
            assert asyncio.get_running_loop().time() - begun > 0.5
        assert len({search.search_id for search in searches}) == 4
        async with AsyncClient(f"127.0.0.1:{ports.port}", retries=Retries(attempts=1)) as client:
            with pytest.raises(CallFailed) as caught:
                await asyncio.gather(*(client.submit(make_request()) for _ in range(4)))
    assert (caught.value.code, caught.value.temporary) == (grpc.StatusCode.RESOURCE_EXHAUSTED, True)
    assert caught.value.retry_after_s is not None


@pytest.mark.parametrize("key", ["schl\u00fcssel", "a\r\nb", "a b"])
def test_a_key_that_cannot_be_sent_is_a_setting_at_fault(key: str) -> None:
    with pytest.raises(InvalidSettings, match="the API key holds") as caught, Client("127.0.0.1:1", api_key=key):
        pass
    assert key not in str(caught.value)
