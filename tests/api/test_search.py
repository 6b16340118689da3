"""Whole searches over gRPC against a real Triton with studio-mini: what the demo does, held to its promises."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from eacps.assembly import serving
from eacps.errors import InvalidRequest, TritonUnavailable
from eacps.imaging import content_hash, decode_picture, encode_png
from eacps.settings import JudgeProvider, JudgeSettings, Settings
from eacps.triton.embedded import EmbeddedTriton
from eacps.v1 import search_service_pb2 as pb
from eacps.v1.search_service_pb2_grpc import SearchServiceStub
from tests.api.conftest import SAMPLE, SMALL, events_in

CANCELLED = re.compile(r"cancelled at step (\d+) of (\d+)")
LONG = {
    "eacps": {"global_candidates": 16, "parents": 1, "children_per_parent": 2},
    "random_seed": 11,
    "micro_batch": 16,
}  # keeps the sampler busy for many seconds
WALL = encode_png(np.full((128, 128, 3), 128, np.uint8))

MakeRequest = Callable[..., pb.RunSearchRequest]


@asynccontextmanager
async def client_of(settings: Settings) -> AsyncIterator[SearchServiceStub]:
    async with serving(settings) as server, grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield SearchServiceStub(channel)


@pytest.fixture
async def client(triton: EmbeddedTriton) -> AsyncIterator[SearchServiceStub]:
    async with client_of(settings_for(triton)) as stub:
        yield stub


def settings_for(triton: EmbeddedTriton, **fields: Any) -> Settings:
    return Settings(address="127.0.0.1:0", triton=triton.grpc_url, grace_s=0.0, insecure=True, **fields)


async def events_of(client: SearchServiceStub, request: pb.RunSearchRequest) -> list[pb.SearchEvent]:
    return await events_in(client.RunSearch(request, timeout=120))


def scored_in(events: list[pb.SearchEvent]) -> dict[str, pb.CandidateScored]:
    scored = (event.candidate_scored for event in events if event.HasField("candidate_scored"))
    return {one.candidate_id: one for one in scored}


async def cancelled_step(triton: EmbeddedTriton, steps: int) -> int:
    """Waits for the sampler's word that a run of ``steps`` steps was cancelled, and gives the step."""
    async with asyncio.timeout(60):
        while True:
            found = [match for match in CANCELLED.finditer(triton.log_file.read_text()) if int(match[2]) == steps]
            if found:
                return int(found[-1][1])
            await asyncio.sleep(0.05)


