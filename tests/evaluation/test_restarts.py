"""Restarts of finished pictures in a search, and the same pictures from their recipes alone."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eacps.artifacts import get_picture
from eacps.assembly import build_scorers
from eacps.errors import InvalidRequest
from eacps.evaluation import (
    CandidateScored,
    Deadline,
    MemoryArtifacts,
    SearchFinished,
    SearchPictures,
    SearchPlan,
    SearchSettings,
    Services,
    render_candidate,
)
from eacps.imaging import content_hash, decode_picture
from eacps.scoring import JoinedQuestions
from eacps.search.cohort import Move
from eacps.search.known import KnownPoint
from eacps.search.objective import Objective
from eacps.search.potential import Weights
from eacps.search.recipe import Recipe, restart
from eacps.search.spec import AdaptiveSpec
from eacps.triton import TritonGateway
from eacps.triton.embedded import EmbeddedTriton
from tests.evaluation.test_run import updates_of

MakePlan = Callable[..., SearchPlan]
MakeServices = Callable[..., Services]
NO_DEADLINE = Deadline()
SAMPLE = Path(__file__).parents[2] / "studio_mini" / "samples" / "smile"
SPEC = AdaptiveSpec(seed=7, candidates=16, restarts=True)


def scored_in(updates: list[object]) -> list[CandidateScored]:
    return [one for one in updates if isinstance(one, CandidateScored)]


async def test_what_a_search_spends_is_what_its_trajectories_took(
    make_plan: MakePlan, make_services: MakeServices
) -> None:
    updates = await updates_of(make_plan(spec=SPEC, steps=4), make_services())
    finished = updates[-1]
    assert isinstance(finished, SearchFinished)
    steps = [4 - one.candidate.recipe.start_step for one in scored_in(updates)]
    assert finished.spent.nfe == sum(steps) <= 16 * 4
    assert len(steps) > 16


async def test_every_restart_replays_from_its_recipe(make_plan: MakePlan, make_services: MakeServices) -> None:
    plan = make_plan(spec=SPEC, steps=4)
    restarted = [one for one in scored_in(await updates_of(plan, make_services())) if one.candidate.recipe.restarts]
    assert any(len(one.candidate.recipe.restarts) > 1 for one in restarted), "none of a restart's own picture"
    for one in restarted:
        assert one.candidate.move is Move.RESTART
        alone = await render_candidate(plan, make_services(), one.candidate.recipe, deadline=NO_DEADLINE)
        assert alone.picture_sha256 == one.picture_sha256


async def test_a_search_begins_from_a_restarted_picture(make_plan: MakePlan, make_services: MakeServices) -> None:
    recipe = restart(restart(Recipe.from_seed(3), step=2, seed=5), step=3, seed=8)
    spec = replace(SPEC, start=(KnownPoint(recipe),))
    updates = await updates_of(make_plan(spec=spec, steps=4), make_services())
    start = next(one for one in scored_in(updates) if one.candidate.move is Move.START)
    alone = await render_candidate(make_plan(steps=4), make_services(), recipe, deadline=NO_DEADLINE)
    assert start.picture_sha256 == alone.picture_sha256
    first = sum(4 + 2 + 1 if one is start else 4 for one in scored_in(updates) if one.candidate.generation == 0)
    later = sum(4 - one.candidate.recipe.start_step for one in scored_in(updates) if one.candidate.generation)
    finished = updates[-1]
    assert isinstance(finished, SearchFinished)
    assert finished.spent.nfe == first + later


async def test_restarts_beyond_the_schedule_are_refused_by_name(
    make_plan: MakePlan, make_services: MakeServices
) -> None:
    late = restart(Recipe.from_seed(1), step=4, seed=2)
    with pytest.raises(InvalidRequest) as refused:
        await render_candidate(make_plan(steps=4), make_services(), late, deadline=NO_DEADLINE)
    assert [one.field for one in refused.value.violations] == ["recipe.restarts"]
    spec = replace(SPEC, start=(KnownPoint(Recipe.from_seed(3)), KnownPoint(late)))
    with pytest.raises(InvalidRequest) as refused:
        await updates_of(make_plan(spec=spec, steps=4), make_services())
    assert [one.field for one in refused.value.violations] == ["search.start[1].recipe.restarts"]


async def test_real_models_replay_restarts_whatever_they_were_batched_with(triton: EmbeddedTriton) -> None:
    settings = SearchSettings(
        search_id="restarts",
        prompt=(SAMPLE / "prompt.txt").read_text().strip(),
        spec=AdaptiveSpec(seed=1, candidates=7, restarts=True, rounds=2),
        objective=Objective(Weights({"identity": 1.0})),
        steps=4,
        micro_batch=4,
    )
    scene, character = (decode_picture((SAMPLE / f"{name}.png").read_bytes()) for name in ("scene", "character"))
    plan = SearchPlan(settings, SearchPictures(scene, character))
    gateway = await TritonGateway.connect(triton.grpc_url, ready_timeout_s=30.0)
    try:
        artifacts = MemoryArtifacts()
        services = Services(gateway, build_scorers(gateway, judge=JoinedQuestions(gateway)), artifacts)
        deepest = max(scored_in(await updates_of(plan, services)), key=lambda one: len(one.candidate.recipe.restarts))
        assert deepest.picture is not None
        assert deepest.candidate.recipe.restarts
        alone = await render_candidate(plan, services, deepest.candidate.recipe, deadline=NO_DEADLINE)
        searched = await get_picture(artifacts, deepest.picture)
        rendered = await get_picture(artifacts, hashlib.sha256(alone.picture).hexdigest())
        assert content_hash(searched) == deepest.picture_sha256
        assert np.abs(searched.astype(int) - rendered.astype(int)).max() <= 1
    finally:
        await gateway.close()
