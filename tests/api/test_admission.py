"""Limits on every call, as callers meet them: refused at once, told whose limit it is and when to come again."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import grpc
import grpc.aio
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from eacps.api import KeyRing
from eacps.api.access import key_digest
from eacps.api.admission import KINDS, Admission, CallKind, CallLimits
from eacps.api.decoding import Decoding
from eacps.api.server import SEARCH_SERVICE
from eacps.arrays import UInt8
from eacps.errors import TooManyCalls
from eacps.imaging import LocalDecoder
from eacps.testing import ToyModels
from eacps.v1 import search_service_pb2 as pb
from eacps.v1.search_service_pb2_grpc import SearchServiceStub
from tests.api.conftest import UNRATED, Serve
from tests.api.test_stored_searches import ADA, BOB, KEYS, Gated, chunked, create, watched

MakeRequest = Callable[..., pb.RunSearchRequest]
TINY = replace(UNRATED, reads=2, streams=4, receiving=4, tenant_share=0.5, request_timeout_s=1.0)
HEALTH_CHECK = "/grpc.health.v1.Health/Check"
NOBODY = pb.GetSearchRequest(search_id="0" * 32)


def raw(channel: grpc.aio.Channel, method: str) -> Any:
    """A call of a method, by default of the search service's, that sends nothing by itself."""
    return channel.stream_unary(method if method.startswith("/") else f"/{SEARCH_SERVICE}/{method}")


async def answer_of(call: Any) -> Any:
    return [one async for one in call] if hasattr(call, "__aiter__") else await call


