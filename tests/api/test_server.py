"""The service as a client meets it: events, errors, leaving, health, reflection. Over the toy landscape."""

import asyncio
import errno
import logging
import socket
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TypeVar

import grpc
import grpc.aio
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

from eacps.api import MessageCodec, Rules, SearchServer, SearchServicer, ServerLimits
from eacps.api.decoding import Decoding
from eacps.durable.protocols import ConcurrencyLimits
from eacps.errors import AddressUnavailable
from eacps.evaluation import Services
from eacps.imaging import content_hash, decode_picture
from eacps.testing import ToyModels
from eacps.triton import Generated, GenerateRequest
from eacps.v1 import search_service_pb2 as pb
from eacps.v1.search_service_pb2_grpc import SearchServiceStub
from tests.api.conftest import RULES, engine_over, events_in
from tests.api.wire import Wire

MakeRequest = Callable[..., pb.RunSearchRequest]
Serve = Callable[..., AbstractAsyncContextManager[grpc.aio.Channel]]

T = TypeVar("T")
DEADLINE_S = 5.0
"""Of a search: within it the prior is made, also on a busy machine."""


async def events_of(channel: grpc.aio.Channel, request: pb.RunSearchRequest) -> list[pb.SearchEvent]:
    return await events_in(SearchServiceStub(channel).RunSearch(request))


