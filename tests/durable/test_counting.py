"""What belongs to the database is reported by one of the servers that share it."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, cast

from eacps.assembly.engine import count_searches
from eacps.durable import Database, SearchStore, Submission
from eacps.evaluation import Observer
from eacps.metrics import SearchMetrics
from tests.durable.conftest import Clock


class Counted(Observer):
    """Remembers how often it was told."""

    def __init__(self) -> None:
        self.times = 0

    def counted(self, searches: Mapping[str, int]) -> None:
        self.times += bool(searches)


async def ended(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_one_server_counts_and_another_takes_over(url: str) -> None:
    databases, observers = [Database(url) for _ in range(2)], [Counted() for _ in range(2)]
    tasks = []
    for database, observer in zip(databases, observers, strict=True):
        engine: Any = SimpleNamespace(store=SearchStore(database))
        tasks.append(asyncio.create_task(count_searches(engine, database, observer, interval_s=0.05)))
        async with asyncio.timeout(60):
            while not observers[0].times:
                await asyncio.sleep(0.01)
    async with asyncio.timeout(60):
        while observers[0].times < 8:  # so often the other one could have counted too
            await asyncio.sleep(0.01)
    assert observers[1].times == 0
    await ended(tasks[0])
    async with asyncio.timeout(60):
        while not observers[1].times:
            await asyncio.sleep(0.01)
    await ended(tasks[1])
    for database in databases:
        database.close()


async def test_the_wait_of_the_oldest_queued_search_is_reported(
    database: Database, store: SearchStore, clock: Clock, submit: Callable[..., Submission]
) -> None:
    assert await store.longest_wait_s() == 0.0
    first, _ = await store.create(submit())
    clock.now_s += 30
    await store.create(submit(priority=1))
    clock.now_s += 12
    assert await store.longest_wait_s() == 42.0
    await store.begin(first.id)
    metrics, engine = SearchMetrics(), cast(Any, SimpleNamespace(store=store))
    task = asyncio.create_task(count_searches(engine, database, metrics, interval_s=0.05))
    name = "eacps_search_queue_oldest_seconds"
    async with asyncio.timeout(60):
        while metrics.registry.get_sample_value(name) != 12.0:
            await asyncio.sleep(0.01)
    await ended(task)


def test_who_does_not_count_reports_nothing() -> None:
    metrics = SearchMetrics()
    metrics.counted({"queued": 3})
    metrics.counted({})
    assert [sample for family in metrics.registry.collect() for sample in family.samples if "kept" in sample.name] == []
