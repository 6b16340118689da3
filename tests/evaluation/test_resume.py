"""Searches that were interrupted, at any boundary of what they record, and go on from there."""

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eacps.arrays import Picture
from eacps.artifacts import get_picture
from eacps.assembly import build_scorers
from eacps.errors import CheckpointChanged, DeadlineExceeded, TritonModelFailed, TritonUnavailable
from eacps.evaluation import (
    CandidateScored,
    Deadline,
    ExecutionLimits,
    MemoryArtifacts,
    MemoryRecorder,
    PriorReady,
    Progress,
    RoundFinished,
    SearchFinished,
    SearchPictures,
    SearchPlan,
    SearchRunner,
    SearchSettings,
    SearchStarted,
    SearchUpdate,
    Services,
)
from eacps.imaging import content_hash, decode_picture
from eacps.scoring import EditContext, JoinedQuestions, Score
from eacps.search.budget import Budget, StopReason
from eacps.search.objective import Objective
from eacps.search.potential import Weights
from eacps.search.spec import AdaptiveSpec, BestOfNSpec, EacpsSpec, SearchSpec
from eacps.testing import TOY_CHECKPOINT, ToyModels, ToyScorer
from eacps.triton import Generated, GenerateRequest, ServedCheckpoint, TritonGateway
from eacps.triton.embedded import EmbeddedTriton

MakePlan = Callable[..., SearchPlan]
MakeServices = Callable[..., Services]
NO_DEADLINE = Deadline()
SPECS: list[SearchSpec] = [
    EacpsSpec(seed=7, global_candidates=8, parents=2, children_per_parent=3),
    AdaptiveSpec(seed=7, candidates=16, restarts=True),
    BestOfNSpec(seed=3, candidates=6),
]


class Interrupted(Exception):
    """A process that ends here."""


class Interrupting(MemoryRecorder):
    """Keeps some records, and then the process ends: before the next one is kept, or just after it was."""

    def __init__(self, after: int, *, kept: bool) -> None:
        super().__init__()
        self.after, self.kept, self.dead = after, kept, False

    async def record(self, record: Any) -> None:
        if self.dead:
            raise Interrupted
        self.dead = len(self.records) >= self.after
        if self.kept or not self.dead:
            await super().record(record)
        if self.dead:
            raise Interrupted


class Counting(ToyModels):
    """Counts how often each candidate was made, by noise and first step."""

    def __init__(self) -> None:
        super().__init__()
        self.made: Counter[tuple[bytes, bytes, int]] = Counter()
        self.priors = 0

    async def swap_face(self, *inputs: Any, **settings: Any) -> Any:
        self.priors += 1
        return await super().swap_face(*inputs, **settings)

    async def generate(self, request: GenerateRequest, *, timeout_s: float | None = None) -> Generated:
        for seeds, coefficients in zip(request.seeds, request.coefficients, strict=True):
            self.made[seeds.tobytes(), coefficients.tobytes(), request.start_step] += 1
        return await super().generate(request, timeout_s=timeout_s)


async def run(
    plan: SearchPlan,
    services: Services,
    recorder: MemoryRecorder,
    progress: Progress | None = None,
    deadline: Deadline = NO_DEADLINE,
) -> list[SearchUpdate]:
    await SearchRunner(plan.settings, services, recorder, deadline=deadline, progress=progress).run(plan.pictures)
    return recorder.updates


async def interrupted(
    plan: SearchPlan, services: Services, after: int, *, kept: bool, deadline: Deadline = NO_DEADLINE
) -> Interrupting:
    """Run a search until its process ends, and give what was kept; or all of it where it ends before."""
    recorder = Interrupting(after, kept=kept)
    with suppress(Interrupted):
        await run(plan, services, recorder, deadline=deadline)
    return recorder


async def resumed(
    before: MemoryRecorder, plan: SearchPlan, services: Services, deadline: Deadline = NO_DEADLINE
) -> list[SearchUpdate]:
    """Run a search on from what was kept of it, and give all that it reported in both runs."""
    if before.updates and isinstance(before.updates[-1], SearchFinished):
        return before.updates
    after = await run(plan, services, MemoryRecorder(), before.progress(), deadline)
    return [*before.updates, *after]