class Endless(ToyModels):
    """Never finishes, and says when it was begun and when it was cancelled."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.cancelled = asyncio.Event(), asyncio.Event()
        self.timeout_s: float | None = None

    async def generate(self, request: GenerateRequest, *, timeout_s: float | None = None) -> Generated:
        self.timeout_s = timeout_s
        self.begun.set()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return await super().generate(request)


class Slow(Decoding):
    """Takes a while for the first picture."""

    FIRST_S = 1.0

    async def run(self, work: Callable[[], T]) -> T:
        seconds, self.left_s = getattr(self, "left_s", self.FIRST_S), 0.0
        await asyncio.sleep(seconds)
        return await super().run(work)


class TestRunSearch:
    async def test_streams_numbered_events_to_the_end(self, serve: Serve, make_request: MakeRequest) -> None:
        async with serve() as channel:
            events = await events_of(channel, make_request())
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))
        assert [event.WhichOneof("event") for event in events] == [
            "started",
            "prior_ready",
            *["candidate_scored"] * 4,
            "round_finished",
            *["candidate_scored"] * 4,
            "round_finished",
            "finished",
        ]

    async def test_says_what_it_set_out_to_do(self, serve: Serve, make_request: MakeRequest) -> None:
        async with serve() as channel:
            started = (await events_of(channel, make_request()))[0].started
        assert started.planned_candidates == 8
        assert started.random_seed == 5
        assert (started.checkpoint, started.steps) == ("toy", 4)
        assert [(one.name, one.weight) for one in started.scorers] == [("brightness", 1.0)]
        assert len(started.search_id) == 32

    async def test_candidates_carry_what_replays_them(self, serve: Serve, make_request: MakeRequest) -> None:
        async with serve() as channel:
            events = await events_of(channel, make_request())
        scored = [event.candidate_scored for event in events if event.HasField("candidate_scored")]
        first = next(one for one in scored if one.candidate_id == "g0-000")
        assert [(term.seed, term.coefficient) for term in first.recipe.terms] == [(5, 1.0)]
        assert (first.generation, first.move, list(first.parents)) == (0, pb.MOVE_EXPLORE, [])
        child = next(one for one in scored if one.generation == 1)
        assert child.move == pb.MOVE_SPHERICAL
        assert len(child.parents) == 1
        assert sum(term.coefficient**2 for term in child.recipe.terms) == pytest.approx(1.0)
        assert all(decode_picture(one.thumbnail.data).shape == (32, 32, 3) for one in scored)
        assert all(one.evaluation.complete and not one.failure for one in scored)

    async def test_the_result_is_the_best_of_all(self, serve: Serve, make_request: MakeRequest) -> None:
        async with serve() as channel:
            events = await events_of(channel, make_request())
        scored = {one.candidate_scored.candidate_id: one.candidate_scored for one in events[2:-1]}
        finished = events[-1].finished
        best = scored[finished.best_candidate_id]
        assert content_hash(decode_picture(finished.best.data)) == best.picture_sha256
        assert finished.evaluation == best.evaluation
        assert finished.recipe == best.recipe
        assert finished.lineage[0] == finished.best_candidate_id
        assert set(finished.timings) == {"prepare", "generate", "score", "deliver", "total"}
        parts = {"eacps", "checkpoint", "noise", "noise_dtype", "triton", "scorer.brightness"}
        assert set(finished.versions) == parts
        assert list(finished.noise_shape) == [1, 2, 2]
        statistics = finished.statistics
        assert (statistics.candidates, statistics.failed, statistics.missing_scores) == (8, 0, 0)
        assert statistics.denoiser_evaluations == 8 * 4
        assert statistics.best_potential == best.evaluation.potential
        assert statistics.gain_over_first == pytest.approx(best.evaluation.potential - statistics.first_potential)
        assert statistics.gain_over_prior == pytest.approx(best.evaluation.potential - statistics.prior_potential)
        assert [one.n for one in statistics.expected_best] == [1, 2, 4]

    async def test_bad_input_is_named_by_field(self, serve: Serve) -> None:
        async with serve() as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await events_of(channel, pb.RunSearchRequest())
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "scene: is required" in str(caught.value.details())

    async def test_a_message_too_large_is_refused(self, serve: Serve, make_request: MakeRequest) -> None:
        async with serve() as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await events_of(channel, make_request(scene=pb.Image(data=bytes(20 * 2**20))))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


class TestCrowding:
    async def test_searches_beyond_the_limit_are_asked_to_come_again(
        self, serve: Serve, make_request: MakeRequest
    ) -> None:
        models = Endless()
        async with serve(models=models, max_unfinished=1) as channel:
            first = SearchServiceStub(channel).RunSearch(make_request())
            await first.read()
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await events_of(channel, make_request())
            first.cancel()
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        status = rpc_status.from_call(caught.value)
        assert status is not None
        assert any(detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR) for detail in status.details)

    async def test_a_search_that_waits_says_so_at_once(self, serve: Serve, make_request: MakeRequest) -> None:
        models = Endless()
        async with serve(models=models, max_searches=1) as channel:
            stub = SearchServiceStub(channel)
            first = stub.RunSearch(make_request())
            await first.read()
            await models.begun.wait()
            waiting = []
            for position in (1, 2):
                waiting.append(call := stub.RunSearch(make_request()))
                search = (await call.read()).search
                assert (search.state, search.queue_position) == (pb.SEARCH_STATE_QUEUED, position)
            found = await stub.GetSearch(pb.GetSearchRequest(search_id=search.search_id))
            assert found.search.queue_position == 2
            assert not found.search.HasField("start_time")
            first.cancel()
            assert (await waiting[0].read()).event.HasField("started")
            for call in waiting:
                call.cancel()

    async def test_a_search_that_ends_makes_room(self, serve: Serve, make_request: MakeRequest) -> None:
        async with serve(max_unfinished=1) as channel:
            with pytest.raises(grpc.aio.AioRpcError):
                await events_of(channel, pb.RunSearchRequest())
            for _ in range(2):
                assert (await events_of(channel, make_request()))[-1].HasField("finished")


class TestLeaving:
    async def test_a_client_that_leaves_ends_the_work(self, serve: Serve, make_request: MakeRequest) -> None:
        models = Endless()
        async with serve(models=models) as channel:
            call = SearchServiceStub(channel).RunSearch(make_request())
            await call.read()
            await models.begun.wait()
            call.cancel()
            async with asyncio.timeout(60):
                await models.cancelled.wait()

    async def test_a_deadline_reaches_the_models_and_ends_the_work(
        self, serve: Serve, make_request: MakeRequest
    ) -> None:
        models = Endless()
        async with serve(models=models) as channel:
            call = SearchServiceStub(channel).RunSearch(make_request(), timeout=DEADLINE_S)
            events = await events_in(call)
            assert events[-1].finished.stop_reason == pb.STOP_REASON_WALL_TIME
            async with asyncio.timeout(60):
                await models.cancelled.wait()
        assert models.timeout_s is not None
        assert 0 < models.timeout_s <= DEADLINE_S

    async def test_decoding_does_not_move_the_deadline(self, serve: Serve, make_request: MakeRequest) -> None:
        models = Endless()
        async with serve(models=models, decoding=Slow(RULES.decoder)) as channel:
            call = SearchServiceStub(channel).RunSearch(make_request(), timeout=10 * DEADLINE_S)
            await call.read()
            await models.begun.wait()
            call.cancel()
        assert models.timeout_s is not None
        assert models.timeout_s <= 10 * DEADLINE_S - Slow.FIRST_S

    async def test_a_client_that_falls_silent_ends_the_work(self, serve: Serve, make_request: MakeRequest) -> None:
        models, wire = Endless(), Wire()
        limits = ServerLimits(keepalive_interval_s=0.5, keepalive_timeout_s=0.5)
        async with serve(models=models, limits=limits, between=wire.to) as channel:
            call = SearchServiceStub(channel).RunSearch(make_request())
            await call.read()
            await models.begun.wait()
            wire.cut.set()
            async with asyncio.timeout(60):
                await models.cancelled.wait()
            call.cancel()

    async def test_stopping_the_server_ends_the_work(self, serve: Serve, make_request: MakeRequest) -> None:
        models = Endless()
        async with serve(models=models) as channel:
            call = SearchServiceStub(channel).RunSearch(make_request())
            await models.begun.wait()
        async with asyncio.timeout(60):
            await models.cancelled.wait()
        del call
        async with asyncio.timeout(60):
            while [task for task in asyncio.all_tasks() if task.get_name().startswith(("search", "health"))]:
                await asyncio.sleep(0.01)


async def test_a_port_that_is_taken_is_refused(tmp_path: Path) -> None:
    async def is_ready() -> bool:
        return True

    def open_services() -> Services:
        return Services(ToyModels(), {})

    rules = Rules(frozenset({"brightness"}))
    async with engine_over(MessageCodec(rules), open_services, tmp_path, concurrency=ConcurrencyLimits()) as (
        engine,
        objects,
    ):
        await see_refused(SearchServicer(rules, engine, objects, open_services), is_ready)


async def see_refused(servicer: SearchServicer, is_ready: Callable[[], Awaitable[bool]]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(AddressUnavailable, match=f"cannot listen on {address}"):
            SearchServer(servicer, address=address, is_ready=is_ready)


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip], ids=["plain", "gzip"])
async def test_a_message_that_is_too_large_is_refused_by_its_size(serve: Serve, compression: grpc.Compression) -> None:
    large = pb.CreateSearchRequest(search=pb.RunSearchRequest(prompt="x" * 14 * 2**20))
    chunk = pb.UploadImageRequest(chunk=bytes(14 * 2**20))
    async with serve() as channel:
        stub = SearchServiceStub(channel)
        calls = (
            stub.CreateSearch(large, timeout=60, compression=compression),
            stub.UploadImage(iter([chunk]), timeout=60, compression=compression),
        )
        for call in calls:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_only_callers_who_left_are_kept_from_the_log_of_grpc(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    async with serve():
        log = logging.getLogger("grpc._cython.cygrpc")
        log.error("the status could not be sent", exc_info=grpc.aio.InternalError("the call is over"))
        log.error("a bug", exc_info=ValueError())
        log.error("wrong use of gRPC", exc_info=grpc.aio.UsageError("the status was sent already"))
    errors = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert errors == ["a bug", "wrong use of gRPC"]


@pytest.mark.parametrize("name", ["baggage", "traceparent", "tracestate"])
async def test_metadata_of_a_call_is_no_warning(serve: Serve, caplog: pytest.LogCaptureFixture, name: str) -> None:
    metadata = ((name, ",".join(f"k{index}=%ff" for index in range(500))),)
    with caplog.at_level(logging.INFO):
        async with serve() as channel:
            await SearchServiceStub(channel).GetCapabilities(pb.GetCapabilitiesRequest(), metadata=metadata, timeout=60)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


class Exhausted(ToyModels):
    """Finds no descriptor left at first."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    async def generate(self, request: GenerateRequest, *, timeout_s: float | None = None) -> Generated:
        self.calls += 1
        if self.calls == 1:
            raise OSError(errno.EMFILE, "Too many open files")
        return await super().generate(request, timeout_s=timeout_s)


