"""Whole searches over the toy landscape."""

import asyncio
import json
import weakref
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from eacps.errors import DeadlineExceeded, EvaluationFailed, NoFaceFound, TritonModelFailed, TritonUnavailable
from eacps.evaluation import (
    CandidateScored,
    Deadline,
    DirectRunner,
    JournalRunner,
    Laboratory,
    MemoryArtifacts,
    Pace,
    PriorReady,
    RoundFinished,
    SearchFinished,
    SearchPlan,
    SearchStarted,
    SearchUpdate,
    run_search,
)
from eacps.evaluation.toy import ToyModels, ToyScorer
from eacps.imaging import Picture, decode_picture
from eacps.scoring import EditContext, Missing, Outcome
from eacps.search.budget import Budget, Spent, StopReason
from eacps.search.objective import Objective
from eacps.search.potential import Weights
from eacps.search.pruning import Pruning, PruningMode
from eacps.search.spec import BestOfNSpec
from eacps.triton import Generated, GenerateRequest, Prior, ServedCheckpoint

NO_DEADLINE = Deadline()
MakePlan = Callable[..., SearchPlan]
MakeLaboratory = Callable[..., Laboratory]


async def updates_of(plan: SearchPlan, laboratory: Laboratory, deadline: Deadline = NO_DEADLINE) -> list[SearchUpdate]:
    return [update async for update in run_search(plan, laboratory, deadline=deadline)]


async def collect(updates: list[SearchUpdate], search: AsyncIterator[SearchUpdate]) -> None:
    """Gathers what came before an error, too."""
    async for update in search:
        updates.append(update)  # noqa: PERF401  # a comprehension would lose them


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


class Absent:
    """Models that nobody may call."""

    async def describe(self) -> ServedCheckpoint:
        raise AssertionError("describe was called")

    async def prepare_prior(self, *pictures: object, **settings: object) -> Prior:
        raise AssertionError(f"prepare_prior was called with {pictures} {settings}")

    async def generate(self, request: GenerateRequest, *, timeout_s: float | None = None) -> Generated:
        raise AssertionError(f"generate was called with {request} {timeout_s}")


class TestACompleteSearch:
    async def test_tells_what_happens_in_order(self, make_plan: MakePlan, make_laboratory: MakeLaboratory) -> None:
        updates = await updates_of(make_plan(), make_laboratory())
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

    async def test_counts_candidates_and_keeps_the_best(
        self, make_plan: MakePlan, make_laboratory: MakeLaboratory
    ) -> None:
        updates = await updates_of(make_plan(), make_laboratory())
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

    async def test_delivers_the_picture_that_was_scored(
        self, make_plan: MakePlan, make_laboratory: MakeLaboratory
    ) -> None:
        laboratory = make_laboratory()
        finished = finish_of(await updates_of(make_plan(), laboratory))
        picture = decode_picture(await laboratory.artifacts.get(finished.picture))
        assert picture.shape == (32, 32, 3)
        assert picture.mean() / 255 == pytest.approx(finished.evaluation.card.values["brightness"])

    async def test_traces_the_lineage_of_the_best(self, make_plan: MakePlan, make_laboratory: MakeLaboratory) -> None:
        updates = await updates_of(make_plan(), make_laboratory())
        parents = {one.candidate.id: one.candidate.parents for one in scored_in(updates)}
        lineage = finish_of(updates).lineage
        assert all(parents[child] == (parent,) for child, parent in pairwise(lineage))
        assert parents[lineage[-1]] == ()

    async def test_is_the_same_for_the_same_seed(self, make_plan: MakePlan, make_laboratory: MakeLaboratory) -> None:
        first = await updates_of(make_plan(), make_laboratory())
        again = await updates_of(make_plan(micro_batch=3), make_laboratory())
        assert essence(first) == essence(again)

    async def test_reports_scorers_of_weight_zero_without_counting_them(
        self, make_plan: MakePlan, make_laboratory: MakeLaboratory
    ) -> None:
        scorers = {"brightness": ToyScorer(), "other": Constant("other", 0.5)}
        plan = make_plan(objective=Objective(Weights({"brightness": 2.0, "other": 0.0})))
        updates = await updates_of(plan, make_laboratory(scorers=scorers))
        evaluation = finish_of(updates).evaluation
        assert evaluation.card.values["other"] == 0.5
        assert evaluation.potential.value == evaluation.card.values["brightness"]
        assert updates[0].weights == {"brightness": 1.0, "other": 0.0}

    async def test_best_of_n_runs_too(self, make_plan: MakePlan, make_laboratory: MakeLaboratory) -> None:
        updates = await updates_of(make_plan(spec=BestOfNSpec(seed=3, candidates=5)), make_laboratory())
        assert len(scored_in(updates)) == 5
        assert len([update for update in updates if isinstance(update, RoundFinished)]) == 1

    async def test_names_all_that_made_the_result(self, make_plan: MakePlan, make_laboratory: MakeLaboratory) -> None:
        finished = finish_of(await updates_of(make_plan(), make_laboratory()))
        versions = dict(finished.versions)
        assert versions.pop("checkpoint").startswith("toy@")
        assert set(versions) == {"eacps", "noise", "noise_dtype", "triton", "scorer.brightness"}
        assert (versions["noise"], versions["noise_dtype"]) == ("toy-1", "float32")
        assert versions["scorer.brightness"] == "toy_brightness@1"
        assert finished.noise_shape == (1, 2, 2)

    async def test_measures_every_stage(self, make_plan: MakePlan, make_laboratory: MakeLaboratory) -> None:
        timings = finish_of(await updates_of(make_plan(), make_laboratory())).timings_s
        assert set(timings) == {"prepare", "generate", "score", "deliver", "total"}
        assert timings["total"] >= max(timings["prepare"], timings["generate"], timings["score"])


