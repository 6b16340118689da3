import asyncio

import numpy as np
import pytest
import torch

from eacps.models.conditioning import ContentCache, digest


class Source:
    """Computes values when told to go on, and counts how often it was asked."""

    def __init__(self, size: int = 4) -> None:
        self.asked, self.size, self.go_on = 0, size, asyncio.Event()

    async def __call__(self) -> torch.Tensor:
        self.asked += 1
        await self.go_on.wait()
        return torch.full((self.size,), float(self.asked))


@pytest.fixture
async def source() -> Source:
    made = Source()
    made.go_on.set()
    return made


async def test_a_value_is_computed_once(source: Source) -> None:
    cache = ContentCache(1000)
    first, second = await cache.get("a", source), await cache.get("a", source)
    assert source.asked == 1
    assert first is second
    assert (cache.hits, cache.misses) == (1, 1)


async def test_those_who_ask_meanwhile_wait_for_the_same_computation(source: Source) -> None:
    cache = ContentCache(1000)
    source.go_on.clear()
    waiting = [asyncio.create_task(cache.get("a", source)) for _ in range(5)]
    await asyncio.sleep(0)
    source.go_on.set()
    await asyncio.gather(*waiting)
    assert source.asked == 1


async def test_one_who_goes_away_takes_nobody_elses_value_along(source: Source) -> None:
    cache = ContentCache(1000)
    source.go_on.clear()
    first, second = (asyncio.create_task(cache.get("a", source)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    source.go_on.set()
    assert (await second).tolist() == [1.0] * 4
    assert source.asked == 1


async def test_the_least_recently_used_value_goes_first(source: Source) -> None:
    cache = ContentCache(40)  # two values of 16 bytes
    for key in ("a", "b", "a", "c"):
        await cache.get(key, source)
    assert source.asked == 3
    await cache.get("a", source)
    assert source.asked == 3
    await cache.get("b", source)
    assert source.asked == 4


async def test_a_value_beyond_the_bound_is_handed_out_and_drops_no_other(source: Source) -> None:
    cache = ContentCache(40)
    await cache.get("small", source)
    big = Source(size=100)
    big.go_on.set()
    assert len(await cache.get("big", big)) == 100
    await cache.get("small", source)
    assert source.asked == 1


async def test_a_failure_reaches_all_who_wait_and_is_not_kept(source: Source) -> None:
    cache = ContentCache(1000)

    async def fail() -> torch.Tensor:
        await asyncio.sleep(0)
        raise ValueError("broken")

    results = await asyncio.gather(cache.get("a", fail), cache.get("a", fail), return_exceptions=True)
    assert [str(result) for result in results] == ["broken", "broken"]
    assert (await cache.get("a", source)).tolist() == [1.0] * 4


def test_digests_tell_contents_apart() -> None:
    ones, zeros = np.ones((2, 3, 3), np.uint8), np.zeros((2, 3, 3), np.uint8)
    parts = [("a", "bc"), ("ab", "c"), ("abc",), (ones,), (zeros,), (ones.reshape(3, 2, 3),), (ones.tobytes(),)]
    assert len({digest(*some) for some in parts}) == len(parts)
