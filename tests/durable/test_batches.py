"""Taking what is there at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from eacps.durable.batches import in_batches


async def counting(until: int, *, error: Exception | None = None) -> AsyncIterator[int]:
    for number in range(until):
        yield number
    if error is not None:
        raise error


async def test_all_come_in_order_and_together_where_they_wait() -> None:
    batches = []
    async with aclosing(in_batches(counting(100), most=16)) as found:
        async for batch in found:
            batches.append(batch)
            await asyncio.sleep(0.001)
    assert [number for batch in batches for number in batch] == list(range(100))
    assert max(map(len, batches)) > 1
    assert all(len(batch) <= 16 for batch in batches)


async def test_what_came_before_an_error_comes_before_it() -> None:
    seen: list[int] = []

    async def read() -> None:
        async with aclosing(in_batches(counting(5, error=ValueError("no")))) as found:
            async for batch in found:
                seen.extend(batch)

    with pytest.raises(ValueError, match="no"):
        await read()
    assert seen == [0, 1, 2, 3, 4]


async def test_closing_it_ends_what_it_reads() -> None:
    ended = asyncio.Event()

    async def endless() -> AsyncIterator[int]:
        try:
            while True:
                yield 1
                await asyncio.sleep(0.001)
        finally:
            ended.set()

    async with aclosing(in_batches(endless())) as found:
        await anext(found)
    assert [task for task in asyncio.all_tasks() if task.get_name() == "reading"] == []
    await asyncio.sleep(0)
    assert ended.is_set()
