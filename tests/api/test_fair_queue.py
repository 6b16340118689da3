"""The fair queue: tenants in rotation, and nobody waits forever."""

import asyncio
from contextlib import suppress

import pytest

from eacps.api.fair_queue import FairQueue
from eacps.errors import TooManyCalls


async def test_tenants_take_turns_and_each_keeps_its_order() -> None:
    queue, order = FairQueue("waits", 1), list[str]()

    async def take(tenant: str, name: str) -> None:
        async with queue.slot(tenant):
            order.append(name)
            await asyncio.sleep(0)

    async with queue.slot("ada"):
        tasks = [asyncio.create_task(take("ada", f"a{number}")) for number in range(4)]
        await asyncio.sleep(0)
        tasks += [asyncio.create_task(take("bob", f"b{number}")) for number in range(2)]
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    assert order == ["a0", "b0", "a1", "b1", "a2", "a3"]


async def test_as_many_as_may_be_at_once() -> None:
    queue, most, at_once = FairQueue("waits", 3), 0, 0

    async def take() -> None:
        nonlocal most, at_once
        async with queue.slot("ada"):
            at_once += 1
            most = max(most, at_once)
            await asyncio.sleep(0.001)
            at_once -= 1

    await asyncio.gather(*(take() for _ in range(20)))
    assert (most, at_once) == (3, 0)


async def test_who_finds_the_queue_full_or_waits_too_long_is_refused() -> None:
    queue = FairQueue("pictures wait", 1, waiting=1, patience_s=0.05)
    async with queue.slot("ada"):
        waiting = asyncio.create_task(wait(queue, "bob"))
        await asyncio.sleep(0)
        with pytest.raises(TooManyCalls, match="1 pictures wait, as many as may wait"):
            await wait(queue, "eve")
        with pytest.raises(TooManyCalls, match="no slot within"):
            await waiting
    await wait(queue, "eve")


async def test_a_turn_that_is_given_up_goes_to_the_next() -> None:
    queue = FairQueue("waits", 1)
    async with queue.slot("ada"):
        leaving, staying = (asyncio.create_task(wait(queue, name)) for name in ("bob", "eve"))
        await asyncio.sleep(0)
    leaving.cancel()  # at the moment that the slot has come to it
    with suppress(asyncio.CancelledError):
        await leaving
    async with asyncio.timeout(60):
        await staying
        await wait(queue, "ada")


@pytest.mark.parametrize("others", [["eve"], ["bob", "eve"], []])
async def test_a_turn_passes_over_who_has_just_left(others: list[str]) -> None:
    queue = FairQueue("waits", 1)
    async with queue.slot("ada"):
        leaving, *staying = (asyncio.create_task(wait(queue, name)) for name in ("bob", *others))
        await asyncio.sleep(0)
        leaving.cancel()  # and the slot ends before it notices
    with suppress(asyncio.CancelledError):
        await leaving
    async with asyncio.timeout(60):
        await asyncio.gather(*staying)
        await wait(queue, "ada")


async def wait(queue: FairQueue, tenant: str) -> None:
    async with queue.slot(tenant):
        pass
