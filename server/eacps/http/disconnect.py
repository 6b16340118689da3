"""Work for a caller that ends when the caller leaves."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from typing import Any, TypeVar

from starlette.types import Receive

T = TypeVar("T")


class CallerLeft(Exception):
    """The connection was closed before the response was complete."""


async def while_connected(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """Do work, and cancel it and wait for its end if the caller leaves.

    Args:
        receive: Of a request whose body was read.
        work: Its exceptions are raised here.

    Raises:
        CallerLeft: The caller left first.
    """
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise CallerLeft
        return task.result()
    finally:
        await ended(task, gone)


async def ended(*tasks: "asyncio.Future[Any]") -> None:
    """Cancel tasks, and wait until they have ended, whatever they end with."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # looked at, so that none is reported as lost


async def with_pauses(items: AsyncGenerator[T, None], interval_s: float) -> AsyncGenerator[T | None, None]:
    """Yield the items, and None whenever none has come for some time."""
    following: asyncio.Future[T] | None = None
    try:
        while True:
            following = following or asyncio.ensure_future(anext(items))
            done, _ = await asyncio.wait({following}, timeout=interval_s)
            if not done:
                yield None
                continue
            try:
                item = following.result()
            except StopAsyncIteration:
                return
            following = None
            yield item
    finally:
        if following is not None:
            await ended(following)
        await items.aclose()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
