"""Pictures in events: by their bytes as long as they fit into the message and into memory, otherwise by hash."""

import asyncio
from typing import cast

import pytest

from eacps.api.decoding import Decoding
from eacps.api.memory_budget import MemoryBudget
from eacps.api.message_pictures import MOST_INLINE_BYTES, MessagePictures
from eacps.durable import ObjectStore
from eacps.imaging import LocalDecoder
from eacps.v1 import search_service_pb2 as pb


class Objects:
    """Holds pictures whose digest is their size."""

    def __init__(self) -> None:
        self.read = self.most_read = 0
        self.asked: list[str] = []
        self.gates: dict[str, asyncio.Event] = {}

    async def get(self, digest: str) -> bytes:
        self.asked.append(digest)
        self.read += 1
        self.most_read = max(self.read, self.most_read)
        await (self.gates[digest].wait() if digest in self.gates else asyncio.sleep(0))
        self.read -= 1
        return bytes(int(digest))


def event(prior: int, scene: int) -> pb.SearchEvent:
    ready = pb.PriorReady(prior=pb.Image(artifact=str(prior)), scene=pb.Image(artifact=str(scene)))
    return pb.SearchEvent(prior_ready=ready)


def pictures_over(objects: Objects) -> MessagePictures:
    return MessagePictures(cast(ObjectStore, objects), Decoding(LocalDecoder()))


@pytest.mark.parametrize(
    ("sizes", "memory", "inline"),
    [
        ((6, 4), 10, (6, 4)),
        ((6, 5), 10, (6, 0)),
        ((11, 5), 12, (11, 0)),
        ((12, 5), 10, (0, 0)),
        ((MOST_INLINE_BYTES - 1, 2), 2**30, (MOST_INLINE_BYTES - 1, 0)),
        ((MOST_INLINE_BYTES + 1, 2), 2**30, (0, 2)),
    ],
)
async def test_pictures_come_by_their_bytes_as_far_as_they_fit(
    sizes: tuple[int, int], memory: int, inline: tuple[int, int]
) -> None:
    budget, filled = MemoryBudget("pictures in events", memory), event(*sizes)
    with budget.reservation() as reservation:
        await pictures_over(Objects()).fill_event(filled, reservation)
        found = filled.prior_ready.prior, filled.prior_ready.scene
        assert tuple(len(image.data) for image in found) == inline
        assert [image.artifact for image in found] == [
            "" if held else str(size) for held, size in zip(inline, sizes, strict=True)
        ]
        assert budget.held == sum(inline)
    assert budget.held == 0


async def test_slow_readers_hold_no_more_than_the_budget() -> None:
    objects, budget = Objects(), MemoryBudget("pictures in events", 100)
    pictures, events = pictures_over(objects), [event(3, 4) for _ in range(50)]
    held = [budget.reservation() for _ in events]
    await asyncio.gather(*(pictures.fill_event(*one) for one in zip(events, held, strict=True)))
    assert (
        sum(len(one.prior_ready.prior.data) + len(one.prior_ready.scene.data) for one in events) == budget.held <= 100
    )
    assert objects.most_read <= 8


async def test_pictures_that_do_not_fit_are_in_memory_for_few_events_at_once() -> None:
    large, objects, gate = MOST_INLINE_BYTES + 1, Objects(), asyncio.Event()
    objects.gates["2"] = gate
    pictures, budget, events = pictures_over(objects), MemoryBudget("pictures in events", 100), 50
    work = [pictures.fill_event(event(large, 2), budget.reservation()) for _ in range(events)]
    filled = asyncio.gather(*work)
    for _ in range(10 * events):
        await asyncio.sleep(0)
    assert objects.asked.count(str(large)) == objects.asked.count("2") == 8
    gate.set()
    await filled
    assert objects.asked.count(str(large)) == events


async def test_an_event_without_pictures_waits_for_no_other() -> None:
    objects = Objects()
    objects.gates["1"] = asyncio.Event()
    pictures, reservation = pictures_over(objects), MemoryBudget("pictures in events", 100).reservation()
    others = [asyncio.ensure_future(pictures.fill_event(event(1, 1), reservation)) for _ in range(20)]
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await pictures.fill_event(pb.SearchEvent(), reservation)
    for one in others:
        one.cancel()
