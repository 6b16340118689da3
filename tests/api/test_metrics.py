"""Metrics of a real server over the toy landscape, read as Prometheus reads them."""

import asyncio
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import grpc.aio
import pytest
from prometheus_client.parser import text_string_to_metric_families

from eacps.api.server import SEARCH_SERVICE, STREAM_METHODS, UPLOAD_METHODS
from eacps.errors import AddressUnavailable
from eacps.metrics import CallMetrics, SearchMetrics, describe_process, exposed
from eacps.testing import ToyModels, ToyScorer
from eacps.triton.types import Generated, GenerateRequest
from eacps.v1 import search_service_pb2 as pb
from eacps.v1.search_service_pb2_grpc import SearchServiceStub
from tests.api.conftest import UNRATED, Serve, events_in

MakeRequest = Callable[..., pb.RunSearchRequest]


def scraped(metrics: SearchMetrics) -> dict[str, float]:
    """Every sample by name and labels, such as ``eacps_candidates_total{outcome=scored}``."""
    with exposed(metrics, "127.0.0.1:0") as port:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{port}/metrics", timeout=5) as response:
            text = response.read().decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {
        f"{one.name}{{{','.join(f'{k}={v}' for k, v in sorted(one.labels.items()))}}}": one.value for one in samples
    }


async def run(channel: grpc.aio.Channel, request: pb.RunSearchRequest) -> list[pb.SearchEvent]:
    return await events_in(SearchServiceStub(channel).RunSearch(request, timeout=60))


class Hanging(ToyModels):
    async def generate(self, request: GenerateRequest, *, timeout_s: float | None = None) -> Generated:
        await asyncio.sleep(30)
        raise AssertionError


async def test_a_finished_search_is_counted_with_all_that_it_took(serve: Serve, make_request: MakeRequest) -> None:
    metrics = SearchMetrics()
    async with serve(observer=metrics) as channel:
        finished = (await run(channel, make_request()))[-1].finished
    found = scraped(metrics)
    assert found["eacps_searches_running{}"] == 0
    assert found["eacps_searches_total{outcome=finished,reason=}"] == 1
    assert found["eacps_candidates_total{outcome=scored}"] == 8
    assert found["eacps_denoiser_evaluations_total{}"] == finished.spent.denoiser_evaluations > 0
    assert found["eacps_pictures_total{}"] == 8
    assert found["eacps_search_seconds_count{}"] == 1
    assert found["eacps_search_gain_sum{}"] == pytest.approx(finished.statistics.gain_over_first)
    assert found["eacps_stage_seconds_count{stage=generate}"] == 4
    assert found["eacps_stage_seconds_count{stage=prepare}"] == 1
    assert found["eacps_triton_ready{}"] == 1


async def test_the_work_of_a_cancelled_search_is_counted(serve: Serve, make_request: MakeRequest) -> None:
    class OneBatch(ToyModels):
        calls = 0

        async def generate(self, request: GenerateRequest, *, timeout_s: float | None = None) -> Generated:
            self.calls += 1
            if self.calls > 1:
                await asyncio.Event().wait()
            return await super().generate(request, timeout_s=timeout_s)

    metrics = SearchMetrics()
    async with serve(observer=metrics, models=OneBatch()) as channel:
        call = SearchServiceStub(channel).RunSearch(make_request(sampler=pb.SamplerSettings(steps=5)), timeout=60)
        scored = 0
        while scored < 2:  # a micro-batch
            scored += (await call.read()).event.HasField("candidate_scored")
        call.cancel()
        async with asyncio.timeout(60):
            while not scraped(metrics).get("eacps_searches_total{outcome=cancelled,reason=}"):
                await asyncio.sleep(0.02)
    found = scraped(metrics)
    assert found["eacps_pictures_total{}"] == 2
    assert found["eacps_denoiser_evaluations_total{}"] == 2 * 5


async def test_waiting_for_a_slot_and_for_the_database_is_measured(serve: Serve, make_request: MakeRequest) -> None:
    metrics = SearchMetrics()
    async with serve(observer=metrics) as channel:
        for _ in range(3):
            await run(channel, make_request())
    found = scraped(metrics)
    assert found["eacps_search_queue_seconds_count{}"] == 3
    assert found["eacps_database_seconds_count{kind=write}"] > 3
    assert found["eacps_database_seconds_count{kind=read}"] > 3


async def test_scores_that_cannot_be_had_are_counted_by_scorer(serve: Serve, make_request: MakeRequest) -> None:
    class Silenced(ToyScorer):
        async def score(self, *_: Any) -> dict[str, float]:
            return {}

    metrics, scorers = SearchMetrics(), {"brightness": ToyScorer(), "other": Silenced("other")}
    asked = [pb.ScorerSettings(name="brightness", weight=1), pb.ScorerSettings(name="other", weight=1)]
    async with serve(observer=metrics, scorers=scorers) as channel:
        await run(channel, make_request(scorers=asked))
    assert scraped(metrics)["eacps_scorer_failures_total{scorer=other}"] == 8


