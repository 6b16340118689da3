"""Hostile requests over a real server: every one a documented error of the caller, quickly, and no memory lost."""

import gc
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any

import grpc
import grpc.aio
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eacps.imaging.workers import DecodingWorkers
from eacps.v1 import search_service_pb2 as pb
from eacps.v1.search_service_pb2_grpc import SearchServiceStub
from tests.api import hostile
from tests.api.conftest import RULES

MakeRequest = Callable[..., pb.RunSearchRequest]
Serve = Callable[..., AbstractAsyncContextManager[grpc.aio.Channel]]
LONGEST_S = 1.0
MOST_GROWTH = 48 * 2**20
"""Of the server's memory, over the second half of a corpus that was sent before."""
RUN, CREATE = "/eacps.v1.SearchService/RunSearch", "/eacps.v1.SearchService/CreateSearch"


@pytest.fixture
async def channel(serve: Serve) -> AsyncIterator[grpc.aio.Channel]:
    """To a server that decodes as in production."""
    with DecodingWorkers(2) as workers:
        async with serve(rules=replace(RULES, decoder=workers)) as opened:
            yield opened


def raw(channel: grpc.aio.Channel, method: str) -> Any:
    """A call of bytes."""
    return channel.unary_stream(method) if method == RUN else channel.unary_unary(method)


async def status_of(call: Any) -> grpc.StatusCode:
    """How a call ends."""
    try:
        if hasattr(call, "__aiter__"):
            async for _ in call:
                pass
        else:
            await call
    except grpc.aio.AioRpcError as exc:
        return exc.code()
    return grpc.StatusCode.OK


def corpus(make_request: MakeRequest) -> list[tuple[str, bytes]]:
    """All of it, as bytes of a request for a search."""
    good = make_request().SerializeToString()
    cases = [
        (f"{field}: {name}", make_request(**{field: pb.Image(data=data)}).SerializeToString())
        for field in ("scene", "mask")
        for name, data in hostile.pictures()
    ]
    cases += [(name, make_request(**fields).SerializeToString()) for name, fields in hostile.settings()]
    return cases + list(hostile.messages(good))


async def test_every_one_is_an_error_of_the_caller_and_quickly_said(
    channel: grpc.aio.Channel, make_request: MakeRequest
) -> None:
    cases = corpus(make_request)
    assert len(cases) >= 200
    slow, wrong = {}, {}
    for name, data in cases:
        begun = time.monotonic()
        code = await status_of(raw(channel, RUN)(data, timeout=60))
        if (took := time.monotonic() - begun) > LONGEST_S:
            slow[name] = took
        if code is not grpc.StatusCode.INVALID_ARGUMENT:
            wrong[name] = code.name
    assert wrong == {}
    assert len(slow) <= len(cases) // 100, slow  # a machine that pauses is no fault of ours


async def test_no_memory_is_lost(channel: grpc.aio.Channel, make_request: MakeRequest) -> None:
    cases, process = corpus(make_request), psutil.Process()

    async def send_all() -> int:
        for _, data in cases:
            await status_of(raw(channel, RUN)(data, timeout=60))
        gc.collect()
        return int(process.memory_info().rss)

    await send_all()  # what is loaded once is loaded now
    before = await send_all()
    assert await send_all() - before < MOST_GROWTH


async def test_a_good_request_is_answered_after_all_of_them(
    channel: grpc.aio.Channel, make_request: MakeRequest
) -> None:
    for _, data in hostile.pictures():
        await status_of(SearchServiceStub(channel).RunSearch(make_request(scene=pb.Image(data=data)), timeout=60))
    assert await status_of(SearchServiceStub(channel).RunSearch(make_request(), timeout=60)) is grpc.StatusCode.OK


NUMBERS = st.one_of(st.integers(-(2**31), 2**31 - 1), st.sampled_from((0, 1, -1, 2**31 - 1, -(2**31))))
REALS = st.one_of(st.floats(), st.sampled_from(hostile.REALS))
SEARCHES = st.one_of(
    st.builds(
        lambda counts, reals: pb.SearchSettings(eacps={**counts, "spherical": reals}),
        st.dictionaries(st.sampled_from(("global_candidates", "parents")), NUMBERS),
        st.dictionaries(st.sampled_from(("angle", "angle_decay")), REALS),
    ),
    st.builds(
        lambda counts, share: pb.SearchSettings(eacps_adaptive={**counts, "fresh_share": share}),
        st.dictionaries(st.sampled_from(("trajectories", "rounds")), NUMBERS),
        REALS,
    ),
    st.builds(
        lambda number, seed: pb.SearchSettings(best_of_n={"trajectories": number}, random_seed=seed),
        NUMBERS,
        st.integers(0, 2**32 - 1),
    ),
)
DOCUMENTED = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.OK}


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(prompt=st.text(max_size=40), search=SEARCHES, picture=st.binary(max_size=300), name=st.text(max_size=20))
async def test_whatever_is_asked_for_is_refused_by_a_documented_error(
    channel: grpc.aio.Channel, prompt: str, search: pb.SearchSettings, picture: bytes, name: str
) -> None:
    """With a scene that is no picture nothing can be accepted, whatever else is said."""
    image = pb.Image(data=picture)
    request = pb.RunSearchRequest(scene=image, character=image, prompt=prompt, search=search, request_id=name)
    stub = SearchServiceStub(channel)
    created = stub.CreateSearch(pb.CreateSearchRequest(search=request), timeout=60)
    assert await status_of(created) is grpc.StatusCode.INVALID_ARGUMENT
    found = stub.GetSearch(pb.GetSearchRequest(search_id=prompt), timeout=60)
    assert await status_of(found) is grpc.StatusCode.NOT_FOUND
    listed = stub.ListSearches(pb.ListSearchesRequest(page_token=name, labels={name: prompt}), timeout=60)
    assert await status_of(listed) in DOCUMENTED


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200))
async def test_whatever_bytes_come_are_refused_by_a_documented_error(channel: grpc.aio.Channel, data: bytes) -> None:
    for method in (RUN, CREATE):
        assert await status_of(raw(channel, method)(data, timeout=60)) is grpc.StatusCode.INVALID_ARGUMENT
