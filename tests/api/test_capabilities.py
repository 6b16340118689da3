"""GetCapabilities: what it says is what requests are held to."""

from collections.abc import Callable

import grpc
import pytest

from eacps.client.errors import failure_of
from eacps.limits import RANGES
from eacps.testing import TOY_CHECKPOINT
from eacps.v1 import search_service_pb2 as pb
from eacps.v1.search_service_pb2_grpc import SearchServiceStub
from tests.api.conftest import RULES, Serve


async def test_it_names_the_scorers_and_the_checkpoint(serve: Serve) -> None:
    async with serve() as channel:
        found = await SearchServiceStub(channel).GetCapabilities(pb.GetCapabilitiesRequest(), timeout=60)
    assert [(one.name, one.default_weight) for one in found.scorers] == [("brightness", 1.0), ("other", 0.0)]
    assert found.checkpoint.name == TOY_CHECKPOINT.name
    assert found.checkpoint.default_steps == TOY_CHECKPOINT.default_steps
    default = found.checkpoint.sizes[0]
    assert (default.width, default.height) == (TOY_CHECKPOINT.width, TOY_CHECKPOINT.height)
    assert found.strategies[0] == "eacps_adaptive"
    assert set(found.strategies) == {one.name for one in pb.SearchSettings.DESCRIPTOR.oneofs_by_name["strategy"].fields}
    assert found.limits.upload_bytes == RULES.uploads.max_bytes


async def test_its_ranges_are_those_of_requests(serve: Serve, make_request: Callable[..., pb.RunSearchRequest]) -> None:
    async with serve() as channel:
        stub = SearchServiceStub(channel)
        found = await stub.GetCapabilities(pb.GetCapabilitiesRequest(), timeout=60)
        ranges = {one.field: one for one in found.ranges}
        assert ranges.keys() == RANGES.keys() - {"page_size"}
        steps = ranges["sampler.steps"]
        assert not steps.HasField("default_value")

        async def check(steps: int, prompt: str) -> None:
            request = make_request(sampler=pb.SamplerSettings(steps=steps), prompt=prompt)
            await stub.CreateSearch(pb.CreateSearchRequest(search=request, validate_only=True), timeout=60)

        longest = "x" * found.limits.prompt_characters
        await check(int(steps.most), longest)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await check(int(steps.most) + 1, longest + "x")
    fields = {one.field for one in failure_of(refused.value).violations}
    assert fields == {"search.sampler.steps", "search.prompt"}