def in_order(updates: list[SearchUpdate]) -> None:
    """Started, prior, candidates and rounds, finished: each of them once."""
    assert [type(update) for update in updates[:2]] == [SearchStarted, PriorReady]
    assert isinstance(updates[-1], SearchFinished)
    assert sum(isinstance(update, SearchStarted | PriorReady | SearchFinished) for update in updates) == 3
    scored = scored_in(updates)
    ids = [update.candidate.id for update in scored]
    assert len(set(ids)) == len(ids)
    assert [update.done for update in scored] == list(range(1, len(scored) + 1))
    rounds = [update.generation for update in updates if isinstance(update, RoundFinished)]
    assert rounds == list(range(len(rounds)))
    best = [update.best_potential for update in scored if update.best_potential is not None]
    assert best == sorted(best)


def scored_in(updates: list[SearchUpdate]) -> list[CandidateScored]:
    return [update for update in updates if isinstance(update, CandidateScored)]


def essence(updates: list[SearchUpdate]) -> dict[str, object]:
    """All that a search found, without the order of arrival and the time it took, and pictures by their pixels.

    Their files are left out: ISA-L was seen to deflate the same pixels into other bytes, once in thousands of times and
    only in long runs of tests on a busy machine.
    """
    finished = updates[-1]
    assert isinstance(finished, SearchFinished)
    finished = replace(finished, picture="", delivered="")
    return {
        "candidates": {
            one.candidate.id: (one.candidate, one.evaluation, one.picture_sha256) for one in scored_in(updates)
        },
        "rounds": [one for one in updates if isinstance(one, RoundFinished)],
        "finished": replace(finished, timings_s={}, spent=replace(finished.spent, wall_s=0.0)),
    }


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.strategy)
@pytest.mark.parametrize("kept", [False, True], ids=["before", "after"])
async def test_a_search_goes_on_from_every_boundary_of_what_it_recorded(
    make_plan: MakePlan, make_services: MakeServices, spec: SearchSpec, kept: bool
) -> None:
    plan = make_plan(spec=spec, micro_batch=2, steps=4)
    whole = await run(plan, make_services(), MemoryRecorder())
    in_order(whole)
    for after in itertools.count():
        services = make_services(models=Counting())
        before = await interrupted(plan, services, after, kept=kept)
        updates = await resumed(before, plan, services)
        in_order(updates)
        assert essence(updates) == essence(whole)
        done = len(scored_in(before.updates))
        again = sum(services.models.made.values()) - len(services.models.made)
        assert again <= 3 * 2, "more was done again than the micro-batches in flight"
        assert services.models.priors <= (1 if len(before.records) > 1 else 2)
        if done == len(scored_in(whole)):
            break


async def test_what_is_stored_are_the_pixels_that_were_scored(make_plan: MakePlan, make_services: MakeServices) -> None:
    services = make_services()
    updates = await run(make_plan(spec=SPECS[1], micro_batch=2, steps=4), services, MemoryRecorder())
    for one in scored_in(updates):
        assert one.picture is not None
        assert content_hash(await get_picture(services.artifacts, one.picture)) == one.picture_sha256
    assert isinstance(updates[-1], SearchFinished)
    assert updates[-1].picture in {one.picture for one in scored_in(updates)}


