"""Whole searches over the toy landscape."""

import asyncio
import threading
import weakref
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from eacps.arrays import Picture
from eacps.errors import (
    CallTimedOut,
    DeadlineExceeded,
    EvaluationFailed,
    NoFaceFound,
    TritonModelFailed,
    TritonUnavailable,
)
from eacps.evaluation import (
    CandidateScored,
    Deadline,
    ExecutionLimits,
    MemoryRecorder,
    PriorReady,
    Record,
    RoundFinished,
    SearchFinished,
    SearchPlan,
    SearchRunner,
    SearchStarted,
    SearchUpdate,
    Services,
)
from eacps.imaging import decode_picture
from eacps.scoring import EditContext, MissingScore, Score
from eacps.search.budget import Budget, StopReason
from eacps.search.objective import Objective
from eacps.search.potential import Weights
from eacps.search.spec import AdaptiveSpec, BestOfNSpec
from eacps.search.strategy import Strategy
from eacps.testing import ToyModels, ToyScorer
from eacps.triton import Generated, GenerateRequest

NO_DEADLINE = Deadline()
MakePlan = Callable[..., SearchPlan]
MakeServices = Callable[..., Services]


async def updates_of(plan: SearchPlan, services: Services, deadline: Deadline = NO_DEADLINE) -> list[SearchUpdate]:
    recorder = MemoryRecorder()
    await SearchRunner(plan.settings, services, recorder, deadline=deadline).run(plan.pictures)
    return recorder.updates


