"""Metrics of a real server over the toy landscape, read as Prometheus reads them."""

import asyncio
import urllib.request
from collections.abc import Callable
from typing import Any

import grpc.aio
import pytest
from prometheus_client.parser import text_string_to_metric_families

from eacps.errors import NoFaceFound
from eacps.evaluation.toy import ToyModels, ToyScorer
from eacps.metrics import SearchMetrics, exposed
from eacps.triton.types import Generated, GenerateRequest, Prior
from eacps.v1 import search_service_pb2 as pb
from eacps.v1.search_service_pb2_grpc import SearchServiceStub
from tests.api.conftest import Serve

MakeRequest = Callable[..., pb.RunSearchRequest]


def scraped(metrics: SearchMetrics) -> dict[str, float]:
    """Every sample by name and labels, such as ``eacps_candidates_total{kind=final,outcome=scored}``."""
    with exposed(metrics, "127.0.0.1:0") as port:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{port}/metrics", timeout=5) as response:
            text = response.read().decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {f"{one.name}{{{','.join(f'{k}={v}' for k, v in one.labels.items())}}}": one.value for one in samples}


async def run(channel: grpc.aio.Channel, request: pb.RunSearchRequest) -> list[pb.SearchEvent]:
    return [response.event async for response in SearchServiceStub(channel).RunSearch(request, timeout=30)]


class Hanging(ToyModels):
    async def generate(self, request: GenerateRequest, *, timeout_s: float | None = None) -> Generated:
        await asyncio.sleep(30)
        raise AssertionError


class Faceless(ToyModels):
    async def prepare_prior(self, *_: Any, **__: Any) -> Prior:
        raise NoFaceFound("scene")


async def test_a_finished_search_is_counted_with_all_that_it_took(serve: Serve, make_request: MakeRequest) -> None:
    metrics = SearchMetrics()
    async with serve(observer=metrics) as channel:
        finished = (await run(channel, make_request()))[-1].finished
    found = scraped(metrics)
    assert found["eacps_searches_running{}"] == 0
    assert found["eacps_searches_total{outcome=finished,reason=}"] == 1
    assert found["eacps_candidates_total{kind=final,outcome=scored}"] == 8
    assert found["eacps_denoiser_evaluations_total{}"] == finished.spent.denoiser_evaluations > 0
    assert found["eacps_pictures_total{}"] == 8
    assert found["eacps_search_seconds_count{}"] == 1
    assert found["eacps_search_gain_sum{}"] == pytest.approx(finished.statistics.gain_over_first)
    assert found["eacps_stage_seconds_count{stage=generate}"] == 4
    assert found["eacps_stage_seconds_count{stage=prepare}"] == 1
    assert found["eacps_triton_ready{}"] == 1


async def test_previews_are_told_from_final_pictures(serve: Serve, make_request: MakeRequest) -> None:
    metrics = SearchMetrics()
    pruning = pb.PruningSettings(mode=pb.PRUNING_MODE_FIXED, rungs=[pb.PruningRung(steps_share=0.5, kept_share=0.5)])
    search = pb.SearchSettings(strategy=pb.STRATEGY_BEST_OF_N, global_candidates=6, random_seed=5, pruning=pruning)
    async with serve(observer=metrics) as channel:
        await run(channel, make_request(search=search))
    found = scraped(metrics)
    assert found["eacps_candidates_total{kind=preview,outcome=scored}"] == 8
    assert found["eacps_candidates_total{kind=final,outcome=scored}"] == 4


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
    async with serve(observer=metrics, models=Faceless()) as channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await run(channel, make_request())
    async with serve(observer=metrics, models=Hanging(), max_unfinished=1) as channel:
        call = SearchServiceStub(channel).RunSearch(make_request(), timeout=30)
        await call.read()
        assert scraped(metrics)["eacps_searches_running{}"] == 1
        with pytest.raises(grpc.aio.AioRpcError):
            await run(channel, make_request())
        call.cancel()
        async with asyncio.timeout(10):
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
        pytest.raises(RuntimeError, match=f"cannot serve metrics on 127.0.0.1:{port}"),
        exposed(SearchMetrics(), f"127.0.0.1:{port}"),
    ):
        pass
