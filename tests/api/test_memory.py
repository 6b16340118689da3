"""What calls leave behind in the memory of a real server process, where no garbage collector runs."""

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import psutil
import pytest
from PIL import Image

from eacps.v1 import search_service_pb2 as pb
from eacps.v1.search_service_pb2_grpc import SearchServiceStub
from tests.api.process import running

MakeRequest = Callable[..., pb.RunSearchRequest]
MOST_GROWTH = 40 * 2**20
WARM_UP_CALLS = 8  # every thread that a call may run on keeps freed memory of its own
OPTIONS = [("grpc.enable_http_proxy", 0), ("grpc.max_receive_message_length", -1)]


def flat(side: int = 4000) -> bytes:
    """A picture of one color: 16 megapixels in some kilobytes."""
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), (10, 20, 30)).save(buffer, "PNG")
    return buffer.getvalue()


FLAT = pb.Image(data=flat())
TRUNCATED = pb.Image(data=flat()[:-100])


def nine_large_pictures(**fields: object) -> pb.RunSearchRequest:
    pictures = {"scene": FLAT, "character": FLAT, "more_characters": [FLAT] * 7}
    return pb.RunSearchRequest(**{**pictures, "prompt": "smile", **fields})


@asynccontextmanager
async def stub_of(folder: Path, models: str = "toy") -> AsyncIterator[tuple[Any, psutil.Process]]:
    with running(folder, models) as (address, process):
        async with grpc.aio.insecure_channel(address, options=OPTIONS) as channel:
            yield SearchServiceStub(channel), process


async def growth_over(process: psutil.Process, calls: int, call: Callable[[], Any], code: grpc.StatusCode) -> int:
    """Make calls that are all refused, and return by how much the process has grown."""

    async def refused() -> None:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call()
        assert caught.value.code() is code, caught.value.details()

    for _ in range(WARM_UP_CALLS):
        await refused()
    before = process.memory_info().rss
    for _ in range(calls):
        await refused()
    return int(process.memory_info().rss - before)


@pytest.mark.parametrize(
    ("fault", "calls"),
    [({"prompt": ""}, 100), ({"scene_face": pb.FaceSelector(likeness=TRUNCATED)}, 5)],
    ids=["cheap to see", "seen last"],
)
async def test_a_refused_search_leaves_no_pictures_behind(tmp_path: Path, fault: dict[str, object], calls: int) -> None:
    request = pb.CreateSearchRequest(search=nine_large_pictures(**fault))
    assert request.ByteSize() < 2**20
    async with stub_of(tmp_path) as (stub, process):
        growth = await growth_over(
            process, calls, lambda: stub.CreateSearch(request, timeout=120), grpc.StatusCode.INVALID_ARGUMENT
        )
    assert growth < MOST_GROWTH


async def test_a_call_that_fails_later_leaves_no_pictures_behind(tmp_path: Path) -> None:
    image = pb.Image(data=flat(2000))
    request = pb.PreparePriorRequest(scene=image, character=image)
    async with stub_of(tmp_path, "faceless") as (stub, process):
        growth = await growth_over(
            process, 20, lambda: stub.PreparePrior(request, timeout=120), grpc.StatusCode.FAILED_PRECONDITION
        )
    assert growth < MOST_GROWTH


async def test_a_search_that_is_waited_for_does_not_keep_its_request(
    tmp_path: Path, make_request: MakeRequest, png: Callable[..., bytes]
) -> None:
    large = pb.Image(data=png(1100, 1100))
    request = make_request(scene=large, character=large, references=[large])
    assert request.ByteSize() > 10 * 2**20
    async with stub_of(tmp_path, "hanging") as (stub, process):
        before, calls = 0, []
        for number in range(24):
            request.request_id = f"search-{number}"
            calls.append(stub.RunSearch(request, timeout=250))
            while len((await stub.ListSearches(pb.ListSearchesRequest(), timeout=60)).searches) <= number:
                await asyncio.sleep(0.05)
            if number == 3:
                before = process.memory_info().rss
        growth = process.memory_info().rss - before
        for call in calls:
            call.cancel()
    assert growth < 20 * request.ByteSize() / 3


async def test_readers_who_do_not_read_cost_a_chunk_each(tmp_path: Path, png: Callable[..., bytes]) -> None:
    data = png(3900, 3900)
    assert len(data) > 40 * 2**20
    async with stub_of(tmp_path) as (stub, process):
        chunks = [pb.UploadImageRequest(chunk=data[at : at + 2**20]) for at in range(0, len(data), 2**20)]
        artifact = (await stub.UploadImage(iter(chunks), timeout=120)).image.artifact
        asked = pb.DownloadArtifactRequest(artifact=artifact)
        assert b"".join([answer.chunk async for answer in stub.DownloadArtifact(asked, timeout=120)]) == data
        before = process.memory_info().rss
        idle = [stub.DownloadArtifact(asked, timeout=120) for _ in range(24)]
        for call in idle:
            assert len((await call.read()).chunk) == 2**20
        growth = process.memory_info().rss - before
        for call in idle:
            call.cancel()
    assert growth < 24 * 8 * 2**20
