"""A judge elsewhere that is slow, overloaded, garbled or gone: the policy, as results and metrics show it."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import grpc.aio
import httpx2
import pytest

from eacps.metrics import SearchMetrics
from eacps.scoring import PictureJudge, load_question
from eacps.scoring.judge import RetryPolicy
from eacps.scoring.moondream_provider import MoondreamProvider
from eacps.scoring.provider_limiter import CircuitBreaker, ProviderLimiter
from eacps.testing import ToyScorer
from eacps.v1 import search_service_pb2 as pb
from eacps.v1.search_service_pb2_grpc import SearchServiceStub
from tests.api.conftest import RULES, events_in
from tests.api.test_metrics import scraped
from tests.scoring.endpoint import Endpoint, Reply, listening, send

MakeRequest = Callable[..., pb.RunSearchRequest]
Serve = Callable[..., AbstractAsyncContextManager[grpc.aio.Channel]]
YES = b'{"answer": "Yes"}'
NAME = "other"  # as the toy rules call their second scorer


def drop(handler: Any, _: int) -> None:
    """Hang up without an answer."""
    handler.close_connection = True
    handler.connection.close()


FAULTS: dict[str, Reply] = {
    "overloaded": lambda handler, _: send(handler, 429, b"{}", retry_after="0"),
    "failing": lambda handler, _: send(handler, 500, b"{}"),
    "garbled": lambda handler, _: send(handler, 200, b"\x00\xffgarbage"),
    "slow": lambda handler, _: (time.sleep(0.6), send(handler, 200, YES))[1],
    "gone": drop,
}


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with listening(Endpoint(lambda handler, _: send(handler, 200, YES))) as opened:
        yield opened


async def searched(
    serve: Serve, request: pb.RunSearchRequest, endpoint: Endpoint, metrics: SearchMetrics
) -> list[pb.SearchEvent]:
    """Run a search that a judge at the endpoint has a say in."""
    async with httpx2.AsyncClient(timeout=0.3, trust_env=False) as client:
        limiter = ProviderLimiter(4, breaker=CircuitBreaker(failures=6, pause_s=60.0))
        retry_policy = RetryPolicy(attempts=2, first_s=0.0)
        provider = MoondreamProvider(client, base_url=endpoint.url)
        judge = PictureJudge(provider, load_question("realism"), limiter=limiter, retry_policy=retry_policy)
        judge.name = NAME
        async with serve(observer=metrics, scorers={"brightness": ToyScorer(), NAME: judge}) as channel:
            call = SearchServiceStub(channel).RunSearch(request, timeout=60)
            return await events_in(call)


@pytest.fixture
def request_with_judge(make_request: MakeRequest) -> pb.RunSearchRequest:
    assert NAME in RULES.scorers
    scorers = [pb.ScorerSettings(name=name, weight=1.0) for name in ("brightness", NAME)]
    return make_request(scorers=scorers, search=pb.SearchSettings(best_of_n={"trajectories": 8}))


@pytest.mark.parametrize("fault", FAULTS)
async def test_its_scores_are_missing_flagged_and_counted_and_it_is_not_asked_for_ever(
    serve: Serve, request_with_judge: pb.RunSearchRequest, endpoint: Endpoint, fault: str
) -> None:
    endpoint.reply, metrics = FAULTS[fault], SearchMetrics()
    events = await searched(serve, request_with_judge, endpoint, metrics)
    scored = [event.candidate_scored for event in events if event.HasField("candidate_scored")]
    assert len(scored) == 8
    for one in scored:
        (missing,) = [score for score in one.evaluation.scores if not score.HasField("value")]
        assert missing.scorer == NAME
        assert missing.failure
        assert not one.evaluation.complete
        assert 0 <= one.evaluation.potential <= 0.5  # the lower bound: half of the weight is unknown
    finished = events[-1].finished
    assert finished.statistics.missing_scores >= 8
    assert scraped(metrics)[f"eacps_scorer_failures_total{{scorer={NAME}}}"] >= 8
    if fault == "garbled":  # it answers, so that it is asked about every picture, and again
        assert len(endpoint.bodies) >= 16
    else:
        assert len(endpoint.bodies) <= 12, "after six failures in a row nobody is asked any more"


async def test_one_that_recovers_is_heard(
    serve: Serve, request_with_judge: pb.RunSearchRequest, endpoint: Endpoint
) -> None:
    endpoint.reply = lambda handler, n: send(handler, 503 if n % 3 == 1 else 200, YES)
    events = await searched(serve, request_with_judge, endpoint, SearchMetrics())
    complete = [e.candidate_scored.evaluation.complete for e in events if e.HasField("candidate_scored")]
    assert sum(complete) >= 4