class TestReplay:
    async def test_a_recorded_search_needs_no_models(
        self, make_plan: MakePlan, make_laboratory: MakeLaboratory
    ) -> None:
        laboratory = make_laboratory()
        first = await updates_of(make_plan(), laboratory)
        # Through JSON, as any journal outside this process would keep it.
        records = [
            replace(record, outputs=json.loads(json.dumps(record.outputs))) for record in laboratory.steps.journal
        ]
        silent = Laboratory(Absent(), {"brightness": Forbidden()}, laboratory.artifacts, JournalRunner(records))
        again = await updates_of(make_plan(), silent)
        assert {type(one) for one in again} == {type(one) for one in first}
        assert essence(again) == essence(first)
        timeless = {"timings_s": {}, "spent": Spent()}
        assert replace(finish_of(again), **timeless) == replace(finish_of(first), **timeless)
        assert finish_of(again).spent.nfe == finish_of(first).spent.nfe

    async def test_a_search_cut_short_goes_on_from_its_journal(
        self, make_plan: MakePlan, make_laboratory: MakeLaboratory
    ) -> None:
        whole = await updates_of(make_plan(), make_laboratory())
        laboratory = make_laboratory()
        async with aclosing(run_search(make_plan(), laboratory)) as updates:
            async for update in updates:
                if isinstance(update, RoundFinished):
                    break
        models = Unhappy()
        resumed = await updates_of(make_plan(), replace(laboratory, models=models))
        assert essence(resumed) == essence(whole)
        assert 0 < models.calls <= 2  # the global round was not made again

    async def test_another_judge_scores_anew(self, make_plan: MakePlan, make_laboratory: MakeLaboratory) -> None:
        laboratory = make_laboratory()
        await updates_of(make_plan(), laboratory)
        other = Counting()
        other.identity = "toy_brightness@2"
        again = await updates_of(make_plan(), replace(laboratory, models=Unhappy(), scorers={"brightness": other}))
        assert other.most > 0
        assert finish_of(again).versions["scorer.brightness"] == "toy_brightness@2"


