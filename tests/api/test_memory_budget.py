"""Bytes that are waited for: in order, and given back by those who give up."""

import asyncio

import pytest

from eacps.api.memory_budget import MemoryBudget
from eacps.errors import InvalidRequest, TooManyCalls


async def started(work: "asyncio.Future[None]") -> None:
    """Run started tasks until they wait."""
    for _ in range(3):
        await asyncio.sleep(0)
    assert not work.done()


async def test_who_waits_is_served_in_order_and_before_calls() -> None:
    memory = MemoryBudget("bytes", 10)
    first, large, small = (memory.reservation() for _ in range(3))
    first.add(6)
    waiting = asyncio.ensure_future(large.wait_for(8))
    await started(waiting)
    behind = asyncio.ensure_future(small.wait_for(1))
    await started(behind)
    with pytest.raises(TooManyCalls):
        memory.take(1)
    first.release()
    await waiting
    await behind
    assert (memory.held, memory.waited_for) == (9, 0)
    memory.take(1)


@pytest.mark.parametrize("served", [False, True])
async def test_who_gives_up_keeps_nothing(served: bool) -> None:
    memory = MemoryBudget("bytes", 10)
    first, other = memory.reservation(), memory.reservation()
    first.add(6)
    waiting = asyncio.ensure_future(memory.wait_for(8))
    await started(waiting)
    behind = asyncio.ensure_future(other.wait_for(4))
    await started(behind)
    if served:
        first.release()
    waiting.cancel()
    await asyncio.wait({waiting})
    await behind
    other.release()
    first.release()
    assert (memory.held, memory.waited_for) == (0, 0)


async def test_more_than_there_are_is_not_waited_for() -> None:
    reservation = MemoryBudget("bytes", 10).reservation()
    with pytest.raises(InvalidRequest, match="need 11 bytes"):
        await reservation.wait_for(11)


async def test_what_is_moved_is_held_still() -> None:
    memory = MemoryBudget("bytes", 10)
    with memory.reservation() as reservation:
        reservation.add(4)
        other = reservation.moved()
    assert memory.held == 4
    other.release()
    assert memory.held == 0


async def test_calls_of_one_tenant_leave_bytes_to_others() -> None:
    memory = MemoryBudget("bytes", 12, tenant_share=0.75)
    first, second, other = memory.reservation("ada"), memory.reservation("ada"), memory.reservation("eve")
    first.add(5)
    with pytest.raises(TooManyCalls, match="5 bytes of bytes are held by you, of at most 9") as caught:
        second.add(5)
    assert (caught.value.subject, caught.value.metadata) == ("tenant:ada", {"limit": "9", "count": "5"})
    second.add(4)
    other.add(3)
    for one in (first, second, other):
        one.release()
    second.add(9)
    assert memory.held == 9


async def test_one_call_may_hold_more_than_a_share() -> None:
    memory = MemoryBudget("bytes", 12, tenant_share=0.75)
    first = memory.reservation("ada")
    first.add(8)
    first.add(3)
    with pytest.raises(TooManyCalls):
        memory.reservation("ada").add(1)


async def test_who_is_not_authenticated_may_have_all() -> None:
    memory = MemoryBudget("bytes", 12, tenant_share=0.75)
    for _ in range(2):
        memory.reservation().add(6)
    assert memory.held == 12


@pytest.mark.parametrize("cancelled", [False, True])
async def test_bytes_that_are_waited_for_count_to_their_tenant(cancelled: bool) -> None:
    memory = MemoryBudget("bytes", 10, tenant_share=0.5)
    first, second = memory.reservation("eve"), memory.reservation("ada")
    first.add(6)
    waiting = asyncio.ensure_future(second.wait_for(5))
    await started(waiting)
    first.release()
    if cancelled:
        waiting.cancel()  # at the moment at which they come
        await asyncio.wait({waiting})
    else:
        await waiting
        with pytest.raises(TooManyCalls, match="5 bytes of bytes are held by you"):
            memory.reservation("ada").add(1)
        second.release()
    third = memory.reservation("ada")
    third.add(4)
    with pytest.raises(TooManyCalls, match="4 bytes of bytes are held by you"):
        memory.reservation("ada").add(2)
