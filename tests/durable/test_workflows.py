"""When searches run: bounds for all and for each tenant, priorities, and nothing twice; by DBOS, on a real database."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from eacps.durable import SearchStore, StoredSearch, Submission, sqlite_url
from eacps.durable.workflows import DbosWorkflows, LocalWorkflows, Places

Submit = Callable[..., Submission]
Keep = Callable[..., Awaitable[StoredSearch]]


class Runs:
    """Records who runs, and lets them go on."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.running: set[str] = set()
        self.gates: dict[str, asyncio.Event] = {}

    async def run(self, search_id: str) -> None:
        self.begun.append(search_id)
        self.running.add(search_id)
        try:
            await self.gates.setdefault(search_id, asyncio.Event()).wait()
        finally:
            self.running.discard(search_id)

    def let_go(self, search_id: str) -> None:
        self.gates.setdefault(search_id, asyncio.Event()).set()

    async def until(self, begun: int) -> None:
        async with asyncio.timeout(20):
            while len(self.begun) < begun:
                await asyncio.sleep(0.02)


@asynccontextmanager
async def by_dbos(folder: Path, places: Places, runs: Runs) -> AsyncIterator[DbosWorkflows]:
    workflows = DbosWorkflows(sqlite_url(folder / "workflows.sqlite"), executor_id="one", places=places)
    await workflows.start(runs.run)

    async def abandon() -> None:
        for search_id in set(runs.running):
            runs.let_go(search_id)

    try:
        yield workflows
    finally:
        await workflows.stop(abandon, 0.1)


@pytest.fixture
def kept(store: SearchStore, submit: Submit) -> Keep:
    async def make(tenant: str = "ada", priority: int = 100) -> StoredSearch:
        search, _ = await store.create(submit(tenant=tenant, priority=priority))
        return search

    return make


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
class TestDbos:
    async def test_smaller_numbers_go_first_among_those_that_wait(self, tmp_path: Path, kept: Keep) -> None:
        runs = Runs()
        async with by_dbos(tmp_path, Places(here=1, poll_s=0.05), runs) as workflows:
            first, late, early = await kept(), await kept(priority=200), await kept(priority=5)
            await workflows.enqueue(first)
            await runs.until(1)
            for search in (late, early):
                await workflows.enqueue(search)
            await asyncio.sleep(0.3)
            assert runs.begun == [first.id]
            runs.let_go(first.id)
            await runs.until(2)
            assert runs.begun[1] == early.id
            runs.let_go(early.id)
            await runs.until(3)

    async def test_no_tenant_has_more_than_its_places_while_another_waits(self, tmp_path: Path, kept: Keep) -> None:
        runs = Runs()
        async with by_dbos(tmp_path, Places(here=3, per_tenant=2, poll_s=0.05), runs) as workflows:
            many = [await kept() for _ in range(4)]
            other = await kept(tenant="bob")
            for search in (*many, other):
                await workflows.enqueue(search)
            await runs.until(3)
            await asyncio.sleep(0.3)
            assert len(runs.begun) == 3
            assert other.id in runs.begun

    async def test_who_is_enqueued_twice_runs_once(self, tmp_path: Path, kept: Keep) -> None:
        runs = Runs()
        async with by_dbos(tmp_path, Places(poll_s=0.05), runs) as workflows:
            search = await kept()
            for _ in range(3):
                await workflows.enqueue(search)
            await runs.until(1)
            runs.let_go(search.id)
            await asyncio.sleep(0.5)
            await workflows.enqueue(search)
            await asyncio.sleep(0.5)
            assert runs.begun == [search.id]
            await workflows.forget([search.id])


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
async def test_local_ones_wait_for_a_place(kept: Keep) -> None:
    runs, workflows = Runs(), LocalWorkflows(Places(here=2))
    await workflows.start(runs.run)
    searches = [await kept() for _ in range(3)]
    for search in searches:
        await workflows.enqueue(search)
    await runs.until(2)
    await asyncio.sleep(0.1)
    assert len(runs.begun) == 2
    for search in searches:
        runs.let_go(search.id)
    await runs.until(3)

    async def abandon() -> None:
        return

    await workflows.stop(abandon, 1.0)