class TestMemory:
    async def test_only_the_best_picture_is_kept(self, make_plan: MakePlan, make_laboratory: MakeLaboratory) -> None:
        store = Listening()
        updates = await updates_of(make_plan(), make_laboratory(artifacts=store, steps=DirectRunner()))
        assert len(scored_in(updates)) == 14
        held = store.digests
        # Scene, as it came too, character, reference, prior, embedding, best, in the working scene and in all of it.
        assert len(held) == 8
        assert {finish_of(updates).picture, finish_of(updates).delivered} <= held

    async def test_of_equals_the_first_proposed_is_delivered(
        self, make_plan: MakePlan, make_laboratory: MakeLaboratory
    ) -> None:
        scorers = {"brightness": Constant("brightness", 0.5)}
        laboratory = make_laboratory(scorers=scorers, artifacts=MemoryArtifacts(), steps=DirectRunner())
        finished = finish_of(await updates_of(make_plan(micro_batch=1), laboratory))
        assert finished.best.id == "g0-000"
        assert finished.picture

    async def test_pictures_as_they_came_go_once_they_are_fitted(
        self, make_plan: MakePlan, make_laboratory: MakeLaboratory
    ) -> None:
        plan = make_plan()
        came = weakref.ref(plan.scene)
        updates = run_search(plan, make_laboratory())
        del plan
        async with aclosing(updates):
            async for update in updates:
                if isinstance(update, CandidateScored):
                    assert came() is None
                    break


class TestFailures:
    async def test_a_batch_is_tried_again_when_triton_was_away(
        self, make_plan: MakePlan, make_laboratory: MakeLaboratory
    ) -> None:
        models = Unhappy(TritonUnavailable("away"))
        updates = await updates_of(make_plan(), make_laboratory(models=models))
        assert finish_of(updates).statistics.failed == 0
        assert models.calls == 5  # four micro-batches, one of them twice

    async def test_a_batch_that_fails_is_failed_not_zero(
        self, make_plan: MakePlan, make_laboratory: MakeLaboratory
    ) -> None:
        updates = await updates_of(make_plan(), make_laboratory(models=Unhappy(TritonModelFailed("broken"))))
        failed = [one for one in scored_in(updates) if one.failure is not None]
        assert [one.candidate.id for one in failed] == ["g0-000", "g0-001", "g0-002", "g0-003"]
        assert all(one.evaluation is None and "broken" in str(one.failure) and not one.thumbnail for one in failed)
        finished = finish_of(updates)
        assert (finished.statistics.evaluated, finished.statistics.failed) == (10, 4)
        assert finished.statistics.first is None
        assert finished.spent.nfe == 10 * 4

    @pytest.mark.parametrize(("error", "calls"), [(TritonModelFailed("broken"), 2), (TritonUnavailable("away"), 4)])
    async def test_two_failed_batches_in_a_row_end_the_search(
        self, make_plan: MakePlan, make_laboratory: MakeLaboratory, error: Exception, calls: int
    ) -> None:
        models = Unhappy(*[error] * 100)
        with pytest.raises(type(error), match=str(error)):
            await updates_of(make_plan(micro_batch=1), make_laboratory(models=models))
        assert models.calls <= calls + 1  # the next batch may just have been begun, to be cancelled at once

    async def test_failed_batches_with_a_success_between_do_not(
        self, make_plan: MakePlan, make_laboratory: MakeLaboratory
    ) -> None:
        class Flaky(Unhappy):
            async def generate(self, request: GenerateRequest, *, timeout_s: float | None = None) -> Generated:
                if self.calls % 2 == 0:
                    self.errors.append(TritonModelFailed("broken"))
                return await super().generate(request, timeout_s=timeout_s)

        finished = finish_of(await updates_of(make_plan(micro_batch=1), make_laboratory(models=Flaky())))
        assert finished.statistics.failed == 7

    async def test_a_round_of_one_batch_that_fails_ends_the_search(
        self, make_plan: MakePlan, make_laboratory: MakeLaboratory
    ) -> None:
        with pytest.raises(TritonModelFailed, match="broken"):
            await updates_of(make_plan(micro_batch=8), make_laboratory(models=Unhappy(TritonModelFailed("broken"))))

    async def test_a_later_round_that_fails_whole_ends_the_search(
        self, make_plan: MakePlan, make_laboratory: MakeLaboratory
    ) -> None:
        class LateTrouble(Unhappy):
            async def generate(self, request: GenerateRequest, *, timeout_s: float | None = None) -> Generated:
                if self.calls >= 2:
                    raise TritonModelFailed("broken")
                return await super().generate(request, timeout_s=timeout_s)

        updates: list[SearchUpdate] = []
        with pytest.raises(TritonModelFailed, match="broken"):
            await collect(updates, run_search(make_plan(), make_laboratory(models=LateTrouble())))
        assert len([update for update in updates if isinstance(update, RoundFinished)]) == 1

    async def test_a_hung_sampler_is_given_up(self, make_plan: MakePlan, make_laboratory: MakeLaboratory) -> None:
        models = Unhappy(*[DeadlineExceeded("qwen_edit")] * 2)  # as the gateway says once a call's own time is up
        pace = Pace(retry_delay_s=0.0, generate_timeout_s=0.5)
        with pytest.raises(TritonUnavailable, match=r"no answer within 0\.5 s"):
            await updates_of(make_plan(), make_laboratory(models=models, pace=pace), Deadline.after(60))
        assert models.calls == 2

    async def test_no_face_ends_the_search(self, make_plan: MakePlan, make_laboratory: MakeLaboratory) -> None:
        class Faceless(ToyModels):
            async def prepare_prior(self, *pictures: object, **settings: object) -> Prior:
                raise NoFaceFound("character")

        with pytest.raises(NoFaceFound):
            await updates_of(make_plan(), make_laboratory(models=Faceless()))

    async def test_a_bug_comes_out_as_it_is(self, make_plan: MakePlan, make_laboratory: MakeLaboratory) -> None:
        with pytest.raises(ZeroDivisionError):
            await updates_of(make_plan(), make_laboratory(models=Unhappy(ZeroDivisionError())))

    async def test_a_failed_score_is_missing_not_zero(
        self, make_plan: MakePlan, make_laboratory: MakeLaboratory
    ) -> None:
        scorers = {"brightness": ToyScorer(), "broken": Constant("broken", Missing("no answer"))}
        plan = make_plan(objective=Objective(Weights({"brightness": 3.0, "broken": 1.0})))
        updates = await updates_of(plan, make_laboratory(scorers=scorers))
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
        self, make_plan: MakePlan, make_laboratory: MakeLaboratory
    ) -> None:
        scorers = {"brightness": Constant("brightness", Missing("no answer"))}
        with pytest.raises(EvaluationFailed, match="no answer"):
            await updates_of(make_plan(), make_laboratory(scorers=scorers))


