"""Searches that are kept: created, watched from anywhere, listed, cancelled, deleted; pictures in and out."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from eacps.api import KeyRing
from eacps.api.access import key_digest
from eacps.api.rate_limit import RateLimit
from eacps.errors import CallTimedOut, TooManyCalls
from eacps.imaging import encode_png
from eacps.testing import ToyModels
from eacps.triton import Generated, GenerateRequest
from eacps.v1 import search_service_pb2 as pb
from eacps.v1.search_service_pb2_grpc import SearchServiceStub
from tests.api.conftest import UNRATED, events_in

MakeRequest = Callable[..., pb.RunSearchRequest]
Serve = Callable[..., AbstractAsyncContextManager[grpc.aio.Channel]]
KEYS = KeyRing({key_digest("key-of-ada"): "ada", key_digest("key-of-bob"): "bob"})
ADA = (("authorization", "Bearer key-of-ada"),)
BOB = (("authorization", "Bearer key-of-bob"),)
CHUNK = 2**20


class Gated(ToyModels):
    """Goes on only when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.begun = asyncio.Event(), asyncio.Event()

    async def generate(self, request: GenerateRequest, *, timeout_s: float | None = None) -> Generated:
        self.begun.set()
        await self.gate.wait()
        return await super().generate(request, timeout_s=timeout_s)


async def create(stub: Any, request: pb.RunSearchRequest, **options: Any) -> pb.Search:
    answer = await stub.CreateSearch(pb.CreateSearchRequest(search=request), timeout=60, **options)
    return answer.search


async def watched(stub: Any, search_id: str, **fields: Any) -> list[pb.SearchEvent]:
    call = stub.WatchSearch(pb.WatchSearchRequest(search_id=search_id, **fields), timeout=60)
    return [response.event async for response in call]