class Shuffling(ToyScorer):
    """Answers after some turns of the event loop, so that micro-batches end in another order than they began."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.rng = np.random.default_rng(seed)

    async def score(self, pictures: Mapping[str, Picture], context: EditContext) -> Mapping[str, Score]:
        for _ in range(int(self.rng.integers(0, 400))):
            await asyncio.sleep(0)
        return await super().score(pictures, context)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("spec", SPECS[:2], ids=lambda spec: spec.strategy)
async def test_it_finds_the_same_in_whichever_order_micro_batches_end(
    make_plan: MakePlan, make_services: MakeServices, spec: SearchSpec, seed: int
) -> None:
    plan = make_plan(spec=spec, micro_batch=1, steps=4)
    whole = await run(plan, make_services(), MemoryRecorder())
    shuffled = make_services(scorers={"brightness": Shuffling(seed)})
    updates = await run(plan, shuffled, MemoryRecorder())
    order = [one.candidate.id for one in scored_in(updates)]
    assert order != sorted(order), "nothing was shuffled"
    assert essence(updates) == essence(whole)
    for after in (3, 6, 11):
        before = await interrupted(plan, shuffled, after, kept=False)
        assert essence(await resumed(before, plan, shuffled)) == essence(whole)


async def test_outcomes_are_recorded_once(make_plan: MakePlan, make_services: MakeServices) -> None:
    """What a round records does not grow with the rounds before it."""
    recorder = MemoryRecorder()
    await run(make_plan(spec=AdaptiveSpec(seed=7, candidates=24, rounds=6)), make_services(), recorder)
    parts = [part for record in recorder.records for part in record.parts.items()]
    recorded = [json.loads(text) for name, text in parts if name.startswith("outcomes-")]
    assert len(recorded) == sum(isinstance(update, RoundFinished) for update in recorder.updates)
    ids = [outcome["candidate"]["id"] for outcomes in recorded for outcome in outcomes]
    assert sorted(ids) == sorted(one.candidate.id for one in scored_in(recorder.updates))
    assert all("history" not in json.loads(text)["snapshot"] for name, text in parts if name == "strategy")


async def test_it_survives_any_number_of_interruptions(make_plan: MakePlan, make_services: MakeServices) -> None:
    plan, services = make_plan(micro_batch=1), make_services()
    whole = await run(plan, make_services(), MemoryRecorder())
    kept = MemoryRecorder()
    while not (kept.updates and isinstance(kept.updates[-1], SearchFinished)):
        once = Interrupting(0, kept=True)
        with pytest.raises(Interrupted):
            await run(plan, services, once, kept.progress())
        kept.records += once.records
    in_order(kept.updates)
    assert essence(kept.updates) == essence(whole)


async def test_its_pictures_as_they_came_are_not_needed_again(make_plan: MakePlan, make_services: MakeServices) -> None:
    plan, services = make_plan(), make_services()
    before = await interrupted(plan, services, 3, kept=True)
    scene, character = plan.pictures.scene, plan.pictures.character
    black = replace(plan, pictures=SearchPictures(np.zeros_like(scene), np.zeros_like(character)))
    whole = await run(plan, make_services(), MemoryRecorder())
    assert essence(await resumed(before, black, services)) == essence(whole)


class Slow(ToyModels):
    """Takes a time that no search has; counts how long it was let."""

    async def generate(self, request: GenerateRequest, *, timeout_s: float | None = None) -> Generated:
        await asyncio.sleep(3600)
        raise AssertionError("slept through")


class TestTime:
    """Deadlines are points in time; a time budget is time of work."""

    @given(
        after=st.integers(0, 9),
        kept=st.booleans(),
        left_s=st.one_of(st.none(), st.floats(-5.0, 60.0)),
        budget_s=st.one_of(st.none(), st.floats(0.001, 60.0)),
        worked_s=st.floats(0.0, 120.0),
        spec=st.sampled_from(SPECS),
    )
    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    async def test_a_search_ends_well_wherever_it_is_resumed_and_however_little_time_is_left(
        self,
        make_plan: MakePlan,
        make_services: MakeServices,
        after: int,
        kept: bool,
        left_s: float | None,
        budget_s: float | None,
        worked_s: float,
        spec: SearchSpec,
    ) -> None:
        plan = make_plan(spec=spec, micro_batch=2, budget=Budget(wall_time_s=budget_s))
        services = make_services()
        before = await interrupted(
            replace(plan, settings=replace(plan.settings, budget=Budget())), services, after, kept=kept
        )
        if before.updates and isinstance(before.updates[-1], SearchFinished):
            return
        spent_before = having_worked(before, worked_s)
        try:
            updates = await resumed(before, plan, services, Deadline.after(left_s))
        except DeadlineExceeded:
            assert left_s is not None
            assert not any(isinstance(update, PriorReady) for update in before.updates)
            return
        in_order(updates)
        finished = updates[-1]
        assert isinstance(finished, SearchFinished)
        assert finished.spent.wall_s >= spent_before
        assert finished.stop_reason in (StopReason.COMPLETED, StopReason.WALL_TIME)
        if budget_s is not None and worked_s >= budget_s and before.updates:
            assert scored_in(updates) == scored_in(before.updates), "none is made with time that is spent"

    async def test_a_deadline_counts_from_where_it_stands_not_from_the_resumption(
        self, make_plan: MakePlan, make_services: MakeServices
    ) -> None:
        plan, services = make_plan(micro_batch=1), make_services()
        before = await interrupted(plan, services, 4, kept=True)
        having_worked(before, 30.0)
        finished = (await resumed(before, plan, services, Deadline.after(40.0)))[-1]
        assert isinstance(finished, SearchFinished)
        assert finished.stop_reason is StopReason.COMPLETED

    async def test_a_round_that_its_time_budget_cut_off_stays_cut_off(
        self, make_plan: MakePlan, make_services: MakeServices
    ) -> None:
        plan = make_plan(budget=Budget(wall_time_s=0.3), micro_batch=4)
        services = make_services(models=Slow())
        before = await interrupted(plan, services, 2, kept=True)
        assert [type(update) for update in before.updates] == [SearchStarted, PriorReady]
        updates = await resumed(before, plan, replace(services, models=ToyModels()))
        assert isinstance(updates[-1], SearchFinished)
        assert updates[-1].stop_reason is StopReason.WALL_TIME

    @pytest.mark.parametrize("left_s", [-100.0, 0.0])
    async def test_one_that_comes_back_after_its_deadline_gives_the_best_so_far(
        self, make_plan: MakePlan, make_services: MakeServices, left_s: float
    ) -> None:
        plan, services = make_plan(micro_batch=2), make_services()
        before = await interrupted(plan, services, 4, kept=True)
        finished = (await resumed(before, plan, services, Deadline.after(left_s)))[-1]
        assert isinstance(finished, SearchFinished)
        assert finished.stop_reason is StopReason.WALL_TIME
        assert finished.best is not None


def having_worked(recorder: MemoryRecorder, seconds: float) -> float:
    """Have what was kept say that the search has been worked on for so long."""
    if not recorder.records:
        return 0.0
    last = recorder.records[-1]
    recorder.records[-1] = replace(last, spent=json.dumps({**json.loads(last.spent), "wall_s": seconds}))
    return seconds


class Failing(ToyModels):
    """Fails the batches that it is told to, counted from 0."""

    def __init__(self, *batches: int) -> None:
        super().__init__()
        self.batches, self.calls = batches, 0

    async def generate(self, request: GenerateRequest, *, timeout_s: float | None = None) -> Generated:
        self.calls += 1
        if self.calls - 1 in self.batches:
            raise TritonModelFailed("broken")
        return await super().generate(request, timeout_s=timeout_s)


class TestFailedBatches:
    async def test_a_first_batch_that_failed_before_is_remembered(
        self, make_plan: MakePlan, make_services: MakeServices
    ) -> None:
        plan, services = make_plan(micro_batch=4), make_services(models=Failing(0))
        before = await interrupted(plan, services, 2, kept=True)
        assert isinstance(before.updates[-1], CandidateScored)
        assert before.updates[-1].failure is not None
        with pytest.raises(TritonModelFailed, match="broken"):
            await resumed(before, plan, replace(services, models=Failing(0)))
        updates = await resumed(before, plan, replace(services, models=ToyModels()))
        in_order(updates)
        assert updates[-1].statistics.failed == 4

    async def test_one_whose_only_batch_left_fails_says_so(
        self, make_plan: MakePlan, make_services: MakeServices
    ) -> None:
        plan, services = make_plan(spec=BestOfNSpec(seed=1, candidates=8), micro_batch=4), make_services()
        before = await interrupted(plan, services, 2, kept=True)
        updates = await resumed(before, plan, replace(services, models=Failing(0)))
        assert updates[-1].statistics.failed == 4


class Elsewhere(ToyModels):
    """The same models of another export, or of another sampler."""

    def __init__(self, **fields: str) -> None:
        super().__init__()
        self.served = replace(TOY_CHECKPOINT, **fields)

    async def describe(self) -> ServedCheckpoint:
        return self.served


class TestOtherWeights:
    @pytest.mark.parametrize("fields", [{"fingerprint": "other"}, {"build": "other"}])
    async def test_a_search_does_not_go_on_with_them(
        self, make_plan: MakePlan, make_services: MakeServices, fields: Mapping[str, str]
    ) -> None:
        plan, services = make_plan(), make_services()
        for after in range(5):
            before = await interrupted(plan, services, after, kept=True)
            with pytest.raises(CheckpointChanged):
                await resumed(before, plan, replace(services, models=Elsewhere(**fields)))


class Fickle(ToyScorer):
    """Answers 0.2, 0.4, 0.6 in turn."""

    def __init__(self) -> None:
        super().__init__("fickle")
        self.stochastic, self.vlm_calls, self.asked = True, 1, 0

    async def score(self, pictures: Mapping[str, Picture], context: EditContext) -> Mapping[str, Score]:
        answers = {}
        for name in pictures:
            answers[name] = 0.2 * (1 + self.asked % 3)
            self.asked += 1
        return answers


async def test_averaged_scores_are_kept_with_their_round(make_plan: MakePlan, make_services: MakeServices) -> None:
    plan = make_plan(
        objective=Objective(Weights({"fickle": 1.0})),
        spec=EacpsSpec(seed=1, global_candidates=4, parents=1, children_per_parent=1),
        score_repeats=3,
        micro_batch=1,
    )
    services = make_services(scorers={"fickle": Fickle()})
    before = await interrupted(plan, services, 7, kept=True)
    assert isinstance(before.updates[-2], RoundFinished), "all of the first round and one of the second"
    finished = (await resumed(before, plan, services))[-1]
    assert isinstance(finished, SearchFinished)
    first = before.progress()
    assert first is not None
    if finished.best is not None and finished.best.generation == 0:
        assert finished.evaluation.card.repeats == {"fickle": 3}


async def test_an_outage_in_the_middle_loses_nothing(make_plan: MakePlan, make_services: MakeServices) -> None:
    class Away(ToyModels):
        calls = 0

        async def generate(self, request: GenerateRequest, *, timeout_s: float | None = None) -> Generated:
            self.calls += 1
            if self.calls > 1:
                raise TritonUnavailable("away")
            return await super().generate(request, timeout_s=timeout_s)

    plan, services = (
        make_plan(micro_batch=2),
        make_services(models=Away(), limits=ExecutionLimits(retry_delay_s=0.0, retries=0)),
    )
    recorder = MemoryRecorder()
    with pytest.raises(TritonUnavailable):
        await run(plan, services, recorder)
    assert all(one.failure is None for one in recorder.updates if isinstance(one, CandidateScored))
    updates = await resumed(recorder, plan, replace(services, models=ToyModels()))
    whole = await run(plan, make_services(), MemoryRecorder())
    assert essence(updates) == essence(whole)


SAMPLE = Path(__file__).parents[2] / "studio_mini" / "samples" / "smile"


async def test_it_goes_on_with_real_models(triton: EmbeddedTriton) -> None:
    settings = SearchSettings(
        search_id="resume",
        prompt=(SAMPLE / "prompt.txt").read_text().strip(),
        spec=EacpsSpec(seed=1, global_candidates=3, parents=1, children_per_parent=2),
        objective=Objective(Weights({"identity": 0.5, "realism": 0.3, "prompt": 0.2})),
        steps=2,
        micro_batch=1,
    )
    scene, character = (decode_picture((SAMPLE / f"{name}.png").read_bytes()) for name in ("scene", "character"))
    plan = SearchPlan(settings, SearchPictures(scene, character))
    gateway = await TritonGateway.connect(triton.grpc_url, ready_timeout_s=30.0)
    try:
        services = Services(gateway, build_scorers(gateway, judge=JoinedQuestions(gateway)), MemoryArtifacts())
        whole = essence(await run(plan, services, MemoryRecorder()))
        for after in (0, 1, 3, 5):
            updates = await resumed(await interrupted(plan, services, after, kept=True), plan, services)
            in_order(updates)
            found = essence(updates)
            assert found["candidates"] == whole["candidates"]
            assert found["finished"] == whole["finished"]
    finally:
        await gateway.close()