class TestPace:
    async def test_scoring_overlaps_generation(self, make_plan: MakePlan, make_laboratory: MakeLaboratory) -> None:
        plan = make_plan(spec=BestOfNSpec(seed=1, candidates=8), micro_batch=1)
        laboratory = make_laboratory(
            models=ToyModels(duration_s=0.05), scorers={"brightness": ToyScorer(duration_s=0.05)}
        )
        timings = finish_of(await updates_of(plan, laboratory)).timings_s
        assert timings["generate"] + timings["score"] > 1.3 * timings["total"]

    async def test_generation_waits_for_scoring(self, make_plan: MakePlan, make_laboratory: MakeLaboratory) -> None:
        scorer = Counting()
        plan = make_plan(spec=BestOfNSpec(seed=1, candidates=12), micro_batch=1)
        await updates_of(
            plan, make_laboratory(scorers={"brightness": scorer}, pace=Pace(unscored_batches=3, retry_delay_s=0.0))
        )
        assert scorer.most <= 3

    async def test_a_slow_reader_slows_the_search(self, make_plan: MakePlan, make_laboratory: MakeLaboratory) -> None:
        models = Unhappy()
        laboratory = make_laboratory(models=models, pace=Pace(updates_ahead=1, unscored_batches=1))
        plan = make_plan(spec=BestOfNSpec(seed=1, candidates=40), micro_batch=1)
        async with aclosing(run_search(plan, laboratory)) as updates:
            await anext(updates)
            await asyncio.sleep(0.1)
            assert models.calls < 10


