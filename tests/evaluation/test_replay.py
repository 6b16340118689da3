"""A search against real Triton, replayed from its journal without Triton."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from eacps.assembly import build_scorers
from eacps.evaluation import (
    CandidateScored,
    JournalRunner,
    Laboratory,
    MemoryArtifacts,
    PriorReady,
    SearchFinished,
    SearchPlan,
    SearchUpdate,
    run_search,
)
from eacps.imaging import Picture, decode_picture
from eacps.scoring import EditContext, Outcome
from eacps.search.budget import Spent
from eacps.search.objective import Objective
from eacps.search.potential import Weights
from eacps.search.spec import EacpsSpec
from eacps.triton import Generated, GenerateRequest, Prior, ServedCheckpoint, TritonGateway
from eacps.triton.embedded import EmbeddedTriton

SAMPLE = Path(__file__).parents[2] / "export" / "studio_mini" / "samples" / "smile"
PLAN = SearchPlan(
    search_id="replay",
    scene=decode_picture((SAMPLE / "scene.png").read_bytes()),
    character=decode_picture((SAMPLE / "character.png").read_bytes()),
    prompt=(SAMPLE / "prompt.txt").read_text().strip(),
    spec=EacpsSpec(seed=1, global_candidates=3, parents=1, children_per_parent=2),
    objective=Objective(Weights({"identity": 0.5, "realism": 0.3, "prompt": 0.2})),
    steps=2,
    micro_batch=2,
)


class Absent:
    """Models and scorers that must not be needed."""

    def __init__(self, name: str = "models", identity: str = "") -> None:
        self.name, self.identity = name, identity
        self.stochastic, self.vlm_calls = False, 0

    async def describe(self) -> ServedCheckpoint:
        raise AssertionError("describe was called")

    async def prepare_prior(self, *pictures: object, **settings: object) -> Prior:
        raise AssertionError(f"prepare_prior was called with {pictures} {settings}")

    async def generate(self, request: GenerateRequest, *, timeout_s: float | None = None) -> Generated:
        raise AssertionError(f"generate was called with {request} {timeout_s}")

    async def score(self, pictures: Mapping[str, Picture], context: EditContext) -> Mapping[str, Outcome]:
        raise AssertionError(f"asked about {list(pictures)} with {context}")


@asynccontextmanager
async def gateway_to(triton: EmbeddedTriton) -> AsyncIterator[TritonGateway]:
    gateway = await TritonGateway.connect(triton.grpc_url, ready_timeout_s=30.0)
    try:
        yield gateway
    finally:
        await gateway.close()


def essence(updates: list[SearchUpdate]) -> list[object]:
    """All that a search found, without the order of arrival and the time it took."""
    scored = {update.candidate.id: update for update in updates if isinstance(update, CandidateScored)}
    found: list[object] = [
        (name, one.candidate, one.evaluation, one.thumbnail, one.picture_sha256) for name, one in sorted(scored.items())
    ]
    found += [update for update in updates if isinstance(update, PriorReady)]
    found += [replace(update, timings_s={}, spent=Spent()) for update in updates if isinstance(update, SearchFinished)]
    return found


async def test_a_recorded_search_is_the_same_without_triton(triton: EmbeddedTriton) -> None:
    async with gateway_to(triton) as gateway:
        laboratory = Laboratory(gateway, build_scorers(gateway), MemoryArtifacts(keep=True), JournalRunner())
        first = [update async for update in run_search(PLAN, laboratory)]
    scorers = {name: Absent(name, scorer.identity) for name, scorer in laboratory.scorers.items()}
    silent = Laboratory(Absent(), scorers, laboratory.artifacts, JournalRunner(laboratory.steps.journal))
    again = [update async for update in run_search(PLAN, silent)]
    assert len(essence(first)) == 3 + 2 + 1 + 1
    assert essence(again) == essence(first)
