"""Pictures in and out in chunks: slow, silent and leaving callers."""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import grpc
import grpc.aio
import pytest

from eacps.api.decoding import Decoding
from eacps.api.memory_budget import MemoryBudget
from eacps.api.uploads import UploadSpeed, received
from eacps.arrays import Picture
from eacps.errors import DeadlineExceeded, DecoderUnavailable, InvalidPicture, TooManyCalls
from eacps.imaging import Limits, LocalDecoder
from eacps.v1 import search_service_pb2 as pb
from eacps.v1.search_service_pb2_grpc import SearchServiceStub
from tests.api.conftest import RULES, Serve
from tests.api.test_admission import failure_of
from tests.api.test_keepalive import Ports
from tests.api.test_stored_searches import ADA, BOB, KEYS, Gated, chunked, create, watched

SLOW = UploadSpeed(idle_s=0.1, bytes_per_s=1000)


async def chunks(*parts: bytes | float) -> AsyncIterator[pb.UploadImageRequest]:
    """Chunks, and seconds of silence between them."""
    for part in parts:
        if isinstance(part, bytes):
            yield pb.UploadImageRequest(chunk=part)
        else:
            await asyncio.sleep(part)


class TestReceiving:
    """One upload."""

    async def take(self, *parts: bytes | float, most: int = 1000, memory: int = 10_000) -> bytes:
        with MemoryBudget("uploads", memory).reservation() as reservation:
            return await received(chunks(*parts), most, reservation, SLOW)

    async def test_chunks_become_a_picture(self) -> None:
        assert await self.take(b"ab", b"", b"c", 0.01, b"d") == b"abcd"
        assert await self.take() == b""

    @pytest.mark.parametrize(
        "parts", [(10.0,), (b"ab", 10.0), (*[b"", 0.02] * 20, 10.0)], ids=["silent", "stopped", "empty chunks"]
    )
    async def test_one_that_stops_times_out(self, parts: tuple[bytes | float, ...]) -> None:
        async with asyncio.timeout(60):
            with pytest.raises(DeadlineExceeded, match="the picture stopped after"):
                await self.take(*parts)

    async def test_one_that_trickles_times_out(self) -> None:
        async with asyncio.timeout(60):
            with pytest.raises(DeadlineExceeded, match="less than 1000 bytes a second"):
                await self.take(*[b"x", 0.05] * 100)

    async def test_one_that_begins_fast_and_trickles_then_times_out(self) -> None:
        async with asyncio.timeout(60):
            with pytest.raises(DeadlineExceeded, match="the picture stopped after"):
                await self.take(bytes(900), *[b"x", 0.05] * 20)

    async def test_one_that_is_slow_but_steady_does_not(self) -> None:
        assert len(await self.take(*[bytes(100), 0.05] * 8)) == 800

    async def test_limits_are_those_of_the_picture_and_of_all_uploads(self) -> None:
        with pytest.raises(InvalidPicture, match="more than 1000 bytes"):
            await self.take(bytes(600), bytes(600))
        memory = MemoryBudget("uploads", 1500)
        with memory.reservation() as other:
            other.add(1000)
            with (
                pytest.raises(TooManyCalls, match="1300 bytes of uploads are held"),
                memory.reservation() as reservation,
            ):
                await received(chunks(bytes(300), bytes(300)), 1000, reservation, SLOW)
        assert memory.held == 0


async def test_a_decoder_that_fails_is_not_the_pictures_fault(serve: Serve, png: Callable[..., bytes]) -> None:
    class Busy(LocalDecoder):
        def picture(self, data: bytes, limits: Limits, *, pixels: bool = True) -> Picture:
            raise DecoderUnavailable("a decoder took too long, or was killed: the server is busy")

    async with serve(rules=replace(RULES, decoder=Busy())) as channel:
        error = await failure_of(SearchServiceStub(channel).UploadImage(chunked(png()), timeout=60))
    assert error.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("leave", ["cancel", "close"])
async def test_who_leaves_a_download_is_no_incident(
    serve: Serve, png: Callable[..., bytes], caplog: pytest.LogCaptureFixture, leave: str
) -> None:
    data, ports = png(3000, 3000), Ports()
    with caplog.at_level(logging.DEBUG):
        async with serve(between=ports.to) as channel:
            artifact = (await SearchServiceStub(channel).UploadImage(chunked(data), timeout=60)).image.artifact
            for number in range(8):
                async with grpc.aio.insecure_channel(f"127.0.0.1:{ports.port}") as leaving:
                    stub = SearchServiceStub(leaving)
                    call = stub.DownloadArtifact(pb.DownloadArtifactRequest(artifact=artifact))
                    for _ in range(number):
                        await call.read()
                    if leave == "cancel":
                        call.cancel()
            await asyncio.sleep(2.0)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


class TestDecoders:
    """Decoders that are busy: what they hold up, and what not."""

    async def test_searches_that_run_do_not_wait_for_them(
        self, serve: Serve, make_request: Callable[..., pb.RunSearchRequest], png: Callable[..., bytes]
    ) -> None:
        stuck, models = threading.Event(), Gated()

        class Stuck(LocalDecoder):
            def picture(self, data: bytes, limits: Limits, *, pixels: bool = True) -> Picture:
                stuck.wait(60)
                return super().picture(data, limits, pixels=pixels)

        decoding = Decoding(Stuck())
        async with serve(models=models, decoding=decoding) as channel:
            stub = SearchServiceStub(channel)
            stuck.set()
            search = await create(stub, make_request())
            await models.begun.wait()
            stuck.clear()
            uploads = [asyncio.ensure_future(stub.UploadImage(chunked(png()), timeout=60)) for _ in range(16)]
            await asyncio.sleep(0.5)
            models.gate.set()
            async with asyncio.timeout(60):
                assert (await watched(stub, search.search_id))[-1].HasField("finished")
            assert not any(upload.done() for upload in uploads)
            stuck.set()
            assert len({(await upload).image.artifact for upload in uploads}) == 1

    async def test_one_tenants_pictures_do_not_keep_another_waiting(
        self, serve: Serve, make_request: Callable[..., pb.RunSearchRequest]
    ) -> None:
        decoded = list[int]()

        class Slow(LocalDecoder):
            def picture(self, data: bytes, limits: Limits, *, pixels: bool = True) -> Picture:
                time.sleep(0.02)
                decoded.append(1)
                return super().picture(data, limits, pixels=pixels)

        many = make_request(more_characters=[make_request().character] * 7, prompt="of ada")
        async with serve(decoding=Decoding(Slow(), at_once=1), keys=KEYS) as channel:
            stub = SearchServiceStub(channel)
            calls = [asyncio.ensure_future(create(stub, many, metadata=ADA)) for _ in range(8)]
            while len(decoded) < 4:
                await asyncio.sleep(0.005)
            before = len(decoded)
            assert await create(stub, make_request(), metadata=BOB)
            assert len(decoded) - before < 16, "two of its own, and as many of the other's in between"
            await asyncio.gather(*calls)
        assert len(decoded) == 8 * 9 + 2