class TestEnding:
    async def test_closing_cancels_everything_below(self, make_plan: MakePlan, make_laboratory: MakeLaboratory) -> None:
        models = Endless()
        async with aclosing(run_search(make_plan(), make_laboratory(models=models))) as updates:
            async for update in updates:
                if isinstance(update, PriorReady):
                    await models.started.wait()
                    break
        assert models.cancelled
        assert asyncio.all_tasks() == {asyncio.current_task()}

    async def test_cancelling_the_reader_cancels_everything_below(
        self, make_plan: MakePlan, make_laboratory: MakeLaboratory
    ) -> None:
        models = Endless()
        reader = asyncio.create_task(updates_of(make_plan(), make_laboratory(models=models)))
        await models.started.wait()
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        assert models.cancelled
        assert asyncio.all_tasks() == {asyncio.current_task()}

    async def test_a_passed_deadline_ends_the_search(
        self, make_plan: MakePlan, make_laboratory: MakeLaboratory
    ) -> None:
        models = Endless()
        finished = finish_of(await updates_of(make_plan(), make_laboratory(models=models), Deadline.after(2.0)))
        assert (finished.best, finished.recipe, finished.stop_reason) == (None, None, StopReason.WALL_TIME)
        assert finished.evaluation.potential is not None  # the prior's
        assert finished.picture
        assert models.cancelled
        assert models.timeout_s is not None
        assert 0 < models.timeout_s <= 2.0
        assert asyncio.all_tasks() == {asyncio.current_task()}


class TestInputs:
    async def test_the_mask_goes_with_the_scene(self, make_plan: MakePlan, make_laboratory: MakeLaboratory) -> None:
        models, mask = Watching(), np.zeros((40, 60), np.uint8)
        mask[:, 30:] = 255
        plan = make_plan(mask=mask, character_as_reference=False)
        await updates_of(plan, make_laboratory(models=models))
        request = models.requests[0]
        assert request.edit_mask.shape == (32, 32)
        assert set(np.unique(request.edit_mask)) == {0, 255}
        assert request.scene.shape == (32, 32, 3)
        assert request.pictures.shape == (1, 32, 32, 3)

    async def test_settings_reach_the_sampler(self, make_plan: MakePlan, make_laboratory: MakeLaboratory) -> None:
        models = Watching()
        plan = make_plan(steps=6, true_cfg_scale=4.0, negative_prompt="blurry")
        finished = finish_of(await updates_of(plan, make_laboratory(models=models)))
        request = models.requests[0]
        assert (request.steps, request.start_step, request.stop_step) == (6, 0, 6)
        assert (request.true_cfg_scale, request.negative_prompt) == (4.0, "blurry")
        assert (request.scene, request.edit_mask, request.latents) == (None, None, None)
        assert request.pictures.shape == (2, 32, 32, 3)
        assert request.seeds.shape == (4, 1)
        assert finished.spent.nfe == 14 * 6 * 2

    async def test_a_large_character_picture_is_shrunk_and_its_box_scaled_back(
        self, make_plan: MakePlan, make_laboratory: MakeLaboratory
    ) -> None:
        plan = make_plan(character=np.zeros((1500, 2048, 3), np.uint8))
        updates = await updates_of(plan, make_laboratory())
        assert updates[1].character_box == (
            16.0,
            16.0,
            2032.0,
            1484.0,
        )  # margins of 8, doubled


class Constant:
    """Gives every picture the same outcome."""

    def __init__(self, name: str, outcome: Outcome) -> None:
        self.name, self.outcome = name, outcome
        self.identity = f"{name}@1"
        self.stochastic, self.vlm_calls = False, 0

    async def score(self, pictures: Mapping[str, Picture], context: EditContext) -> Mapping[str, Outcome]:
        assert context.prompt
        return dict.fromkeys(pictures, self.outcome)


