"""When callers come."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

Visit = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Open:
    """Callers that come whether or not others are served: a Poisson process.

    Attributes:
        per_second: Mean rate.
        ramp_s: Over which it grows from nothing.
        most: In the house at once; who comes then is turned away, and counted.
    """

    per_second: float
    ramp_s: float = 0.0
    most: int = 1000


@dataclass(frozen=True)
class Closed:
    """So many callers, each of whom comes again as soon as it was served.

    Attributes:
        callers: How many.
        ramp_s: Over which they come for the first time.
    """

    callers: int
    ramp_s: float = 0.0


async def arrive(how: Open | Closed, visit: Visit, *, until_s: float, turned_away: Callable[[], None]) -> None:
    """Start callers until a time of the monotonic clock, and wait for the last one to end."""
    if isinstance(how, Closed):
        await asyncio.gather(*(_again_and_again(index, how, visit, until_s) for index in range(how.callers)))
        return
    begun, inside = time.monotonic(), set[asyncio.Task[None]]()
    while (now := time.monotonic()) < until_s:
        share = 1.0 if how.ramp_s <= 0 else min(1.0, max(0.02, (now - begun) / how.ramp_s))
        await asyncio.sleep(min(random.expovariate(how.per_second * share), until_s - now))
        if len(inside) >= how.most:
            turned_away()
            continue
        task = asyncio.ensure_future(visit())
        inside.add(task)
        task.add_done_callback(inside.discard)
    if inside:
        await asyncio.wait(set(inside))


async def _again_and_again(index: int, how: Closed, visit: Visit, until_s: float) -> None:
    await asyncio.sleep(how.ramp_s * index / max(1, how.callers))
    while time.monotonic() < until_s:
        await visit()