async def test_a_search_goes_on_when_there_are_descriptors_again(serve: Serve, make_request: MakeRequest) -> None:
    models = Exhausted()
    async with serve(models=models) as channel:
        stub = SearchServiceStub(channel)
        created = await stub.CreateSearch(pb.CreateSearchRequest(search=make_request()), timeout=60)
        watch = stub.WatchSearch(pb.WatchSearchRequest(search_id=created.search.search_id), timeout=60)
        assert [one.event.WhichOneof("event") async for one in watch][-1] == "finished"
    assert models.calls > 1


class TestHealth:
    @pytest.mark.parametrize("service", ["", "eacps.v1.SearchService"])
    @pytest.mark.parametrize("ready", [True, False])
    async def test_follows_readiness(self, serve: Serve, service: str, ready: bool) -> None:
        async with serve(ready=ready) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            answer = await health.Check(health_pb2.HealthCheckRequest(service=service))
        kind = health_pb2.HealthCheckResponse
        assert answer.status == (kind.SERVING if ready else kind.NOT_SERVING)

    async def test_an_unknown_service_is_not_found(self, serve: Serve) -> None:
        async with serve() as channel:
            health = health_pb2_grpc.HealthStub(channel)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await health.Check(health_pb2.HealthCheckRequest(service="eacps.v2.SearchService"))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_reflection_describes_the_service(serve: Serve) -> None:
    async with serve() as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        requests = [
            reflection_pb2.ServerReflectionRequest(list_services=""),
            reflection_pb2.ServerReflectionRequest(file_containing_symbol="eacps.v1.SearchService"),
        ]
        services, files = [answer async for answer in stub.ServerReflectionInfo(iter(requests))]
    names = {service.name for service in services.list_services_response.service}
    assert {"eacps.v1.SearchService", "grpc.health.v1.Health"} <= names
    file = FileDescriptorProto.FromString(files.file_descriptor_response.file_descriptor_proto[0])
    assert file.package == "eacps.v1"