class Forbidden(ToyScorer):
    """Nobody may ask it."""

    async def score(self, pictures: Mapping[str, Picture], context: EditContext) -> Mapping[str, Outcome]:
        raise AssertionError(f"asked about {list(pictures)} with {context}")


class Listening(MemoryArtifacts):
    """Tells what it holds."""

    def __init__(self) -> None:
        super().__init__()
        self.digests: set[str] = set()

    async def put(self, data: bytes) -> str:
        digest = await super().put(data)
        self.digests.add(digest)
        return digest

    async def drop(self, digest: str) -> None:
        self.digests.discard(digest)
        await super().drop(digest)


class Counting(ToyScorer):
    """Remembers how many calls were under way at once."""

    def __init__(self) -> None:
        super().__init__(duration_s=0.02)
        self.now, self.most = 0, 0

    async def score(self, pictures: Mapping[str, Picture], context: EditContext) -> Mapping[str, Outcome]:
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
        self, make_plan: MakePlan, make_laboratory: MakeLaboratory, budget: Budget, reason: StopReason
    ) -> None:
        finished = finish_of(await updates_of(make_plan(budget=budget, steps=4), make_laboratory()))
        assert finished.stop_reason is reason
        assert finished.best is not None
        assert budget.nfe is None or finished.spent.nfe <= budget.nfe
        assert budget.pictures is None or finished.spent.pictures <= budget.pictures

    async def test_all_rounds_is_a_reason_too(self, make_plan: MakePlan, make_laboratory: MakeLaboratory) -> None:
        finished = finish_of(await updates_of(make_plan(), make_laboratory()))
        assert finished.stop_reason is StopReason.COMPLETED
        assert finished.best is not None
        assert finished.best.id in finished.pareto_front
        assert finished.gains["brightness"].over_prior is not None


class TestPruning:
    async def test_only_promising_candidates_go_on_from_their_latents(
        self, make_plan: MakePlan, make_laboratory: MakeLaboratory
    ) -> None:
        models = Watching()
        spec = BestOfNSpec(seed=3, candidates=4, pruning=Pruning(PruningMode.FIXED, ((0.25, 0.25),)))
        plan = make_plan(spec=spec, steps=4)
        updates = await updates_of(plan, make_laboratory(models=models))
        finished = finish_of(updates)
        previews = [one for one in scored_in(updates) if one.stop_step == 1]
        finals = [one for one in scored_in(updates) if one.stop_step == 4]
        assert len(previews) == 10
        assert len(finals) == 2
        assert {one.candidate.id for one in finals} <= {one.candidate.id for one in previews}
        assert finished.spent.nfe == 10 * 1 + 2 * 3 == 4 * 4
        resumed = [request for request in models.requests if request.start_step == 1]
        assert sum(len(request.seeds) for request in resumed) == 2
        assert all(request.latents is not None for request in resumed)


class Fickle(Constant):
    """Answers 0.2, 0.4, 0.6 in turn."""

    def __init__(self) -> None:
        super().__init__("fickle", 0.5)
        self.stochastic, self.vlm_calls, self.asked = True, 1, 0

    async def score(self, pictures: Mapping[str, Picture], context: EditContext) -> Mapping[str, Outcome]:
        answers = {}
        for name in pictures:
            answers[name] = 0.2 * (1 + self.asked % 3)
            self.asked += 1
        return answers


class TestRepeats:
    async def test_are_asked_where_a_selection_turns_and_averaged(
        self, make_plan: MakePlan, make_laboratory: MakeLaboratory
    ) -> None:
        fickle = Fickle()
        plan = make_plan(
            spec=BestOfNSpec(seed=3, candidates=6),
            objective=Objective(Weights({"fickle": 1.0})),
            score_repeats=3,
        )
        finished = finish_of(await updates_of(plan, make_laboratory(scorers={"fickle": fickle})))
        assert finished.spent.vlm_calls == fickle.asked
        assert 7 < fickle.asked <= 7 + 2 * 4
        assert finished.evaluation.card.repeats.get("fickle", 1) >= 1
