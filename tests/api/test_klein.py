"""FLUX.2 klein in a real Triton: searches over gRPC make the pipelines' own pictures, without a judge."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import grpc
import grpc.aio
import numpy as np
import pytest
import torch

from eacps.assembly import serving
from eacps.cli.doctor import check_manifest
from eacps.client.errors import failure_of
from eacps.imaging import decode_picture, encode_png
from eacps.models.mask import composite, feathered
from eacps.settings import Settings
from eacps.triton.embedded import EmbeddedTriton
from eacps.v1 import search_service_pb2 as pb
from eacps.v1.search_service_pb2_grpc import SearchServiceStub
from studies.oracle import UnscoredError
from studies.pool import Pool
from studies.potentials import Yardstick
from studies.runner import open_runner
from tests.api.conftest import SAMPLE, events_in
from tests.models.klein import STEPS, Klein
from tests.oracle.reference import Picture, assert_same_picture, departs

# The first test that asks for the repository exports it.
pytestmark = pytest.mark.timeout(600)

MakeRequest = Callable[..., pb.RunSearchRequest]


@pytest.fixture(scope="module")
def klein(klein_checkpoint_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Klein:
    return Klein.of(klein_checkpoint_dir, tmp_path_factory.mktemp("assets") / "assets")


@pytest.fixture(scope="module")
def klein_triton(klein_repository_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedTriton]:
    with EmbeddedTriton(klein_repository_dir, log_file=tmp_path_factory.mktemp("klein") / "triton.log") as triton:
        yield triton


@pytest.fixture
async def client(klein_triton: EmbeddedTriton) -> AsyncIterator[SearchServiceStub]:
    settings = Settings(address="127.0.0.1:0", triton=klein_triton.grpc_url, grace_s=0.0, insecure=True)
    async with serving(settings) as server, grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield SearchServiceStub(channel)


def sample(name: str) -> Picture:
    return decode_picture((SAMPLE / f"{name}.png").read_bytes())


async def searched(client: SearchServiceStub, request: pb.RunSearchRequest) -> tuple[list[pb.SearchEvent], int]:
    """The events of a search, and the seed of its best candidate."""
    events = await events_in(client.RunSearch(request, timeout=120))
    (term,) = events[-1].finished.recipe.terms
    assert term.coefficient == 1.0
    return events, term.seed


async def test_a_search_without_a_judge_finds_the_pipelines_picture(
    client: SearchServiceStub, klein: Klein, sample_request: MakeRequest
) -> None:
    request = sample_request(STEPS, search=pb.SearchSettings(best_of_n={"trajectories": 3}, random_seed=11))
    events, seed = await searched(client, request)
    assert [(one.name, one.weight, one.held_out) for one in events[0].started.scorers] == [("identity", 1.0, False)]
    statistics = events[-1].finished.statistics
    assert (statistics.candidates, statistics.failed, statistics.missing_scores) == (3, 0, 0)
    assert statistics.denoiser_evaluations == 3 * STEPS
    found = decode_picture(events[-1].finished.best.data)
    # Without a face swapper the scene itself is the prior; the character's picture follows it.
    shown = [sample("scene"), sample("character")]
    assert_same_picture(found, klein.reference(shown, request.prompt, seed))
    assert departs(found, klein.reference(shown[:1], request.prompt, seed))


async def test_a_masked_search_finds_the_inpainting_pipelines_picture(
    client: SearchServiceStub, klein: Klein, sample_request: MakeRequest
) -> None:
    scene, mask = sample("scene"), np.zeros((128, 128), np.uint8)
    mask[30:100, 41:97] = 255
    request = sample_request(
        STEPS,
        mask=pb.Image(data=encode_png(mask)),
        search=pb.SearchSettings(best_of_n={"trajectories": 1}, random_seed=12),
    )
    events, seed = await searched(client, request)
    theirs = klein.inpainted(scene, mask, request.prompt, seed, sample("character"))
    expected = composite(scene, torch.from_numpy(theirs)[None], feathered(mask))[0].numpy()
    assert_same_picture(decode_picture(events[-1].finished.best.data), expected)


async def test_what_the_checkpoint_lacks_is_said_and_refused(
    client: SearchServiceStub, klein_repository_dir: Path, sample_request: MakeRequest
) -> None:
    found = await client.GetCapabilities(pb.GetCapabilitiesRequest(), timeout=60)
    offered = {one.name: one.default_weight for one in found.scorers}
    assert offered == {"identity": 0.5, "alignment": 0.0, "preservation": 0.0}
    assert list(found.judges) == []
    assert not found.checkpoint.face_swap
    assert not found.checkpoint.negative_prompts
    guided = sample_request(STEPS, negative_prompt="blurred", scorers=[pb.ScorerSettings(name="realism", weight=1.0)])
    guided.sampler.true_cfg_scale = 4.0
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await events_in(client.RunSearch(guided, timeout=60))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert {one.field for one in failure_of(refused.value).violations} == {"negative_prompt", "scorers[0].name"}
    check = check_manifest(klein_repository_dir)
    assert check.ok
    assert "klein-mini, no face swapper, no judge, embedded in fp32" in check.detail


async def test_a_study_is_refused_for_want_of_a_judge(klein_triton: EmbeddedTriton, tmp_path: Path) -> None:
    pool = Pool(tmp_path, tmp_path / "pool.csv.gz", weights="w")
    with pytest.raises(UnscoredError, match="klein-mini is served without a judge"):
        async with open_runner(klein_triton.grpc_url, pool, Yardstick(), shows_character=True):
            pass