async def failure_of(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await answer_of(call)
    return caught.value


def details_of(error: grpc.aio.AioRpcError) -> dict[str, Any]:
    status = rpc_status.from_call(error)
    assert status is not None
    found = {}
    for kind in (error_details_pb2.ErrorInfo, error_details_pb2.QuotaFailure, error_details_pb2.RetryInfo):
        for detail in status.details:
            message = kind()
            if detail.Unpack(message):
                found[kind.__name__] = message
    return found


async def admitted(call: Callable[[], Any]) -> Any:
    """Call until a slot is free, which those who have left give back in their own time; return the first answer."""
    async with asyncio.timeout(60):
        while True:
            stream = call()
            try:
                return await stream.read()
            except grpc.aio.AioRpcError as exc:
                if exc.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                    raise
                await asyncio.sleep(0.02)
            finally:
                stream.cancel()


async def silent(channel: grpc.aio.Channel, method: str, count: int, metadata: Any) -> list[Any]:
    """Open calls and send nothing."""

    async def nothing() -> AsyncIterator[bytes]:
        await asyncio.sleep(3600)
        yield b""

    calls = [raw(channel, method)(nothing(), metadata=metadata) for _ in range(count)]
    for call in calls:
        await call.wait_for_connection()
    await asyncio.sleep(0.2)
    return calls


def test_every_call_is_of_a_kind_and_every_kind_has_a_limit() -> None:
    methods = {f"/{SEARCH_SERVICE}/{one.name}" for one in pb.DESCRIPTOR.services_by_name["SearchService"].methods}
    assert {method for method in KINDS if method.startswith(f"/{SEARCH_SERVICE}/")} == methods
    assert set(CallLimits().answered) == set(CallKind)


@pytest.mark.parametrize("method", ["GetSearch", "CreateSearch", "PreparePrior", "UploadImage"])
async def test_silent_calls_keep_nobody_else_waiting(serve: Serve, make_request: MakeRequest, method: str) -> None:
    request = make_request()
    async with serve(admitted=replace(TINY, request_timeout_s=30.0), keys=KEYS) as channel:
        stub = SearchServiceStub(channel)
        calls = await silent(channel, method, 12, ADA)
        begun = time.monotonic()
        await stub.ListSearches(pb.ListSearchesRequest(), metadata=BOB, timeout=60)
        prior = pb.PreparePriorRequest(scene=request.scene, character=request.character)
        assert (await stub.PreparePrior(prior, metadata=BOB, timeout=60)).prior.data
        assert await create(stub, request, metadata=BOB)
        assert time.monotonic() - begun < 8
        for call in calls:
            call.cancel()


async def test_a_request_that_does_not_come_times_out(serve: Serve) -> None:
    async with serve(admitted=TINY) as channel:
        (call,) = await silent(channel, "GetSearch", 1, ())
        error = await failure_of(call)
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        missing = await failure_of(raw(channel, "GetSearch")(iter(())))
    assert missing.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_refusal_says_whose_limit_it_is_and_when_to_come_again(serve: Serve, make_request: MakeRequest) -> None:
    async with serve(models=Gated(), admitted=TINY, keys=KEYS) as channel:
        stub = SearchServiceStub(channel)
        searches = [await create(stub, make_request(), metadata=who) for who in (ADA, BOB)]

        def watch(search: pb.Search, metadata: Any) -> Any:
            return stub.WatchSearch(pb.WatchSearchRequest(search_id=search.search_id), metadata=metadata, timeout=60)

        held = [watch(searches[0], ADA) for _ in range(2)]
        for call in held:
            await call.read()
        errors = [await failure_of(watch(searches[0], ADA)) for _ in range(4)]
        assert {error.code() for error in errors} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
        details = [details_of(error) for error in errors]
        assert details[0]["ErrorInfo"].reason == "TOO_MANY_CALLS"
        assert [one.subject for one in details[0]["QuotaFailure"].violations] == ["tenant:ada"]
        delays = [one["RetryInfo"].retry_delay.ToTimedelta().total_seconds() for one in details]
        assert all(0.4 < delay < 1.6 for delay in delays)
        assert len(set(delays)) == 4, "callers that are refused together do not come back together"
        held += [watch(searches[1], BOB) for _ in range(2)]
        for call in held[2:]:
            await call.read()
        for call in held:
            call.cancel()
        assert (await admitted(lambda: watch(searches[0], ADA))).event.sequence == 1


async def test_a_limit_of_the_server_is_its_own(serve: Serve, make_request: MakeRequest) -> None:
    async with serve(models=Gated(), admitted=replace(TINY, streams=1, tenant_share=1.0), keys=KEYS) as channel:
        stub = SearchServiceStub(channel)
        waiting = stub.RunSearch(make_request(), metadata=ADA, timeout=60)
        await waiting.read()
        refused = details_of(await failure_of(stub.RunSearch(make_request(), metadata=BOB, timeout=60)))
        waiting.cancel()
    assert [one.subject for one in refused["QuotaFailure"].violations] == ["server"]


async def test_searches_that_are_waited_for_do_not_hold_the_slots_of_submissions(
    serve: Serve, make_request: MakeRequest
) -> None:
    limits = replace(UNRATED, submissions=1)
    async with serve(models=Gated(), admitted=limits) as channel:
        stub = SearchServiceStub(channel)
        calls = []
        for _ in range(3):
            calls.append(stub.RunSearch(make_request(), timeout=60))
            await calls[-1].read()
        assert await create(stub, make_request())
        for call in calls:
            call.cancel()


async def test_who_reads_too_often_is_told_when_to_read_again(serve: Serve) -> None:
    async with serve(admitted=CallLimits(reads_per_second=0.01)) as channel:  # one, and none after it for long
        stub = SearchServiceStub(channel)
        errors = [await failure_of(stub.GetSearch(NOBODY, timeout=60)) for _ in range(2)]
        assert [error.code() for error in errors] == [grpc.StatusCode.NOT_FOUND, grpc.StatusCode.RESOURCE_EXHAUSTED]
        assert 0 < details_of(errors[1])["RetryInfo"].retry_delay.ToTimedelta().total_seconds() <= 150


async def test_all_tenants_together_have_a_limit(serve: Serve) -> None:
    limits = replace(UNRATED, all_reads_per_second=0.01, reads_per_second=1000.0)  # one, and none after it for long
    async with serve(admitted=limits, keys=KEYS) as channel:
        stub = SearchServiceStub(channel)
        first = await failure_of(stub.GetSearch(NOBODY, metadata=ADA, timeout=60))
        second = await failure_of(stub.GetSearch(NOBODY, metadata=BOB, timeout=60))
    assert first.code() is grpc.StatusCode.NOT_FOUND
    assert second.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    details = details_of(second)
    assert [one.subject for one in details["QuotaFailure"].violations] == ["server"]
    assert details["RetryInfo"].retry_delay.ToTimedelta().total_seconds() > 25


async def test_of_a_flood_as_much_is_answered_as_the_limits_say(serve: Serve) -> None:
    limits, offered = CallLimits(), 800
    async with serve(admitted=limits) as channel:
        stub = SearchServiceStub(channel)
        begun = time.monotonic()
        errors = await asyncio.gather(*(failure_of(stub.GetSearch(NOBODY, timeout=60)) for _ in range(offered)))
        took_s = time.monotonic() - begun
    answered = [error for error in errors if error.code() is grpc.StatusCode.NOT_FOUND]
    refused = [error for error in errors if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED]
    assert len(answered) + len(refused) == offered
    assert limits.reads_per_second is not None
    assert 0 < len(answered) <= limits.reads_per_second * (2.0 + took_s) + 1
    for error in refused:
        assert {"ErrorInfo", "QuotaFailure", "RetryInfo"} <= set(details_of(error))


METHODS = [one.name for one in pb.DESCRIPTOR.services_by_name["SearchService"].methods]
NONE_ANSWERED = replace(
    UNRATED, reads=0, changes=0, submissions=0, streams=0, pictures=0, uploads=0, downloads=0, probes=0, standing=0
)
RATED: dict[str, Any] = {"calls_per_second": 0.01, "reads_per_second": 0.01}  # one, and none after it for long


@pytest.mark.parametrize("full", ["receiving", "answering", "rate"])
@pytest.mark.parametrize("method", METHODS)
async def test_every_call_is_refused_where_the_server_is_full(serve: Serve, method: str, full: str) -> None:
    limits = {"receiving": replace(UNRATED, receiving=1), "answering": NONE_ANSWERED, "rate": replace(UNRATED, **RATED)}
    async with serve(admitted=limits[full]) as channel:
        held = await silent(channel, method, 1, ()) if full == "receiving" else []
        if full == "rate":
            await failure_of(raw(channel, method)(iter(()), timeout=60))  # whose request is missing
        error = await failure_of(raw(channel, method)(iter([b""]), timeout=60))
        for call in held:
            call.cancel()
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    details = details_of(error)
    assert details["ErrorInfo"].reason == "TOO_MANY_CALLS"
    assert details["QuotaFailure"].violations
    assert details["RetryInfo"].retry_delay.ToTimedelta().total_seconds() > 0


async def test_health_and_reflection_are_bounded_too(serve: Serve) -> None:
    async with serve(admitted=replace(UNRATED, standing=2)) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        watching = [health.Watch(health_pb2.HealthCheckRequest()) for _ in range(2)]
        for call in watching:
            await call.read()
        error = await failure_of(health.Watch(health_pb2.HealthCheckRequest(), timeout=60))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (await health.Check(health_pb2.HealthCheckRequest(), timeout=60)).status
        for call in watching:
            call.cancel()
        answer = await admitted(lambda: health.Watch(health_pb2.HealthCheckRequest(), timeout=60))
        assert answer is not grpc.aio.EOF


async def test_no_host_gets_all_health_checks() -> None:
    admission, check = Admission(replace(UNRATED, probes=4)), HEALTH_CHECK
    for _ in range(3):
        admission.admit(check, "ipv4:192.0.2.1").received()
    with pytest.raises(TooManyCalls) as caught:
        admission.admit(check, "ipv4:192.0.2.1").received()
    assert caught.value.subject == "host:ipv4:192.0.2.1"
    admission.admit(check, "ipv4:192.0.2.2").received()


async def test_a_health_check_that_is_refused_says_so(serve: Serve) -> None:
    async with serve(admitted=replace(UNRATED, probes=0)) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=60)
        error = await failure_of(check)
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert details_of(error)["QuotaFailure"].violations[0].subject == "host:ipv4:127.0.0.1"