async def refused(awaitable: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await awaitable
    return caught.value


def violations_of(error: grpc.aio.AioRpcError) -> dict[str, str]:
    status = rpc_status.from_call(error)
    assert status is not None
    bad = error_details_pb2.BadRequest()
    for detail in status.details:
        if detail.Unpack(bad):
            break
    return {one.field: one.description for one in bad.field_violations}


def chunked(data: bytes) -> AsyncIterator[pb.UploadImageRequest]:
    async def chunks() -> AsyncIterator[pb.UploadImageRequest]:
        for start in range(0, len(data), CHUNK):
            yield pb.UploadImageRequest(chunk=data[start : start + CHUNK])

    return chunks()


async def downloaded(stub: Any, artifact: str, **options: Any) -> bytes:
    call = stub.DownloadArtifact(pb.DownloadArtifactRequest(artifact=artifact), timeout=60, **options)
    chunks = [response.chunk async for response in call]
    assert all(0 < len(chunk) <= CHUNK for chunk in chunks)
    return b"".join(chunks)


class TestCreating:
    async def test_it_runs_while_nobody_watches_and_is_found_later(
        self, serve: Serve, make_request: MakeRequest
    ) -> None:
        async with serve() as channel:
            stub = SearchServiceStub(channel)
            search = await create(stub, make_request(labels={"shot": "12"}, priority=3))
            assert search.state in (pb.SEARCH_STATE_QUEUED, pb.SEARCH_STATE_RUNNING)
            events = await watched(stub, search.search_id)
            found = (await stub.GetSearch(pb.GetSearchRequest(search_id=search.search_id))).search
        assert found.state == pb.SEARCH_STATE_SUCCEEDED
        assert (dict(found.labels), found.priority) == ({"shot": "12"}, 3)
        assert found.result == events[-1].finished
        assert found.last_sequence == events[-1].sequence
        assert found.create_time.seconds <= found.start_time.seconds <= found.finish_time.seconds
        assert found.expire_time.seconds == found.finish_time.seconds + 30 * 86400
        assert not search.HasField("expire_time")
        assert found.request.search.random_seed == 5
        assert [(one.name, one.weight) for one in found.request.scorers] == [("brightness", 1.0)]

    async def test_the_same_request_id_is_the_same_search(self, serve: Serve, make_request: MakeRequest) -> None:
        async with serve() as channel:
            stub = SearchServiceStub(channel)
            first = await create(stub, make_request(request_id="once"))
            again = await create(stub, make_request(request_id="once"))
            streamed = await events_in(stub.RunSearch(make_request(request_id="once"), timeout=60))
            error = await refused(create(stub, make_request(request_id="once", prompt="another")))
        assert again.search_id == first.search_id == streamed[0].started.search_id
        assert error.code() is grpc.StatusCode.ALREADY_EXISTS

    async def test_one_that_failed_for_want_of_its_servers_is_searched_again(
        self, serve: Serve, make_request: MakeRequest
    ) -> None:
        class Away(ToyModels):
            away = True

            async def generate(self, request: GenerateRequest, *, timeout_s: float | None = None) -> Generated:
                if self.away:
                    raise CallTimedOut("no answer")
                return await super().generate(request, timeout_s=timeout_s)

        models, request = Away(), make_request(request_id="once")
        async with serve(models=models) as channel:
            stub = SearchServiceStub(channel)
            for _ in range(2):
                error = await refused(collected(stub.RunSearch(request, timeout=60)))
                assert error.code() is grpc.StatusCode.UNAVAILABLE
            models.away = False
            events = await events_in(stub.RunSearch(request, timeout=60))
            assert events[-1].HasField("finished")
            again = await events_in(stub.RunSearch(request, timeout=60))
            listed = (await stub.ListSearches(pb.ListSearchesRequest(), timeout=60)).searches
        assert again == events
        assert [(one.state, one.request_id) for one in listed] == [
            (pb.SEARCH_STATE_SUCCEEDED, "once"),
            (pb.SEARCH_STATE_FAILED, ""),
            (pb.SEARCH_STATE_FAILED, ""),
        ]

    async def test_requests_that_mean_the_same_are_the_same_search(
        self, serve: Serve, make_request: MakeRequest
    ) -> None:
        asked = make_request(request_id="once", search=pb.SearchSettings(random_seed=7))
        said = make_request(
            request_id="once",
            search=pb.SearchSettings(eacps_adaptive={"trajectories": 32}, random_seed=7, first_seed=7, micro_batch=8),
            sampler=pb.SamplerSettings(true_cfg_scale=1.0),
            scalarization=pb.SCALARIZATION_WEIGHTED_SUM,
            budget=pb.Budget(),
            priority=100,
        )
        async with serve() as channel:
            stub = SearchServiceStub(channel)
            first = await create(stub, asked)
            said.scene.CopyFrom((await stub.UploadImage(chunked(asked.scene.data))).image)
            again = await create(stub, said)
            said.search.eacps_adaptive.trajectories = 31
            error = await refused(create(stub, said))
        assert again.search_id == first.search_id
        assert error.code() is grpc.StatusCode.ALREADY_EXISTS

    async def test_every_field_at_fault_is_named_with_its_path(self, serve: Serve, make_request: MakeRequest) -> None:
        request = make_request(
            prompt="", request_id="has space", labels={"k" * 64: ""}, priority=0, character=pb.Image(artifact="f" * 64)
        )
        async with serve() as channel:
            error = await refused(create(SearchServiceStub(channel), request))
        names = {"prompt", "request_id", "labels", "priority", "character.artifact"}
        assert set(violations_of(error)) == {f"search.{name}" for name in names}

    async def test_it_outlives_the_call_that_ran_it_where_it_was_asked_to(
        self, serve: Serve, make_request: MakeRequest
    ) -> None:
        models = Gated()
        async with serve(models=models) as channel:
            stub = SearchServiceStub(channel)
            call = stub.RunSearch(make_request(detach=True))
            search_id = (await call.read()).search.search_id
            await models.begun.wait()
            call.cancel()
            models.gate.set()
            assert (await watched(stub, search_id))[-1].HasField("finished")


class TestWatching:
    async def test_from_any_place_without_gap_or_repeat(self, serve: Serve, make_request: MakeRequest) -> None:
        async with serve() as channel:
            stub = SearchServiceStub(channel)
            search = await create(stub, make_request())
            events = await watched(stub, search.search_id)
            assert [event.sequence for event in events] == list(range(1, len(events) + 1))
            for after in range(len(events) + 2):
                assert await watched(stub, search.search_id, after_sequence=after) == events[after:]
            assert await watched(stub, search.search_id, after_sequence=2**63 - 1) == []
            error = await refused(watched(stub, search.search_id, after_sequence=-1))
            assert list(violations_of(error)) == ["after_sequence"]

    async def test_pictures_come_by_hash_or_with_their_bytes(self, serve: Serve, make_request: MakeRequest) -> None:
        async with serve() as channel:
            stub = SearchServiceStub(channel)
            search = await create(stub, make_request())
            bare = await watched(stub, search.search_id)
            full = await watched(stub, search.search_id, inline_pictures=True)
            best = bare[-1].finished.best
            assert not best.data
            assert full[-1].finished.best.data == await downloaded(stub, best.artifact)
            assert full[1].prior_ready.prior.data == await downloaded(stub, bare[1].prior_ready.prior.artifact)
            for event in bare:
                if event.HasField("candidate_scored"):
                    assert (await downloaded(stub, event.candidate_scored.picture.artifact)).startswith(b"\x89PNG")

    async def test_a_failed_search_ends_its_events_with_why(self, serve: Serve, make_request: MakeRequest) -> None:
        request = make_request()
        async with serve(models=ToyModels(sees_faces=False)) as channel:
            stub = SearchServiceStub(channel)
            search = await create(stub, request)
            events = await watched(stub, search.search_id)
            found = (await stub.GetSearch(pb.GetSearchRequest(search_id=search.search_id))).search
            error = await refused(collected(stub.RunSearch(request)))
        assert events[-1].failed == found.failure
        assert (found.state, found.failure.reason) == (pb.SEARCH_STATE_FAILED, "NO_FACE_FOUND")
        assert error.code() is grpc.StatusCode.FAILED_PRECONDITION


async def collected(call: Any) -> list[Any]:
    return [response async for response in call]


class TestCancelling:
    async def test_a_running_search_ends_and_says_so(self, serve: Serve, make_request: MakeRequest) -> None:
        models = Gated()
        async with serve(models=models) as channel:
            stub = SearchServiceStub(channel)
            running = asyncio.ensure_future(collected(stub.RunSearch(make_request(request_id="mine"))))
            await models.begun.wait()
            search_id = (await create(stub, make_request(request_id="mine"))).search_id
            for _ in range(2):  # a second time changes nothing
                answer = await stub.CancelSearch(pb.CancelSearchRequest(search_id=search_id))
                assert answer.search.state == pb.SEARCH_STATE_CANCELLED
            assert (await watched(stub, search_id))[-1].HasField("cancelled")
            assert (await refused(running)).code() is grpc.StatusCode.CANCELLED

    async def test_one_that_waits_never_runs(self, serve: Serve, make_request: MakeRequest) -> None:
        models = Gated()
        async with serve(models=models, max_searches=1) as channel:
            stub = SearchServiceStub(channel)
            first = await create(stub, make_request())
            await models.begun.wait()
            second = await create(stub, make_request())
            await stub.CancelSearch(pb.CancelSearchRequest(search_id=second.search_id))
            models.gate.set()
            assert (await watched(stub, first.search_id))[-1].HasField("finished")
            assert [event.WhichOneof("event") for event in await watched(stub, second.search_id)] == ["cancelled"]


class TestDeleting:
    async def test_nothing_of_it_is_left(self, serve: Serve, make_request: MakeRequest) -> None:
        async with serve() as channel:
            stub = SearchServiceStub(channel)
            search = await create(stub, make_request())
            best = (await watched(stub, search.search_id))[-1].finished.best.artifact
            await stub.DeleteSearch(pb.DeleteSearchRequest(search_id=search.search_id))
            for call in (
                stub.GetSearch(pb.GetSearchRequest(search_id=search.search_id)),
                collected(stub.WatchSearch(pb.WatchSearchRequest(search_id=search.search_id))),
                downloaded(stub, best),
            ):
                assert (await refused(call)).code() is grpc.StatusCode.NOT_FOUND
            again = pb.DeleteSearchRequest(search_id=search.search_id)
            assert (await refused(stub.DeleteSearch(again))).code() is grpc.StatusCode.NOT_FOUND
            again.allow_missing = True
            assert await stub.DeleteSearch(again) == pb.DeleteSearchResponse()

    async def test_one_that_runs_is_cancelled_first(self, serve: Serve, make_request: MakeRequest) -> None:
        models = Gated()
        async with serve(models=models) as channel:
            stub = SearchServiceStub(channel)
            search = await create(stub, make_request())
            watching = asyncio.ensure_future(watched(stub, search.search_id))
            await models.begun.wait()
            await stub.DeleteSearch(pb.DeleteSearchRequest(search_id=search.search_id))
            assert (await refused(watching)).code() is grpc.StatusCode.NOT_FOUND


class TestListing:
    async def test_pages_newest_first(self, serve: Serve, make_request: MakeRequest) -> None:
        async with serve() as channel:
            stub = SearchServiceStub(channel)
            made = [(await create(stub, make_request(labels={"odd": str(n % 2)}))).search_id for n in range(5)]
            found: list[str] = []
            request = pb.ListSearchesRequest(page_size=2)
            while True:
                page = await stub.ListSearches(request)
                found += [search.search_id for search in page.searches]
                if not (token := page.next_page_token):
                    break
                request.page_token = token
            assert found == made[::-1]
            odd = await stub.ListSearches(pb.ListSearchesRequest(labels={"odd": "1"}))
            assert [search.search_id for search in odd.searches] == [made[3], made[1]]
            first = await stub.ListSearches(pb.ListSearchesRequest(page_size=2))
            other = pb.ListSearchesRequest(page_token=first.next_page_token, labels={"odd": "1"})
            assert "these filters" in violations_of(await refused(stub.ListSearches(other)))["page_token"]

    @pytest.mark.parametrize("token", ["?", "e30=", "WzEsMiwzXQ==", "bnVsbA==", "é", "A" * 44])
    async def test_a_token_that_was_not_given_out_is_refused(self, serve: Serve, token: str) -> None:
        async with serve() as channel:
            request = pb.ListSearchesRequest(page_token=token, page_size=-1, states=[99])
            error = await refused(SearchServiceStub(channel).ListSearches(request))
        assert set(violations_of(error)) == {"page_token", "page_size", "states"}


class TestUploading:
    async def test_a_large_picture_is_used_by_its_hash(self, serve: Serve, make_request: MakeRequest) -> None:
        large = encode_png(np.random.default_rng(1).integers(0, 256, (1400, 1200, 3), np.uint8))
        assert len(large) > 4 * 2**20
        async with serve() as channel:
            stub = SearchServiceStub(channel)
            answer = await stub.UploadImage(chunked(large))
            assert (answer.size_bytes, answer.image.data) == (len(large), b"")
            search = await create(stub, make_request(scene=answer.image))
            assert (await watched(stub, search.search_id))[-1].HasField("finished")
            prior = pb.PreparePriorRequest(scene=answer.image, character=make_request().character)
            assert (await stub.PreparePrior(prior)).prior.data
            assert await downloaded(stub, answer.image.artifact) == large
            error = await refused(create(stub, make_request(scene=pb.Image(data=large))))
            assert "at most 4194304" in violations_of(error)["search.scene.data"]
            left_s = answer.expire_time.ToMicroseconds() / 1e6 - time.time()
            assert 86400 - 60 < left_s <= 86400, "uploads are kept for a day"

    async def test_one_name_many_times_is_not_many_pictures_in_memory(
        self, serve: Serve, make_request: MakeRequest
    ) -> None:
        request = make_request()
        async with serve() as channel:
            stub = SearchServiceStub(channel)
            image = (await stub.UploadImage(chunked(request.scene.data))).image
            many = pb.ScoreImagesRequest(scene=image, character=image, prompt="x", images=[image] * 20_000)
            error = await refused(stub.ScoreImages(many, timeout=60))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "images" in violations_of(error)

    async def test_what_is_no_picture_is_refused(self, serve: Serve) -> None:
        async with serve() as channel:
            stub = SearchServiceStub(channel)
            for data in (b"", b"no picture", bytes(65 * 2**20)):
                error = await refused(stub.UploadImage(chunked(data)))
                assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


def every_call(stub: Any, request: pb.RunSearchRequest, search_id: str, artifact: str) -> dict[str, Callable[..., Any]]:
    """Every call of the service, as functions of its options."""
    image = pb.Image(artifact=artifact)
    pictures = {"scene": request.scene, "character": request.character}
    recipe = pb.Recipe(terms=[pb.RecipeTerm(seed=1, coefficient=1.0)])
    prompt, render = request.prompt, pb.RenderCandidateRequest
    return {
        "RunSearch": lambda **o: collected(stub.RunSearch(request, **o)),
        "CreateSearch": lambda **o: stub.CreateSearch(pb.CreateSearchRequest(search=request), **o),
        "GetSearch": lambda **o: stub.GetSearch(pb.GetSearchRequest(search_id=search_id), **o),
        "ListSearches": lambda **o: stub.ListSearches(pb.ListSearchesRequest(), **o),
        "WatchSearch": lambda **o: collected(stub.WatchSearch(pb.WatchSearchRequest(search_id=search_id), **o)),
        "CancelSearch": lambda **o: stub.CancelSearch(pb.CancelSearchRequest(search_id=search_id), **o),
        "DeleteSearch": lambda **o: stub.DeleteSearch(pb.DeleteSearchRequest(search_id=search_id), **o),
        "UploadImage": lambda **o: stub.UploadImage(chunked(request.scene.data), **o),
        "DownloadArtifact": lambda **o: downloaded(stub, artifact, **o),
        "PreparePrior": lambda **o: stub.PreparePrior(pb.PreparePriorRequest(**pictures), **o),
        "DetectFaces": lambda **o: stub.DetectFaces(pb.DetectFacesRequest(picture=request.scene), **o),
        "PickCandidate": lambda **o: stub.PickCandidate(
            pb.PickCandidateRequest(search_id=search_id, candidate_id="g0-000"), **o
        ),
        "RankCandidates": lambda **o: stub.RankCandidates(pb.RankCandidatesRequest(search_id=search_id), **o),
        "RenderCandidate": lambda **o: stub.RenderCandidate(render(**pictures, prompt=prompt, recipe=recipe), **o),
        "ScoreImages": lambda **o: stub.ScoreImages(
            pb.ScoreImagesRequest(**pictures, prompt=prompt, images=[image]), **o
        ),
        "GetCapabilities": lambda **o: stub.GetCapabilities(pb.GetCapabilitiesRequest(), **o),
    }


class TestShares:
    async def test_a_tenant_leaves_places_to_others(self, serve: Serve, make_request: MakeRequest) -> None:
        image = make_request().scene.data

        async def dawdling() -> AsyncIterator[pb.UploadImageRequest]:
            yield pb.UploadImageRequest(chunk=image)
            await asyncio.sleep(60)

        async with serve(admitted=replace(UNRATED, receiving=4), keys=KEYS) as channel:
            stub = SearchServiceStub(channel)
            calls = [stub.UploadImage(dawdling(), metadata=ADA) for _ in range(3)]
            code = None
            async with asyncio.timeout(60):
                while code is None:  # until the server has taken note of all three
                    calls = [call if not call.done() else stub.UploadImage(dawdling(), metadata=ADA) for call in calls]
                    try:
                        await stub.UploadImage(chunked(image), metadata=ADA)
                    except grpc.aio.AioRpcError as exc:
                        code = exc.code()
            assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert (await stub.UploadImage(chunked(image), metadata=BOB)).size_bytes == len(image)
            for call in calls:
                call.cancel()


class TestRate:
    async def test_who_calls_too_often_is_asked_to_come_again(self, serve: Serve, make_request: MakeRequest) -> None:
        async with serve(admitted=replace(UNRATED, calls_per_second=0.01), keys=KEYS) as channel:
            stub = SearchServiceStub(channel)
            await create(stub, make_request(), metadata=ADA)  # the only one for long
            error = await refused(create(stub, make_request(), metadata=ADA))
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            status = rpc_status.from_call(error)
            assert status is not None
            assert any(detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR) for detail in status.details)
            await create(stub, make_request(), metadata=BOB)  # others may

    def test_tokens_come_back_with_time(self) -> None:
        now = [0.0]
        rate = RateLimit(2.0, burst=1.0, clock=lambda: now[0])
        for _ in range(2):
            rate.take("ada")
        with pytest.raises(TooManyCalls):
            rate.take("ada")
        now[0] += 0.5
        rate.take("ada")
        with pytest.raises(TooManyCalls):
            rate.take("ada")


