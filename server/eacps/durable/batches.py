"""Taking what is there at once, instead of one after another."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TypeVar

T = TypeVar("T")


async def in_batches(items: AsyncIterator[T], *, most: int = 64) -> AsyncGenerator[list[T], None]:
    """Yield items in their order, as many together as have come while the last ones were being dealt with.

    Args:
        items: Iterated in a task of its own, which is cancelled when this generator is closed.
        most: Items of a batch, and items that may wait.

    Raises:
        BaseException: What iterating raised, after the items that had come before it.
    """
    queue: asyncio.Queue[T] = asyncio.Queue(maxsize=most)

    async def read() -> None:
        async for item in items:
            await queue.put(item)

    reading = asyncio.create_task(read(), name="reading")
    try:
        while not (reading.done() and queue.empty()):
            batch = await _first(queue, reading)
            while not queue.empty() and len(batch) < most:
                batch.append(queue.get_nowait())
            if batch:
                yield batch
        reading.result()
    finally:
        reading.cancel()
        await asyncio.wait({reading})


async def _first(queue: "asyncio.Queue[T]", reading: "asyncio.Task[None]") -> list[T]:
    """Wait for an item, or for there to be no more."""
    getting = asyncio.ensure_future(queue.get())
    try:
        await asyncio.wait({getting, reading}, return_when=asyncio.FIRST_COMPLETED)
        return [getting.result()] if getting.done() else []
    finally:
        getting.cancel()