async def test_a_health_check_that_does_not_come_holds_a_slot_for_a_time(serve: Serve) -> None:
    async with serve(admitted=replace(UNRATED, probes=4, tenant_share=0.5, request_timeout_s=2.0)) as channel:
        calls = await silent(channel, HEALTH_CHECK, 5, ())
        errors = await asyncio.gather(*map(failure_of, calls))
        health = health_pb2_grpc.HealthStub(channel)
        assert (await health.Check(health_pb2.HealthCheckRequest(), timeout=60)).status
    exhausted, too_late = grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.DEADLINE_EXCEEDED
    assert sorted(error.code().name for error in errors) == [too_late.name] * 2 + [exhausted.name] * 3


class Swapping(ToyModels):
    """Swaps faces only when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.gate = asyncio.Event(), asyncio.Event()

    async def swap_face(self, *faces: Any, **settings: Any) -> UInt8:
        self.begun.set()
        await self.gate.wait()
        return await super().swap_face(*faces, **settings)


async def released(decoding: Decoding) -> None:
    """Wait until nothing is held decoded any more."""
    async with asyncio.timeout(60):
        while decoding.memory.held:
            await asyncio.sleep(0.005)


class TestDecodedBytes:
    """Pictures that calls hold decoded, all together."""

    PICTURES = 40 * 32 * 3 + 33 * 35 * 3

    async def test_beyond_their_limit_calls_are_refused(self, serve: Serve, make_request: MakeRequest) -> None:
        models, search = Swapping(), make_request()
        decoding = Decoding(LocalDecoder(), decoded_bytes=self.PICTURES * 3 // 2)
        request = pb.PreparePriorRequest(scene=search.scene, character=search.character)
        async with serve(models=models, decoding=decoding) as channel:
            stub = SearchServiceStub(channel)
            first = stub.PreparePrior(request, timeout=60)
            waiting = asyncio.ensure_future(first)
            await models.begun.wait()
            error = await failure_of(stub.PreparePrior(request, timeout=60))
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert "decoded pictures" in str(error.details())
            created = await create(stub, search)  # which holds none before it begins
            models.gate.set()
            assert (await waiting).prior.data
            await watched(stub, created.search_id)
            await released(decoding)
            assert (await stub.PreparePrior(request, timeout=60)).prior.data

    async def test_a_search_that_begins_waits_for_its_share(self, serve: Serve, make_request: MakeRequest) -> None:
        models, search = Swapping(), make_request()
        decoding = Decoding(LocalDecoder(), decoded_bytes=self.PICTURES * 3 // 2)
        memory = decoding.memory
        prior = pb.PreparePriorRequest(scene=search.scene, character=search.character)
        faces = pb.DetectFacesRequest(picture=search.scene)
        async with serve(models=models, decoding=decoding) as channel:
            stub = SearchServiceStub(channel)
            call = asyncio.ensure_future(stub.PreparePrior(prior, timeout=60))
            await models.begun.wait()
            assert memory.held == self.PICTURES
            created = await create(stub, search)
            async with asyncio.timeout(60):
                while not memory.waited_for:
                    await asyncio.sleep(0.005)
            assert memory.waited_for == self.PICTURES
            error = await failure_of(stub.DetectFaces(faces, timeout=60))  # else calls could keep it waiting for ever
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            models.gate.set()
            assert (await call).prior.data
            assert (await watched(stub, created.search_id))[-1].HasField("finished")
            await released(decoding)

    async def test_a_search_that_fails_gives_it_back(self, serve: Serve, make_request: MakeRequest) -> None:
        decoding = Decoding(LocalDecoder(), decoded_bytes=self.PICTURES)
        async with serve(models=ToyModels(sees_faces=False), decoding=decoding) as channel:
            stub = SearchServiceStub(channel)
            for _ in range(3):
                created = await create(stub, make_request())
                assert (await watched(stub, created.search_id))[-1].HasField("failed")

    @pytest.mark.parametrize("uploaded", [False, True])
    async def test_a_search_that_alone_is_beyond_it_is_at_fault(
        self, serve: Serve, make_request: MakeRequest, uploaded: bool
    ) -> None:
        search = make_request()
        async with serve(decoding=Decoding(LocalDecoder(), decoded_bytes=self.PICTURES - 1)) as channel:
            stub = SearchServiceStub(channel)
            if uploaded:
                for image in (search.scene, search.character):
                    image.CopyFrom((await stub.UploadImage(chunked(image.data), timeout=60)).image)
            error = await failure_of(stub.CreateSearch(pb.CreateSearchRequest(search=search), timeout=60))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert f"need {self.PICTURES} bytes" in str(error.details())

    async def test_a_request_that_alone_is_beyond_it_is_at_fault(self, serve: Serve, make_request: MakeRequest) -> None:
        search = make_request()
        request = pb.PreparePriorRequest(scene=search.scene, character=search.character)
        async with serve(decoding=Decoding(LocalDecoder(), decoded_bytes=self.PICTURES - 1)) as channel:
            error = await failure_of(SearchServiceStub(channel).PreparePrior(request, timeout=60))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert f"need {self.PICTURES} bytes" in str(error.details())


async def test_the_key_is_looked_at_before_the_request_comes(serve: Serve) -> None:
    ring = KeyRing({key_digest("key"): "ada"})
    async with serve(keys=ring) as channel:
        (call,) = await silent(channel, "GetSearch", 1, (("authorization", "Bearer other"),))
        async with asyncio.timeout(60):
            error = await failure_of(call)
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