async def test_strategies_compute_off_the_event_loop(
    make_plan: MakePlan, make_services: MakeServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They take seconds for thousands of candidates, whole and when they are resumed."""
    called: dict[str, set[int]] = {}

    def watched(name: str) -> Callable[..., Any]:
        method = getattr(Strategy, name)

        def call(self: Strategy, *arguments: Any) -> Any:
            called.setdefault(name, set()).add(threading.get_ident())
            return method(self, *arguments)

        return call

    for name in ("ask", "tell", "ranking", "snapshot", "_recall"):
        monkeypatch.setattr(Strategy, name, watched(name))
    plan, services, recorder = make_plan(), make_services(), MemoryRecorder()
    await SearchRunner(plan.settings, services, recorder, deadline=NO_DEADLINE).run(plan.pictures)
    resumed = SearchRunner(plan.settings, services, MemoryRecorder(), progress=recorder.progress(4))
    await resumed.run(None)
    assert set(called) == {"ask", "tell", "ranking", "snapshot", "_recall"}
    assert threading.get_ident() not in set().union(*called.values())


def scored_in(updates: list[SearchUpdate]) -> list[CandidateScored]:
    return [update for update in updates if isinstance(update, CandidateScored)]


def essence(updates: list[SearchUpdate]) -> object:
    """What does not depend on the order in which results arrive."""
    return {one.candidate.id: (one.candidate, one.evaluation, one.picture_sha256) for one in scored_in(updates)}


def finish_of(updates: list[SearchUpdate]) -> SearchFinished:
    finished = updates[-1]
    assert isinstance(finished, SearchFinished)
    return finished


class Unhappy(ToyModels):
    """Raises the given errors from ``generate``, one a call, before it works."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__()
        self.errors, self.calls = list(errors), 0

    async def generate(self, request: GenerateRequest, *, timeout_s: float | None = None) -> Generated:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return await super().generate(request, timeout_s=timeout_s)


class TestACompleteSearch:
    async def test_tells_what_happens_in_order(self, make_plan: MakePlan, make_services: MakeServices) -> None:
        updates = await updates_of(make_plan(), make_services())
        kinds = [type(update) for update in updates]
        assert kinds == [
            SearchStarted,
            PriorReady,
            *[CandidateScored] * 8,
            RoundFinished,
            *[CandidateScored] * 6,
            RoundFinished,
            SearchFinished,
        ]

    async def test_counts_candidates_and_keeps_the_best(self, make_plan: MakePlan, make_services: MakeServices) -> None:
        updates = await updates_of(make_plan(), make_services())
        scored, finished = scored_in(updates), finish_of(updates)
        assert [one.done for one in scored] == list(range(1, 15))
        values = {one.candidate.id: one.evaluation.potential.value for one in scored}
        assert len(values) == 14
        assert finished.best.id == max(values, key=lambda name: values[name])
        assert finished.evaluation.potential.value == max(values.values()) == scored[-1].best_potential
        assert [one.best_potential for one in scored] == sorted(one.best_potential for one in scored)
        assert finished.statistics.evaluated == 14
        assert finished.statistics.first == values["g0-000"]
        assert finished.spent.nfe == 14 * 4

    async def test_delivers_the_picture_that_was_scored(self, make_plan: MakePlan, make_services: MakeServices) -> None:
        services = make_services()
        finished = finish_of(await updates_of(make_plan(), services))
        picture = decode_picture(await services.artifacts.get(finished.picture))
        assert picture.shape == (32, 32, 3)
        assert picture.mean() / 255 == pytest.approx(finished.evaluation.card.values["brightness"])

    async def test_traces_the_lineage_of_the_best(self, make_plan: MakePlan, make_services: MakeServices) -> None:
        updates = await updates_of(make_plan(), make_services())
        parents = {one.candidate.id: one.candidate.parents for one in scored_in(updates)}
        lineage = finish_of(updates).lineage
        assert all(parents[child] == (parent,) for child, parent in pairwise(lineage))
        assert parents[lineage[-1]] == ()

    async def test_is_the_same_for_the_same_seed(self, make_plan: MakePlan, make_services: MakeServices) -> None:
        first = await updates_of(make_plan(), make_services())
        again = await updates_of(make_plan(micro_batch=3), make_services())
        assert essence(first) == essence(again)

    async def test_reports_scorers_of_weight_zero_without_counting_them(
        self, make_plan: MakePlan, make_services: MakeServices
    ) -> None:
        scorers = {"brightness": ToyScorer(), "other": Constant("other", 0.5)}
        plan = make_plan(objective=Objective(Weights({"brightness": 2.0, "other": 0.0})))
        updates = await updates_of(plan, make_services(scorers=scorers))
        evaluation = finish_of(updates).evaluation
        assert evaluation.card.values["other"] == 0.5
        assert evaluation.potential.value == evaluation.card.values["brightness"]
        assert updates[0].weights == {"brightness": 1.0, "other": 0.0}

    async def test_best_of_n_runs_too(self, make_plan: MakePlan, make_services: MakeServices) -> None:
        updates = await updates_of(make_plan(spec=BestOfNSpec(seed=3, candidates=5)), make_services())
        assert len(scored_in(updates)) == 5
        assert len([update for update in updates if isinstance(update, RoundFinished)]) == 1

    async def test_names_all_that_made_the_result(self, make_plan: MakePlan, make_services: MakeServices) -> None:
        finished = finish_of(await updates_of(make_plan(), make_services()))
        versions = dict(finished.versions)
        assert versions.pop("checkpoint").startswith("toy@")
        assert set(versions) == {"eacps", "noise", "noise_dtype", "triton", "scorer.brightness"}
        assert (versions["noise"], versions["noise_dtype"]) == ("toy-1", "float32")
        assert versions["scorer.brightness"] == "toy_brightness@1"
        assert finished.noise_shape == (1, 2, 2)

    async def test_measures_every_stage(self, make_plan: MakePlan, make_services: MakeServices) -> None:
        timings = finish_of(await updates_of(make_plan(), make_services())).timings_s
        assert set(timings) == {"prepare", "generate", "score", "deliver", "total"}
        assert timings["total"] >= max(timings["prepare"], timings["generate"], timings["score"])


class TestMemory:
    async def test_of_equals_the_first_proposed_is_delivered(
        self, make_plan: MakePlan, make_services: MakeServices
    ) -> None:
        scorers = {"brightness": Constant("brightness", 0.5)}
        services = make_services(scorers=scorers)
        finished = finish_of(await updates_of(make_plan(micro_batch=1), services))
        assert finished.best.id == "g0-000"
        assert finished.picture

    async def test_pictures_as_they_came_go_once_they_are_fitted(
        self, make_plan: MakePlan, make_services: MakeServices
    ) -> None:
        plan = make_plan()
        recorder = Seeing(weakref.ref(plan.pictures.scene))
        search = SearchRunner(plan.settings, make_services(), recorder).run(plan.pictures)
        del plan
        await search
        assert not recorder.scene_at_first_candidate


class TestFailures:
    async def test_a_batch_is_tried_again_when_triton_was_away(
        self, make_plan: MakePlan, make_services: MakeServices
    ) -> None:
        models = Unhappy(TritonUnavailable("away"))
        updates = await updates_of(make_plan(), make_services(models=models))
        assert finish_of(updates).statistics.failed == 0
        assert models.calls == 5  # four micro-batches, one of them twice

    async def test_a_batch_that_fails_is_failed_not_zero(
        self, make_plan: MakePlan, make_services: MakeServices
    ) -> None:
        updates = await updates_of(make_plan(), make_services(models=Unhappy(TritonModelFailed("broken"))))
        failed = [one for one in scored_in(updates) if one.failure is not None]
        assert [one.candidate.id for one in failed] == ["g0-000", "g0-001", "g0-002", "g0-003"]
        assert all(one.evaluation is None and "broken" in str(one.failure) and not one.thumbnail for one in failed)
        finished = finish_of(updates)
        assert (finished.statistics.evaluated, finished.statistics.failed) == (10, 4)
        assert finished.statistics.first is None
        assert finished.spent.nfe == 10 * 4

    @pytest.mark.parametrize(("error", "calls"), [(TritonModelFailed("broken"), 2), (TritonUnavailable("away"), 4)])
    async def test_two_failed_batches_in_a_row_end_the_search(
        self, make_plan: MakePlan, make_services: MakeServices, error: Exception, calls: int
    ) -> None:
        models = Unhappy(*[error] * 100)
        with pytest.raises(type(error), match=str(error)):
            await updates_of(make_plan(micro_batch=1), make_services(models=models))
        assert models.calls <= calls + 1  # the next batch may just have been begun, to be cancelled at once

    async def test_failed_batches_with_a_success_between_do_not(
        self, make_plan: MakePlan, make_services: MakeServices
    ) -> None:
        class Flaky(Unhappy):
            async def generate(self, request: GenerateRequest, *, timeout_s: float | None = None) -> Generated:
                if self.calls % 2 == 0:
                    self.errors.append(TritonModelFailed("broken"))
                return await super().generate(request, timeout_s=timeout_s)

        finished = finish_of(await updates_of(make_plan(micro_batch=1), make_services(models=Flaky())))
        assert finished.statistics.failed == 7

    async def test_a_round_of_one_batch_that_fails_ends_the_search(
        self, make_plan: MakePlan, make_services: MakeServices
    ) -> None:
        with pytest.raises(TritonModelFailed, match="broken"):
            await updates_of(make_plan(micro_batch=8), make_services(models=Unhappy(TritonModelFailed("broken"))))

    async def test_a_later_round_that_fails_whole_ends_the_search(
        self, make_plan: MakePlan, make_services: MakeServices
    ) -> None:
        class LateTrouble(Unhappy):
            async def generate(self, request: GenerateRequest, *, timeout_s: float | None = None) -> Generated:
                if self.calls >= 2:
                    raise TritonModelFailed("broken")
                return await super().generate(request, timeout_s=timeout_s)

        recorder, plan = MemoryRecorder(), make_plan()
        with pytest.raises(TritonModelFailed, match="broken"):
            await SearchRunner(plan.settings, make_services(models=LateTrouble()), recorder).run(plan.pictures)
        assert len([update for update in recorder.updates if isinstance(update, RoundFinished)]) == 1

    async def test_a_hung_sampler_is_given_up(self, make_plan: MakePlan, make_services: MakeServices) -> None:
        models = Unhappy(*[DeadlineExceeded("sampler")] * 2)  # as the gateway says once a call's own time is up
        limits = ExecutionLimits(retry_delay_s=0.0, generate_timeout_s=0.5)
        with pytest.raises(CallTimedOut, match=r"no answer within 0\.5 s"):
            await updates_of(make_plan(), make_services(models=models, limits=limits), Deadline.after(60))
        assert models.calls == 2

    async def test_no_face_ends_the_search(self, make_plan: MakePlan, make_services: MakeServices) -> None:
        with pytest.raises(NoFaceFound):
            await updates_of(make_plan(), make_services(models=ToyModels(sees_faces=False)))

    async def test_a_bug_comes_out_as_it_is(self, make_plan: MakePlan, make_services: MakeServices) -> None:
        with pytest.raises(ZeroDivisionError):
            await updates_of(make_plan(), make_services(models=Unhappy(ZeroDivisionError())))

    async def test_a_failed_score_is_missing_not_zero(self, make_plan: MakePlan, make_services: MakeServices) -> None:
        scorers = {"brightness": ToyScorer(), "broken": Constant("broken", MissingScore("no answer"))}
        plan = make_plan(objective=Objective(Weights({"brightness": 3.0, "broken": 1.0})))
        updates = await updates_of(plan, make_services(scorers=scorers))
        evaluation = finish_of(updates).evaluation
        assert evaluation.card.missing == {"broken": "no answer"}
        assert not evaluation.potential.complete
        assert evaluation.potential.value == pytest.approx(0.75 * evaluation.card.values["brightness"])
        finished = finish_of(updates)
        assert finished.missing_scores == 14
        # Lower bounds are ranked, but they are no measurements.
        assert finished.statistics.best == evaluation.potential.value
        assert finished.statistics.first is finished.statistics.gain_over_first is None
        assert finished.prior_potential is finished.gain_over_prior is None
        assert all(one.mean_potential is None for one in updates if isinstance(one, RoundFinished))

    async def test_a_candidate_without_any_score_is_failed(
        self, make_plan: MakePlan, make_services: MakeServices
    ) -> None:
        scorers = {"brightness": Constant("brightness", MissingScore("no answer"))}
        with pytest.raises(EvaluationFailed, match="no answer"):
            await updates_of(make_plan(), make_services(scorers=scorers))


class Announcing(ToyModels):
    """Gateway that signals when the second micro-batch is being generated."""

    def __init__(self) -> None:
        super().__init__()
        self.calls, self.second_call = 0, asyncio.Event()

    async def generate(self, request: GenerateRequest, *, timeout_s: float | None = None) -> Generated:
        self.calls += 1
        if self.calls == 2:
            self.second_call.set()
        return await super().generate(request, timeout_s=timeout_s)


class AfterGeneration(ToyScorer):
    """Answers about candidates only once an event has happened."""

    def __init__(self, event: asyncio.Event) -> None:
        super().__init__()
        self._event = event

    async def score(self, pictures: Mapping[str, Picture], context: EditContext) -> Mapping[str, Score]:
        if "prior" not in pictures:
            await self._event.wait()
        return await super().score(pictures, context)


class TestPace:
    async def test_scoring_overlaps_generation(self, make_plan: MakePlan, make_services: MakeServices) -> None:
        """The first picture is scored only after the second one is being generated: without overlap this hangs."""
        plan = make_plan(spec=BestOfNSpec(seed=1, candidates=8), micro_batch=1)
        models = Announcing()
        services = make_services(models=models, scorers={"brightness": AfterGeneration(models.second_call)})
        async with asyncio.timeout(60):
            await updates_of(plan, services)
        assert models.calls == 8

    async def test_generation_waits_for_scoring(self, make_plan: MakePlan, make_services: MakeServices) -> None:
        scorer = Counting()
        plan = make_plan(spec=BestOfNSpec(seed=1, candidates=12), micro_batch=1)
        await updates_of(
            plan,
            make_services(
                scorers={"brightness": scorer}, limits=ExecutionLimits(unscored_batches=3, retry_delay_s=0.0)
            ),
        )
        assert scorer.most <= 3

    async def test_a_slow_recorder_slows_the_search(self, make_plan: MakePlan, make_services: MakeServices) -> None:
        models = Unhappy()
        services = make_services(models=models, limits=ExecutionLimits(unscored_batches=1))
        plan = make_plan(spec=BestOfNSpec(seed=1, candidates=40), micro_batch=1)
        search = asyncio.create_task(SearchRunner(plan.settings, services, Stuck()).run(plan.pictures))
        await asyncio.sleep(0.1)
        assert models.calls < 10
        search.cancel()
        await asyncio.wait({search})


class TestEnding:
    async def test_cancelling_it_cancels_everything_below(
        self, make_plan: MakePlan, make_services: MakeServices
    ) -> None:
        models = Endless()
        reader = asyncio.create_task(updates_of(make_plan(), make_services(models=models)))
        await models.started.wait()
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        assert models.cancelled
        assert asyncio.all_tasks() == {asyncio.current_task()}

    async def test_a_passed_deadline_ends_the_search(self, make_plan: MakePlan, make_services: MakeServices) -> None:
        models = Endless()
        finished = finish_of(await updates_of(make_plan(), make_services(models=models), Deadline.after(2.0)))
        assert (finished.best, finished.recipe, finished.stop_reason) == (None, None, StopReason.WALL_TIME)
        assert finished.evaluation.potential is not None  # the prior's
        assert finished.picture
        assert models.cancelled
        assert models.timeout_s is not None
        assert 0 < models.timeout_s <= 2.0
        assert asyncio.all_tasks() == {asyncio.current_task()}


class TestInputs:
    async def test_the_mask_goes_with_the_scene(self, make_plan: MakePlan, make_services: MakeServices) -> None:
        models, mask = Watching(), np.zeros((40, 60), np.uint8)
        mask[:, 30:] = 255
        plan = make_plan(mask=mask, character_as_reference=False)
        await updates_of(plan, make_services(models=models))
        request = models.requests[0]
        assert request.edit_mask.shape == (32, 32)
        assert set(np.unique(request.edit_mask)) == {0, 255}
        assert request.scene.shape == (32, 32, 3)
        assert request.pictures.shape == (1, 32, 32, 3)

    async def test_settings_reach_the_sampler(self, make_plan: MakePlan, make_services: MakeServices) -> None:
        models = Watching()
        plan = make_plan(steps=6, true_cfg_scale=4.0, negative_prompt="blurry")
        finished = finish_of(await updates_of(plan, make_services(models=models)))
        request = models.requests[0]
        assert (request.steps, request.start_step) == (6, 0)
        assert (request.true_cfg_scale, request.negative_prompt) == (4.0, "blurry")
        assert (request.scene, request.edit_mask, request.latents) == (None, None, None)
        assert request.pictures.shape == (2, 32, 32, 3)
        assert request.seeds.shape == (4, 1)
        assert finished.spent.nfe == 14 * 6 * 2

    async def test_a_large_character_picture_is_looked_at_in_all_its_pixels(
        self, make_plan: MakePlan, make_services: MakeServices
    ) -> None:
        plan = make_plan(character=np.zeros((1500, 2048, 3), np.uint8))
        updates = await updates_of(plan, make_services())
        assert updates[1].character_box == (8.0, 8.0, 2040.0, 1492.0)


class Constant:
    """Scorer with the same outcome for every picture."""

    def __init__(self, name: str, outcome: Score) -> None:
        self.name, self.outcome = name, outcome
        self.identity = f"{name}@1"
        self.stochastic, self.vlm_calls = False, 0

    async def score(self, pictures: Mapping[str, Picture], context: EditContext) -> Mapping[str, Score]:
        assert context.prompt
        return dict.fromkeys(pictures, self.outcome)


class Seeing(MemoryRecorder):
    """Looks whether a picture is there still when the first candidates are recorded."""

    def __init__(self, scene: weakref.ref[Picture]) -> None:
        super().__init__()
        self.scene, self.scene_at_first_candidate = scene, True

    async def record(self, record: Record) -> None:
        if any(isinstance(entry.update, CandidateScored) for entry in record.entries):
            self.scene_at_first_candidate = self.scene() is not None
        await super().record(record)


class Stuck(MemoryRecorder):
    """Never keeps a candidate."""

    async def record(self, record: Record) -> None:
        if any(isinstance(entry.update, CandidateScored) for entry in record.entries):
            await asyncio.sleep(3600)
        await super().record(record)


class Counting(ToyScorer):
    """Remembers how many calls were under way at once."""

    def __init__(self) -> None:
        super().__init__(duration_s=0.02)
        self.now, self.most = 0, 0

    async def score(self, pictures: Mapping[str, Picture], context: EditContext) -> Mapping[str, Score]:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            return await super().score(pictures, context)
        finally:
            self.now -= 1


class Endless(ToyModels):
    """Never finishes a picture, and remembers being cancelled."""

    def __init__(self) -> None:
        super().__init__()
        self.started, self.cancelled = asyncio.Event(), False
        self.timeout_s: float | None = None

    async def generate(self, request: GenerateRequest, *, timeout_s: float | None = None) -> Generated:
        assert request.steps
        self.timeout_s = timeout_s
        self.started.set()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        raise AssertionError("slept through")


class Watching(ToyModels):
    """Remembers requests."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[GenerateRequest] = []

    async def generate(self, request: GenerateRequest, *, timeout_s: float | None = None) -> Generated:
        self.requests.append(request)
        return await super().generate(request, timeout_s=timeout_s)


class TestBudgets:
    @pytest.mark.parametrize(
        ("budget", "reason"),
        [
            (Budget(nfe=20), StopReason.NFE),
            (Budget(pictures=5), StopReason.PICTURES),
            (Budget(target_potential=1e-6), StopReason.TARGET_REACHED),
        ],
    )
    async def test_end_the_search_with_the_best_so_far(
        self, make_plan: MakePlan, make_services: MakeServices, budget: Budget, reason: StopReason
    ) -> None:
        finished = finish_of(await updates_of(make_plan(budget=budget, steps=4), make_services()))
        assert finished.stop_reason is reason
        assert finished.best is not None
        assert budget.nfe is None or finished.spent.nfe <= budget.nfe
        assert budget.pictures is None or finished.spent.pictures <= budget.pictures

    async def test_a_round_that_promises_too_little_is_not_run(
        self, make_plan: MakePlan, make_services: MakeServices
    ) -> None:
        plan = make_plan(spec=AdaptiveSpec(7, 16), budget=Budget(min_gain_per_trajectory=1.0), steps=4)
        finished = finish_of(await updates_of(plan, make_services()))
        assert finished.stop_reason is StopReason.LITTLE_GAIN
        assert finished.best is not None
        assert finished.spent.nfe == 4 * 4, "the first round has nothing to expect from"

    async def test_all_rounds_is_a_reason_too(self, make_plan: MakePlan, make_services: MakeServices) -> None:
        finished = finish_of(await updates_of(make_plan(), make_services()))
        assert finished.stop_reason is StopReason.COMPLETED
        assert finished.best is not None
        assert finished.best.id in finished.pareto_front
        assert finished.gains["brightness"].over_prior is not None


class Fickle(Constant):
    """Answers 0.2, 0.4, 0.6 in turn."""

    def __init__(self) -> None:
        super().__init__("fickle", 0.5)
        self.stochastic, self.vlm_calls, self.asked = True, 1, 0

    async def score(self, pictures: Mapping[str, Picture], context: EditContext) -> Mapping[str, Score]:
        answers = {}
        for name in pictures:
            answers[name] = 0.2 * (1 + self.asked % 3)
            self.asked += 1
        return answers


class TestRepeats:
    async def test_are_asked_where_a_selection_turns_and_averaged(
        self, make_plan: MakePlan, make_services: MakeServices
    ) -> None:
        fickle = Fickle()
        plan = make_plan(
            spec=BestOfNSpec(seed=3, candidates=6),
            objective=Objective(Weights({"fickle": 1.0})),
            score_repeats=3,
        )
        finished = finish_of(await updates_of(plan, make_services(scorers={"fickle": fickle})))
        assert finished.spent.vlm_calls == fickle.asked
        assert 7 < fickle.asked <= 7 + 2 * 4
        assert finished.evaluation.card.repeats.get("fickle", 1) >= 1