async def test_failed_cancelled_and_refused_searches_are_told_apart(serve: Serve, make_request: MakeRequest) -> None:
    metrics = SearchMetrics()
    async with serve(observer=metrics, models=ToyModels(sees_faces=False)) as channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await run(channel, make_request())
    async with serve(observer=metrics, models=Hanging(), max_unfinished=1) as channel:
        call = SearchServiceStub(channel).RunSearch(make_request(), timeout=60)
        while not (await call.read()).event.HasField("started"):
            pass
        assert scraped(metrics)["eacps_searches_running{}"] == 1
        with pytest.raises(grpc.aio.AioRpcError):
            await run(channel, make_request())
        call.cancel()
        async with asyncio.timeout(60):
            while scraped(metrics)["eacps_searches_running{}"]:
                await asyncio.sleep(0.02)
    found = scraped(metrics)
    assert found["eacps_searches_total{outcome=failed,reason=no_face_found}"] == 1
    assert found["eacps_searches_total{outcome=refused,reason=too_many_searches}"] == 1
    assert found["eacps_searches_total{outcome=cancelled,reason=}"] == 1


async def test_a_request_at_fault_is_a_refused_search(serve: Serve, make_request: MakeRequest) -> None:
    metrics = SearchMetrics()
    async with serve(observer=metrics) as channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await run(channel, make_request(prompt=""))
    assert scraped(metrics)["eacps_searches_total{outcome=refused,reason=invalid_request}"] == 1


def test_kept_searches_are_counted_by_state() -> None:
    metrics = SearchMetrics()
    metrics.counted({"queued": 2, "running": 1})
    metrics.counted({"queued": 0, "running": 3})
    found = scraped(metrics)
    assert (found["eacps_searches_kept{state=queued}"], found["eacps_searches_kept{state=running}"]) == (0, 3)


async def test_readiness_follows_triton(serve: Serve) -> None:
    metrics = SearchMetrics()
    async with serve(observer=metrics, ready=False):
        assert scraped(metrics)["eacps_triton_ready{}"] == 0


def test_an_address_that_is_taken_is_named() -> None:
    with (
        exposed(SearchMetrics(), "127.0.0.1:0") as port,
        pytest.raises(AddressUnavailable, match=f"cannot serve metrics on 127.0.0.1:{port}"),
        exposed(SearchMetrics(), f"127.0.0.1:{port}"),
    ):
        pass


async def test_calls_are_counted_by_method_and_code(serve: Serve, make_request: MakeRequest) -> None:
    metrics = SearchMetrics()
    calls = CallMetrics(metrics.registry, service=SEARCH_SERVICE, streams=STREAM_METHODS, uploads=UPLOAD_METHODS)
    async with serve(calls=calls, models=Hanging(), admitted=replace(UNRATED, pictures=0)) as channel:
        stub = SearchServiceStub(channel)
        for search_id in ("0" * 32, "none"):
            with pytest.raises(grpc.aio.AioRpcError):
                await stub.GetSearch(pb.GetSearchRequest(search_id=search_id))
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.PreparePrior(pb.PreparePriorRequest())
        await stub.ListSearches(pb.ListSearchesRequest())
        call = stub.RunSearch(make_request(), timeout=60)
        await call.read()
        call.cancel()
        async with asyncio.timeout(60):
            while "grpc_code=Canceled" not in " ".join(scraped(metrics)):
                await asyncio.sleep(0.02)
    found = scraped(metrics)
    named = "grpc_method={},grpc_service=eacps.v1.SearchService,grpc_type={}"
    for kind, method, code, count in (
        ("unary", "GetSearch", "NotFound", 2),
        ("unary", "ListSearches", "OK", 1),
        ("unary", "PreparePrior", "ResourceExhausted", 1),
        ("server_stream", "RunSearch", "Canceled", 1),
    ):
        labels = named.format(method, kind)
        assert found[f"grpc_server_handled_total{{grpc_code={code},{labels}}}"] == count
        assert found[f"grpc_server_started_total{{{labels}}}"] == count
        assert found[f"grpc_server_handling_seconds_count{{{labels}}}"] == count


def test_the_process_and_its_build_are_described() -> None:
    metrics = SearchMetrics()
    describe_process(metrics.registry, version="1.2", checkpoint="toy@0123", triton="2.51")
    found = scraped(metrics)
    assert found["eacps_build_info{checkpoint=toy@0123,triton=2.51,version=1.2}"] == 1
    assert found["process_resident_memory_bytes{}"] > 2**20
    assert found["process_open_fds{}"] > 3