class TestASearch:
    async def test_runs_from_start_to_finish(self, client: SearchServiceStub, sample_request: MakeRequest) -> None:
        events = await events_of(client, sample_request())
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))
        assert [event.WhichOneof("event") for event in events] == [
            "started",
            "prior_ready",
            *["candidate_scored"] * 4,
            "round_finished",
            *["candidate_scored"] * 2,
            "round_finished",
            "finished",
        ]
        assert [(one.name, one.weight, one.held_out) for one in events[0].started.scorers] == [
            ("identity", 0.5, False),
            ("identity_heldout", 0.0, True),
            ("prompt", 0.2, False),
            ("realism", 0.3, False),
        ]
        assert (events[0].started.planned_candidates, events[0].started.steps) == (6, 3)

    async def test_every_score_is_there_and_makes_the_potential(
        self, client: SearchServiceStub, sample_request: MakeRequest
    ) -> None:
        events = await events_of(client, sample_request())
        weights = {one.name: one.weight for one in events[0].started.scorers}
        for one in [events[1].prior_ready, *scored_in(events).values()]:
            values = {score.scorer: score.value for score in one.evaluation.scores if score.HasField("value")}
            assert all(score.saturated == (score.value >= 0.995) for score in one.evaluation.scores)
            assert set(values) == set(weights)
            assert all(0 <= value <= 1 for value in values.values())
            assert one.evaluation.complete
            expected = sum(weights[name] * value for name, value in values.items())
            assert one.evaluation.potential == pytest.approx(expected)

    async def test_reports_what_search_gained(self, client: SearchServiceStub, sample_request: MakeRequest) -> None:
        events = await events_of(client, sample_request())
        scored, finished = scored_in(events), events[-1].finished
        best = max(scored.values(), key=lambda one: one.evaluation.potential)
        assert finished.best_candidate_id == best.candidate_id
        assert content_hash(decode_picture(finished.best.data)) == best.picture_sha256
        statistics = finished.statistics
        assert (statistics.candidates, statistics.failed, statistics.missing_scores) == (6, 0, 0)
        assert statistics.first_potential == scored["g0-000"].evaluation.potential
        assert statistics.gain_over_first == pytest.approx(statistics.best_potential - statistics.first_potential)
        assert statistics.gain_over_first >= 0
        assert statistics.gain_over_prior == pytest.approx(statistics.best_potential - statistics.prior_potential)
        assert statistics.prior_potential == events[1].prior_ready.evaluation.potential
        assert statistics.denoiser_evaluations == 6 * 3
        assert list(finished.noise_shape) == [16, 16, 16]
        assert "@" in finished.versions["checkpoint"]

    async def test_is_reproducible_by_its_seed(self, client: SearchServiceStub, sample_request: MakeRequest) -> None:
        first = scored_in(await events_of(client, sample_request()))
        again = scored_in(await events_of(client, sample_request()))
        assert first.keys() == again.keys()
        for name, one in first.items():
            assert again[name].recipe == one.recipe
            assert again[name].parents == one.parents
            assert again[name].evaluation.potential == pytest.approx(one.evaluation.potential, abs=2e-3)

    async def test_a_drawn_seed_is_reported_and_differs(
        self, client: SearchServiceStub, sample_request: MakeRequest
    ) -> None:
        request = sample_request(steps=1, search=pb.SearchSettings(best_of_n={"trajectories": 1}))
        seeds = [(await events_of(client, request))[0].started.random_seed for _ in range(2)]
        assert seeds[0] != seeds[1]

    async def test_keeps_the_scene_outside_the_mask(
        self, client: SearchServiceStub, sample_request: MakeRequest
    ) -> None:
        mask = np.zeros(decode_picture((SAMPLE / "scene.png").read_bytes()).shape[:2], np.uint8)
        height, width = mask.shape
        mask[height // 4 : -height // 4, width // 4 : -width // 4] = 255
        events = await events_of(client, sample_request(mask=pb.Image(data=encode_png(mask))))
        scene = decode_picture(events[1].prior_ready.scene.data)
        best = decode_picture(events[-1].finished.best.data)
        border = np.ones(scene.shape[:2], bool)
        border[31:97, 31:97] = False
        assert np.array_equal(best[border], scene[border])
        assert not np.array_equal(best, scene)

    async def test_takes_words_in_any_script_with_guidance_and_a_reference(
        self, client: SearchServiceStub, sample_request: MakeRequest
    ) -> None:
        request = sample_request(
            prompt="lächle {freundlich}\n微笑🙂",
            negative_prompt="unscharf",
            sampler=pb.SamplerSettings(steps=1, true_cfg_scale=2.0),
            search=pb.SearchSettings(best_of_n={"trajectories": 1}),
        )
        events = await events_of(client, request)
        assert events[-1].finished.statistics.denoiser_evaluations == 2

    async def test_searches_run_side_by_side(self, client: SearchServiceStub, sample_request: MakeRequest) -> None:
        seeds = (11, 12, 13)
        requests = [sample_request(steps=2, search=pb.SearchSettings(**{**SMALL, "random_seed": s})) for s in seeds]
        streams = await asyncio.gather(*(events_of(client, request) for request in requests))
        firsts = [scored_in(events)["g0-000"].recipe.terms[0].seed for events in streams]
        assert firsts == list(seeds)
        assert all(events[-1].HasField("finished") for events in streams)


class TestBadInput:
    @pytest.mark.parametrize("picture", ["scene", "character"])
    async def test_a_picture_without_a_face_is_a_failed_precondition(
        self, client: SearchServiceStub, sample_request: MakeRequest, picture: str
    ) -> None:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await events_of(client, sample_request(**{picture: pb.Image(data=WALL)}))
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        trailers = dict(caught.value.trailing_metadata() or ())
        status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
        info = error_details_pb2.ErrorInfo()
        status.details[0].Unpack(info)
        assert (info.reason, info.metadata["picture"]) == ("NO_FACE_FOUND", picture)

    async def test_a_face_that_is_not_there_is_a_failed_precondition(
        self, client: SearchServiceStub, sample_request: MakeRequest
    ) -> None:
        with pytest.raises(grpc.aio.AioRpcError, match=r"not the one asked for") as caught:
            await events_of(client, sample_request(scene_face=pb.FaceSelector(index=5)))
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION

    async def test_a_prompt_of_too_many_tokens_is_an_invalid_argument(
        self, client: SearchServiceStub, sample_request: MakeRequest
    ) -> None:
        with pytest.raises(grpc.aio.AioRpcError, match=r"tokens") as caught:
            await events_of(client, sample_request(prompt="笑" * 2000))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT

    async def test_an_unknown_scorer_is_named(self, client: SearchServiceStub, sample_request: MakeRequest) -> None:
        with pytest.raises(grpc.aio.AioRpcError, match=r"scorers\[0\]\.name") as caught:
            await events_of(client, sample_request(scorers=[pb.ScorerSettings(name="openai.realism", weight=1.0)]))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


class TestLeaving:
    async def test_a_client_that_leaves_stops_the_sampler(
        self, triton: EmbeddedTriton, client: SearchServiceStub, sample_request: MakeRequest
    ) -> None:
        steps = 97
        call = client.RunSearch(sample_request(steps=steps, search=pb.SearchSettings(**LONG)))
        while not (await call.read()).event.HasField("prior_ready"):
            pass
        await asyncio.sleep(0.5)
        call.cancel()
        assert await cancelled_step(triton, steps) < steps

    async def test_a_passed_deadline_stops_the_sampler(
        self, triton: EmbeddedTriton, client: SearchServiceStub, sample_request: MakeRequest
    ) -> None:
        steps = 98
        call = client.RunSearch(sample_request(steps=steps, search=pb.SearchSettings(**LONG)), timeout=12.0)
        events = await events_in(call)
        # In time before it, the caller has the best so far. How much was done by then is the machine's affair.
        finished = events[-1].finished
        assert finished.stop_reason == pb.STOP_REASON_WALL_TIME
        scored = {event.candidate_scored.candidate_id for event in events if event.HasField("candidate_scored")}
        if scored:
            assert finished.best_candidate_id in scored
        else:
            assert (finished.best_candidate_id, finished.best.data) == ("", events[1].prior_ready.prior.data)
        assert await cancelled_step(triton, steps) < steps

    async def test_stopping_the_server_stops_the_sampler(
        self, triton: EmbeddedTriton, sample_request: MakeRequest
    ) -> None:
        steps = 99
        async with client_of(settings_for(triton)) as client:
            call = client.RunSearch(sample_request(steps=steps, search=pb.SearchSettings(**LONG)))
            while not (await call.read()).event.HasField("prior_ready"):
                pass
            await asyncio.sleep(0.5)
        assert await cancelled_step(triton, steps) < steps
        left = [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith(("search", "health"))]
        assert left == []


class TestDependencies:
    async def test_a_judge_that_is_away_leaves_scores_missing_not_zero(
        self, triton: EmbeddedTriton, sample_request: MakeRequest
    ) -> None:
        outside = JudgeSettings(JudgeProvider.OPENAI, "nobody", f"http://127.0.0.1:{unused_port()}/v1", attempts=1)
        request = sample_request(
            scorers=[
                pb.ScorerSettings(name="identity", weight=3.0),
                pb.ScorerSettings(name="openai.realism", weight=1.0),
            ]
        )
        async with client_of(settings_for(triton, judges=(outside,))) as client:
            events = await events_of(client, request)
        for one in scored_in(events).values():
            scores = {score.scorer: score for score in one.evaluation.scores}
            assert not scores["openai.realism"].HasField("value")
            assert scores["openai.realism"].failure
            assert one.evaluation.potential == pytest.approx(0.75 * scores["identity"].value)
            assert not one.evaluation.complete
        statistics = events[-1].finished.statistics
        assert (statistics.missing_scores, statistics.incomplete, statistics.failed) == (6, 6, 0)

    async def test_without_any_score_the_search_is_unavailable(
        self, triton: EmbeddedTriton, sample_request: MakeRequest
    ) -> None:
        outside = JudgeSettings(JudgeProvider.OPENAI, "nobody", f"http://127.0.0.1:{unused_port()}/v1", attempts=1)
        async with client_of(settings_for(triton, judges=(outside,))) as client:
            with pytest.raises(grpc.aio.AioRpcError, match=r"not one scorer answered") as caught:
                await events_of(client, sample_request(scorers=[pb.ScorerSettings(name="openai.realism", weight=1.0)]))
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE

    async def test_without_triton_there_is_no_server(self) -> None:
        settings = Settings(
            address="127.0.0.1:0", triton=f"127.0.0.1:{unused_port()}", triton_ready_timeout_s=0.3, insecure=True
        )
        with pytest.raises(TritonUnavailable):
            async with serving(settings):
                pass

    async def test_default_weights_name_scorers_that_are_offered(self, triton: EmbeddedTriton) -> None:
        with pytest.raises(InvalidRequest, match=r"default_weights: beauty"):
            async with serving(settings_for(triton, default_weights={"beauty": 1.0})):
                pass

    async def test_judges_outside_are_offered_and_one_that_is_not_there_leaves_scores_missing(
        self, triton: EmbeddedTriton, sample_request: MakeRequest
    ) -> None:
        nobody = f"http://127.0.0.1:{unused_port()}"
        settings = settings_for(
            triton,
            judges=(
                JudgeSettings(JudgeProvider.OPENAI, "vlm", f"{nobody}/v1", attempts=1),
                JudgeSettings(JudgeProvider.GEMINI, "gemini-9", nobody, "k", attempts=1),
                JudgeSettings(JudgeProvider.MOONDREAM, None, f"{nobody}/v1", attempts=1),
                JudgeSettings(JudgeProvider.REWARD, "editscore", f"{nobody}/v1", attempts=1),
            ),
        )
        outside = ("openai.realism", "gemini.prompt", "moondream.realism", "reward.prompt")
        scorers = [pb.ScorerSettings(name=name, weight=1.0) for name in ("identity", *outside)]
        async with client_of(settings) as stub:
            events = await events_of(stub, sample_request(scorers=scorers))
        for one in scored_in(events).values():
            missing = {score.scorer for score in one.evaluation.scores if score.failure}
            assert missing == set(outside)
            assert not one.evaluation.complete

    async def test_a_triton_that_dies_makes_the_search_unavailable_and_health_says_so(
        self, model_repository_dir: Path, tmp_path: Path, sample_request: MakeRequest
    ) -> None:
        mortal = EmbeddedTriton(model_repository_dir, log_file=tmp_path / "triton.log")
        await asyncio.to_thread(mortal.start)
        try:
            async with (
                serving(settings_for(mortal, triton_retries=1)) as server,
                grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
            ):
                call = SearchServiceStub(channel).RunSearch(sample_request(steps=96), timeout=60)
                while not (await call.read()).event.HasField("prior_ready"):
                    pass
                await asyncio.to_thread(mortal.stop, grace_s=0.0)
                with pytest.raises(grpc.aio.AioRpcError, match=r"sampler: ") as caught:
                    await read_to_the_end(call)
                assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
                assert await health_of(channel, health_pb2.HealthCheckResponse.NOT_SERVING)
        finally:
            await asyncio.to_thread(mortal.stop, grace_s=0.0)

    async def test_health_says_serving(self, triton: EmbeddedTriton) -> None:
        async with (
            serving(settings_for(triton)) as server,
            grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
        ):
            assert await health_of(channel, health_pb2.HealthCheckResponse.SERVING)


async def read_to_the_end(call: Any) -> None:
    while await call.read() is not grpc.aio.EOF:
        pass


async def health_of(channel: grpc.aio.Channel, awaited: int) -> bool:
    """Waits until health says what is awaited."""
    request = health_pb2.HealthCheckRequest(service="eacps.v1.SearchService")
    async with asyncio.timeout(60):
        async for answer in health_pb2_grpc.HealthStub(channel).Watch(request):
            if answer.status == awaited:
                return True
    return False


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
