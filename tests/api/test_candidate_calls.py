"""PickCandidate and RankCandidates: what a search has kept, without asking a model."""

import asyncio
import io
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import grpc.aio
import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from eacps.api import Rules, candidate_calls
from eacps.api.decoding import Decoding
from eacps.evaluation.candidates import Ranking, rank_candidates
from eacps.imaging import Delivered, LocalDecoder
from eacps.imaging.workers import DecodingWorkers
from eacps.testing import ToyModels
from eacps.v1 import search_service_pb2 as pb
from eacps.v1.search_service_pb2_grpc import SearchServiceStub
from tests.api.conftest import Serve
from tests.api.test_admission import answer_of, details_of, failure_of

MakeRequest = Callable[..., pb.RunSearchRequest]
RULES = Rules(frozenset({"brightness", "other"}), {"brightness": 0.75, "other": 0.25})


class Mute(ToyModels):
    """Models that fail a test when they are asked once more."""

    silent = False

    def __getattribute__(self, name: str) -> Any:
        if name in ("describe", "generate", "embed_faces", "swap_face") and object.__getattribute__(self, "silent"):
            raise AssertionError(f"{name} was asked")
        return object.__getattribute__(self, name)


async def searched(stub: SearchServiceStub, request: pb.RunSearchRequest) -> list[pb.SearchEvent]:
    return [response.event async for response in stub.RunSearch(request, timeout=60) if response.HasField("event")]


def candidates_of(events: list[pb.SearchEvent]) -> list[pb.CandidateScored]:
    return [event.candidate_scored for event in events if event.HasField("candidate_scored")]