class TestTenancy:
    async def test_no_call_is_answered_without_a_key_or_with_a_wrong_one(
        self, serve: Serve, make_request: MakeRequest
    ) -> None:
        async with serve(keys=KEYS) as channel:
            stub = SearchServiceStub(channel)
            search = await create(stub, make_request(), metadata=ADA)
            calls = every_call(stub, make_request(), search.search_id, "0" * 64)
            assert set(calls) == {method.name for method in pb.DESCRIPTOR.services_by_name["SearchService"].methods}
            for call in calls.values():
                for metadata in ((), (("authorization", "Bearer key-of-eve"),), (("authorization", "key-of-ada"),)):
                    error = await refused(call(metadata=metadata))
                    assert error.code() is grpc.StatusCode.UNAUTHENTICATED

    async def test_what_is_anothers_is_as_if_it_never_was(self, serve: Serve, make_request: MakeRequest) -> None:
        async with serve(keys=KEYS) as channel:
            stub = SearchServiceStub(channel)
            search = await create(stub, make_request(request_id="same"), metadata=ADA)
            events = [
                response.event
                async for response in stub.WatchSearch(
                    pb.WatchSearchRequest(search_id=search.search_id), metadata=ADA, timeout=60
                )
            ]
            best = events[-1].finished.best.artifact
            theirs = every_call(stub, make_request(), search.search_id, best)
            never = every_call(stub, make_request(), "0" * 32, "0" * 64)
            for name in ("GetSearch", "WatchSearch", "CancelSearch", "DeleteSearch", "DownloadArtifact", "ScoreImages"):
                told = [await refused(calls[name](metadata=BOB)) for calls in (theirs, never)]
                assert told[0].code() is told[1].code(), name
                assert str(told[0].details()).replace(search.search_id, "").replace(best, "") == str(
                    told[1].details()
                ).replace("0" * 64, "").replace("0" * 32, ""), name
            own = await create(stub, make_request(request_id="same"), metadata=BOB)
            assert own.search_id != search.search_id
            listed = await stub.ListSearches(pb.ListSearchesRequest(), metadata=BOB)
            assert [one.search_id for one in listed.searches] == [own.search_id]
            await stub.GetSearch(pb.GetSearchRequest(search_id=search.search_id), metadata=ADA)

    async def test_a_picture_of_another_cannot_be_used_by_its_hash(
        self, serve: Serve, make_request: MakeRequest
    ) -> None:
        async with serve(keys=KEYS) as channel:
            stub = SearchServiceStub(channel)
            image = (await stub.UploadImage(chunked(make_request().scene.data), metadata=ADA)).image
            assert await create(stub, make_request(scene=image), metadata=ADA)
            error = await refused(create(stub, make_request(scene=image), metadata=BOB))
        assert set(violations_of(error)) == {"search.scene.artifact"}
