"""Requests, and a real server on a free port over the toy landscape."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio
import numpy as np
import pytest

from eacps.api import KeyRing, MessageCodec, Rules, SearchServer, SearchServicer, ServerLimits
from eacps.api.admission import Admission, CallLimits
from eacps.api.calls import CallObserver
from eacps.api.decoding import Decoding
from eacps.durable import Codec, Database, ObjectStore, QueueLimits, SearchEngine, open_store, sqlite_url
from eacps.durable.local_workflows import LocalWorkflows
from eacps.durable.protocols import ConcurrencyLimits
from eacps.evaluation import ExecutionLimits, Observer, Services
from eacps.imaging import encode_png
from eacps.testing import ToyModels, ToyScorer
from eacps.v1 import search_service_pb2 as pb

SAMPLE = Path(__file__).parents[2] / "studio_mini" / "samples" / "smile"
SMALL = {
    "eacps": {"global_candidates": 4, "parents": 1, "children_per_parent": 2},
    "random_seed": 11,
    "micro_batch": 2,
}
UNRATED = CallLimits(calls_per_second=None, reads_per_second=None, all_calls_per_second=None, all_reads_per_second=None)
RULES = Rules(frozenset({"brightness", "other"}), {"brightness": 1.0})


@pytest.fixture(scope="session")
def png() -> Callable[..., bytes]:
    """Encodes a picture of noise of the given size."""

    def encode(width: int = 40, height: int = 32, seed: int = 0) -> bytes:
        return encode_png(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))

    return encode


@pytest.fixture(scope="session")
def make_request(png: Callable[..., bytes]) -> Callable[..., pb.RunSearchRequest]:
    """Makes a request that is in order; keywords replace fields."""

    def make(**fields: Any) -> pb.RunSearchRequest:
        defaults: dict[str, Any] = {
            "scene": pb.Image(data=png()),
            "character": pb.Image(data=png(33, 35, seed=1)),
            "prompt": "make the person smile",
            "search": pb.SearchSettings(
                eacps={"global_candidates": 4, "parents": 2, "children_per_parent": 2}, random_seed=5, micro_batch=2
            ),
        }
        return pb.RunSearchRequest(**{**defaults, **fields})

    return make


@pytest.fixture
def sample_request() -> Callable[..., pb.RunSearchRequest]:
    """Makes a request for a small search over a bundled scene; keywords replace fields."""

    def make(steps: int = 3, **fields: Any) -> pb.RunSearchRequest:
        defaults: dict[str, Any] = {
            "scene": pb.Image(data=(SAMPLE / "scene.png").read_bytes()),
            "character": pb.Image(data=(SAMPLE / "character.png").read_bytes()),
            "prompt": (SAMPLE / "prompt.txt").read_text().strip(),
            "sampler": pb.SamplerSettings(steps=steps),
            "search": pb.SearchSettings(**SMALL),
        }
        return pb.RunSearchRequest(**{**defaults, **fields})

    return make


async def events_in(call: Any) -> list[pb.SearchEvent]:
    """All events that a call of RunSearch brings, after the search that it brings first."""
    responses = [response async for response in call]
    assert [response.WhichOneof("response") for response in responses] == ["search", *["event"] * (len(responses) - 1)]
    return [response.event for response in responses[1:]]


Between = Callable[[int], AbstractAsyncContextManager[int]]


@asynccontextmanager
async def straight(port: int) -> AsyncIterator[int]:
    """Nothing between client and server."""
    yield port


Serve = Callable[..., AbstractAsyncContextManager[grpc.aio.Channel]]


@asynccontextmanager
async def engine_over(
    codec: Codec,
    open_services: Callable[[], Services],
    folder: Path,
    *,
    concurrency: ConcurrencyLimits,
    observer: Observer | None = None,
    **parts: Any,
) -> AsyncIterator[tuple[SearchEngine, ObjectStore]]:
    """An engine over SQLite and a folder, in this process alone."""
    observer = observer or Observer()
    database = Database(sqlite_url(folder / "searches.sqlite"), observer.transacted)
    objects = ObjectStore(open_store(str(folder / "artifacts")), database)
    engine = SearchEngine(
        database, objects, codec, open_services, LocalWorkflows(concurrency), observer=observer, **parts
    )
    await engine.start()
    try:
        yield engine, objects
    finally:
        await engine.stop(0.0)
        database.close()


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """Serves over toy models, or what keywords put in their place, and gives a channel to it."""

    @asynccontextmanager
    async def run(
        *,
        rules: Rules = RULES,
        ready: bool = True,
        max_searches: int = 8,
        max_unfinished: int = 64,
        admitted: CallLimits | None = None,
        decoding: Decoding | None = None,
        limits: ServerLimits | None = None,
        observer: Observer | None = None,
        keys: KeyRing | None = None,
        calls: CallObserver | None = None,
        between: Between = straight,
        **parts: Any,
    ) -> AsyncIterator[grpc.aio.Channel]:
        async def is_ready() -> bool:
            return ready

        defaults = {"models": ToyModels(), "scorers": {"brightness": ToyScorer(), "other": ToyScorer("other")}}
        execution = ExecutionLimits(retry_delay_s=0.0)
        observer = observer or Observer()

        def open_services() -> Services:
            return Services(**{**defaults, "limits": execution, "observer": observer, **parts})

        beginning = None
        if decoding is not None:
            beginning = Decoding(rules.decoder, at_once=1, memory=decoding.memory)
        async with engine_over(
            MessageCodec(rules, beginning),
            open_services,
            tmp_path,
            concurrency=ConcurrencyLimits(max_searches),
            limits=QueueLimits(max_unfinished, max_unfinished),
            observer=observer,
        ) as (engine, objects):
            servicer = SearchServicer(rules, engine, objects, open_services, decoding=decoding, observer=observer)
            server = SearchServer(
                servicer,
                address="127.0.0.1:0",
                is_ready=is_ready,
                limits=limits,
                admission=Admission(admitted or UNRATED),
                observer=observer,
                keys=keys,
                calls=calls,
            )
            await server.start()
            try:
                async with (
                    between(server.port) as port,
                    grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.enable_http_proxy", 0)]) as channel,
                ):
                    yield channel
            finally:
                await server.stop(lambda: engine.stop(0.0), rest_s=0.0)

    return run