def pixels(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def weighed(**weights: float) -> list[pb.ScorerSettings]:
    return [pb.ScorerSettings(name=name, weight=weight) for name, weight in weights.items()]


async def test_the_best_candidate_is_what_the_search_delivered_and_others_fit_the_same_scene(
    serve: Serve, make_request: MakeRequest, png: Callable[..., bytes]
) -> None:
    models, scene = Mute(), png(96, 64)
    async with serve(rules=RULES, models=models) as channel:
        stub = SearchServiceStub(channel)
        events = await searched(stub, make_request(scene=pb.Image(data=scene)))
        search_id, finished = events[0].started.search_id, events[-1].finished
        models.silent = True
        picked = {
            one.candidate_id: await stub.PickCandidate(
                pb.PickCandidateRequest(search_id=search_id, candidate_id=one.candidate_id), timeout=60
            )
            for one in candidates_of(events)
        }
    best = picked[finished.best_candidate_id]
    assert (pixels(best.delivered.data) == pixels(finished.delivered.data)).all()
    made = {one.picture.artifact for one in picked.values()}
    assert made == {one.picture.artifact for one in candidates_of(events)}
    assert len({one.delivered.data for one in picked.values()}) == len(made) > 1
    outside = np.ones((64, 96), bool)
    frame = next(event.prior_ready.frame for event in events if event.HasField("prior_ready"))
    outside[int(frame.top) : int(frame.bottom), int(frame.left) : int(frame.right)] = False
    assert outside.any()
    for one in picked.values():
        assert (pixels(one.delivered.data)[outside] == pixels(scene)[outside]).all()


async def test_a_deep_scene_comes_back_deep_and_its_layers_give_the_result(
    serve: Serve, make_request: MakeRequest
) -> None:
    samples = np.random.default_rng(3).integers(0, 65536, (64, 96, 3), np.uint16)
    file = io.BytesIO()
    tifffile.imwrite(file, samples, photometric="rgb", metadata=None)
    async with serve(rules=RULES, models=ToyModels()) as channel:
        stub = SearchServiceStub(channel)
        events = await searched(stub, make_request(scene=pb.Image(data=file.getvalue())))
        finished = events[-1].finished
        request = pb.PickCandidateRequest(
            search_id=events[0].started.search_id, candidate_id=finished.best_candidate_id, layers=True
        )
        picked = await stub.PickCandidate(request, timeout=60)
    delivered = imagecodecs.tiff_decode(finished.delivered.data)
    assert np.array_equal(imagecodecs.tiff_decode(picked.delivered.data), delivered)
    plate, patch, matte = (
        imagecodecs.tiff_decode(getattr(picked.layers, name).data).astype(float) for name in ("plate", "patch", "matte")
    )
    assert np.array_equal(plate, samples)
    together = plate + matte[..., None] / 65535 * (patch - plate)
    assert np.abs(together - delivered).max() <= 1
    assert not np.array_equal(delivered, samples)
    frame = next(event.prior_ready.frame for event in events if event.HasField("prior_ready"))
    outside = np.ones((64, 96), bool)
    outside[int(frame.top) : int(frame.bottom), int(frame.left) : int(frame.right)] = False
    assert np.array_equal(delivered[outside], samples[outside])


async def test_what_a_file_says_amiss_is_noted(
    serve: Serve, make_request: MakeRequest, png: Callable[..., bytes]
) -> None:
    file = io.BytesIO()
    with Image.open(io.BytesIO(png(96, 64))) as image:
        image.convert("L").save(file, "JPEG", icc_profile=png(8, 8))
    async with serve(rules=RULES, models=ToyModels()) as channel:
        stub = SearchServiceStub(channel)
        events = await searched(stub, make_request(scene=pb.Image(data=file.getvalue())))
        request = pb.UploadImageRequest(chunk=file.getvalue())
        uploaded = await stub.UploadImage(iter([request]), timeout=60)
    assert list(events[0].started.notes) == ["scene has a damaged color profile, which was ignored"]
    assert list(uploaded.notes) == ["has a damaged color profile, which was ignored"]
    with Image.open(io.BytesIO(events[-1].finished.delivered.data)) as result:
        assert (result.format, result.mode, "icc_profile" in result.info) == ("PNG", "L", False)


async def test_a_cancelled_search_hands_out_what_it_found(serve: Serve, make_request: MakeRequest) -> None:
    async with serve(rules=RULES, models=ToyModels(0.05)) as channel:
        stub = SearchServiceStub(channel)
        request = make_request()
        request.search.eacps.global_candidates = 64
        created = await stub.CreateSearch(pb.CreateSearchRequest(search=request), timeout=60)
        search_id, seen = created.search.search_id, []
        async for response in stub.WatchSearch(pb.WatchSearchRequest(search_id=search_id), timeout=60):
            if response.event.HasField("candidate_scored"):
                seen.append(response.event.candidate_scored.candidate_id)
                if len(seen) == 3:
                    await stub.CancelSearch(pb.CancelSearchRequest(search_id=search_id), timeout=60)
        ranked = (await stub.RankCandidates(pb.RankCandidatesRequest(search_id=search_id), timeout=60)).candidates
        assert {one.candidate_id for one in ranked} == set(seen)
        picked = await stub.PickCandidate(
            pb.PickCandidateRequest(search_id=search_id, candidate_id=ranked[0].candidate_id), timeout=60
        )
        assert pixels(picked.delivered.data).shape == (32, 40, 3)
        for wrong in ("g9-999", ""):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.PickCandidate(pb.PickCandidateRequest(search_id=search_id, candidate_id=wrong), timeout=60)
            assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_its_own_weights_give_the_search_again(serve: Serve, make_request: MakeRequest) -> None:
    async with serve(rules=RULES) as channel:
        stub = SearchServiceStub(channel)
        events = await searched(stub, make_request())
        finished = events[-1].finished
        request = pb.RankCandidatesRequest(search_id=events[0].started.search_id)
        answer = await stub.RankCandidates(request, timeout=60)
    scored = {one.candidate_id: one.evaluation for one in candidates_of(events)}
    assert answer.candidates[0].candidate_id == finished.best_candidate_id
    assert list(answer.pareto_front) == list(finished.pareto_front)
    assert {one.candidate_id: one.evaluation for one in answer.candidates} == scored
    assert {one.name: one.weight for one in answer.scorers} == {"brightness": 0.75, "other": 0.25}


async def test_the_pages_of_a_ranking_are_the_ranking(serve: Serve, make_request: MakeRequest) -> None:
    async with serve(rules=RULES) as channel:
        stub = SearchServiceStub(channel)
        search_id = (await searched(stub, make_request()))[0].started.search_id
        request = pb.RankCandidatesRequest(search_id=search_id)
        whole = await stub.RankCandidates(request, timeout=10)
        assert whole.next_page_token == ""
        request.page_size, paged = 3, []
        while True:
            page = await stub.RankCandidates(request, timeout=10)
            assert (page.pareto_front, page.scorers) == (whole.pareto_front, whole.scorers)
            paged += page.candidates
            if not page.next_page_token:
                break
            assert len(page.candidates) == 3
            request.page_token = page.next_page_token
        assert paged == list(whole.candidates)
        for wrong in ({"page_size": -1}, {"page_token": request.page_token, "scorers": weighed(other=1.0)}):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.RankCandidates(pb.RankCandidatesRequest(search_id=search_id, **wrong), timeout=10)
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_other_weights_and_floors_rank_as_a_search_with_them_would(
    serve: Serve, make_request: MakeRequest
) -> None:
    request = make_request(scorers=weighed(brightness=1.0, other=0.0))
    request.search.eacps.global_candidates = 8
    async with serve(rules=RULES) as channel:
        stub = SearchServiceStub(channel)
        events = await searched(stub, request)
        search_id = events[0].started.search_id
        scores = {
            one.candidate_id: {score.scorer: score.value for score in one.evaluation.scores}
            for one in candidates_of(events)
        }

        async def order(**fields: Any) -> list[str]:
            asked = pb.RankCandidatesRequest(search_id=search_id, **fields)
            return [one.candidate_id for one in (await stub.RankCandidates(asked, timeout=60)).candidates]

        by_other = await order(scorers=weighed(other=2.0))
        assert [scores[one]["other"] for one in by_other] == sorted(
            (one["other"] for one in scores.values()), reverse=True
        )
        floor = sorted(one["brightness"] for one in scores.values())[len(scores) // 2]
        held = [
            pb.ScorerSettings(name="other", weight=1.0),
            pb.ScorerSettings(name="brightness", weight=1e-9, floor=floor),
        ]
        floored = await order(scorers=held)
        met = [scores[one]["brightness"] >= floor for one in floored]
        assert met == sorted(met, reverse=True), "what is below a floor ranks below all that is not"
        assert 0 < sum(met) < len(met)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await order(scorers=weighed(beauty=1.0))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_search_that_has_just_begun_has_no_candidates(serve: Serve, make_request: MakeRequest) -> None:
    async with serve(rules=RULES, models=ToyModels(2.0)) as channel:
        stub = SearchServiceStub(channel)
        created = await stub.CreateSearch(pb.CreateSearchRequest(search=make_request()), timeout=60)
        search_id = created.search.search_id
        assert not (await stub.RankCandidates(pb.RankCandidatesRequest(search_id=search_id), timeout=60)).candidates
        await asyncio.gather(stub.CancelSearch(pb.CancelSearchRequest(search_id=search_id), timeout=60))


async def test_a_search_of_thousands_is_ranked_while_others_are_answered(
    serve: Serve, make_request: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, answered, in_time = threading.Event(), threading.Event(), list[bool]()

    def slow(*arguments: Any) -> Ranking:
        begun.set()
        in_time.append(answered.wait(20))
        return rank_candidates(*arguments)

    monkeypatch.setattr(candidate_calls, "rank_candidates", slow)
    async with serve(rules=RULES) as channel:
        stub = SearchServiceStub(channel)
        search_id = (await searched(stub, make_request()))[0].started.search_id
        ranking = asyncio.create_task(answer_of(stub.RankCandidates(pb.RankCandidatesRequest(search_id=search_id))))
        assert await asyncio.to_thread(begun.wait, 20)
        await stub.GetSearch(pb.GetSearchRequest(search_id=search_id), timeout=60)
        answered.set()
        assert (await ranking).candidates
    assert in_time == [True]


async def test_deliveries_that_wait_for_a_decoder_leave_searches_their_threads(
    serve: Serve, make_request: MakeRequest
) -> None:
    class Busy(DecodingWorkers):
        gate = threading.Event()

        def deliver(self, *arguments: Any, **options: Any) -> Delivered:
            self.gate.wait()
            return super().deliver(*arguments, **options)

    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
    with Busy(1) as workers:
        async with serve(rules=RULES, decoder=workers) as channel:
            stub = SearchServiceStub(channel)
            workers.gate.set()
            events = await searched(stub, make_request())
            workers.gate.clear()
            picking = pb.PickCandidateRequest(
                search_id=events[0].started.search_id, candidate_id=events[-1].finished.best_candidate_id
            )
            picks = [asyncio.create_task(answer_of(stub.PickCandidate(picking, timeout=120))) for _ in range(4)]
            try:
                call = stub.RunSearch(make_request(), timeout=120)
                async with asyncio.timeout(60):
                    while not (await call.read()).event.HasField("candidate_scored"):
                        pass
            finally:
                workers.gate.set()
            assert len({(await pick).delivered.data for pick in picks}) == 1
            call.cancel()


async def test_no_more_scenes_are_delivered_in_than_there_is_memory_for(
    serve: Serve, make_request: MakeRequest
) -> None:
    decoding = Decoding(LocalDecoder(), decoded_bytes=2**16)
    async with serve(rules=RULES, decoding=decoding) as channel:
        stub = SearchServiceStub(channel)
        events = await searched(stub, make_request())
        picking = pb.PickCandidateRequest(
            search_id=events[0].started.search_id, candidate_id=events[-1].finished.best_candidate_id
        )
        decoding.memory.take(2**16)
        error = await failure_of(stub.PickCandidate(picking, timeout=60))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert {"RetryInfo", "QuotaFailure"} <= set(details_of(error))
        decoding.memory.release(2**16)
        assert (await stub.PickCandidate(picking, timeout=60)).delivered.data
        assert decoding.memory.held == 0
