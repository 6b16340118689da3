"""When searches run: bounds for all and for each tenant, priorities, and nothing twice; in memory, and by DBOS."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from eacps.durable import Database, SearchStore, StoredSearch, Submission, Workflows
from eacps.durable.dbos_workflows import DbosWorkflows
from eacps.durable.local_workflows import LocalWorkflows
from eacps.durable.protocols import ConcurrencyLimits

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
        async with asyncio.timeout(60):
            while len(self.begun) < begun:
                await asyncio.sleep(0.02)


Start = Callable[..., Workflows]


@pytest.fixture
def shared_url(new_database: Callable[[str], str]) -> Iterator[str]:
    """URL of an empty PostgreSQL: DBOS runs over no other database here."""
    database = Database(new_database("workflows"))
    yield database.url
    database.close()


@pytest.fixture(params=["local", "dbos"])
def made(request: pytest.FixtureRequest) -> Start:
    """Makes workflows of each kind."""
    if request.param == "local":
        return lambda **limits: LocalWorkflows(ConcurrencyLimits(**limits))
    url = request.getfixturevalue("shared_url")
    return lambda **limits: DbosWorkflows(url, executor_id="one", limits=ConcurrencyLimits(**limits, poll_s=0.05))


@asynccontextmanager
async def started(workflows: Workflows, runs: Runs) -> AsyncIterator[None]:
    await workflows.start(runs.run)

    async def abandon() -> None:
        for search_id in set(runs.running):
            runs.let_go(search_id)

    try:
        yield
    finally:
        await workflows.stop(abandon, 0.1)


@pytest.fixture
def kept(store: SearchStore, submit: Submit) -> Keep:
    async def make(tenant: str = "ada", priority: int = 100) -> StoredSearch:
        search, _ = await store.create(submit(tenant=tenant, priority=priority))
        return search

    return make


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
class TestBoth:
    async def test_smaller_numbers_go_first_among_those_that_wait(self, made: Start, kept: Keep) -> None:
        runs, workflows = Runs(), made(per_server=1)
        async with started(workflows, runs):
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

    async def test_no_tenant_has_more_than_its_places_while_another_waits(self, made: Start, kept: Keep) -> None:
        runs, workflows = Runs(), made(per_server=3, per_tenant=2)
        async with started(workflows, runs):
            many = [await kept() for _ in range(4)]
            other = await kept(tenant="bob")
            for search in (*many, other):
                await workflows.enqueue(search)
            await runs.until(3)
            await asyncio.sleep(0.3)
            assert len(runs.begun) == 3
            assert other.id in runs.begun

    async def test_who_is_enqueued_twice_runs_once(self, made: Start, kept: Keep) -> None:
        runs, workflows = Runs(), made()
        async with started(workflows, runs):
            search = await kept()
            for _ in range(3):
                await workflows.enqueue(search)
            await runs.until(1)
            await asyncio.sleep(0.2)
            assert runs.begun == [search.id]
            runs.let_go(search.id)
            await workflows.forget([search.id])


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
async def test_one_that_was_claimed_as_the_database_failed_runs_when_that_is_back(
    kept: Keep, shared_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dbos import _queue

    start, failures = _queue.execute_dequeued_workflow, list[str]()

    def fail_once(*arguments: Any) -> Any:
        if not failures:
            failures.append("the database is away")
            raise OperationalError("SELECT", {}, Exception(failures[0]))
        return start(*arguments)

    monkeypatch.setattr(_queue, "execute_dequeued_workflow", fail_once)
    runs, workflows = (
        Runs(),
        DbosWorkflows(shared_url, executor_id="one", limits=ConcurrencyLimits(poll_s=0.05), stranded_s=0.3),
    )
    async with started(workflows, runs):
        search = await kept()
        await workflows.enqueue(search)
        await runs.until(1)
        other = await kept()
        await workflows.enqueue(other)
        await runs.until(2)
        await asyncio.sleep(1.5)  # what runs is not taken for stranded
        assert (failures, runs.begun) == (["the database is away"], [search.id, other.id])
        for one in (search, other):
            runs.let_go(one.id)


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
class TestLocal:
    async def test_tenants_take_turns(self, kept: Keep) -> None:
        runs, workflows = Runs(), LocalWorkflows(ConcurrencyLimits(per_server=1))
        async with started(workflows, runs):
            searches = [await kept() for _ in range(3)] + [await kept(tenant="bob") for _ in range(2)]
            for search in searches:
                await workflows.enqueue(search)
            for begun in range(1, 6):
                await runs.until(begun)
                runs.let_go(runs.begun[-1])
            a, b, c, other, another = (search.id for search in searches)
            assert runs.begun in ([a, other, b, another, c], [a, b, other, c, another])

    async def test_one_begins_at_once_where_there_is_a_slot(self, kept: Keep) -> None:
        runs, workflows = Runs(), LocalWorkflows()
        async with started(workflows, runs):
            await workflows.enqueue(await kept())
            await asyncio.sleep(0)  # one turn of the event loop, and no clock
            assert len(runs.begun) == 1

    async def test_one_that_fails_leaves_its_slot_to_the_next(
        self, kept: Keep, caplog: pytest.LogCaptureFixture
    ) -> None:
        begun: list[str] = []

        async def run(search_id: str) -> None:
            begun.append(search_id)
            raise RuntimeError("a bug")

        workflows = LocalWorkflows(ConcurrencyLimits(per_server=1))
        await workflows.start(run)
        for _ in range(2):
            await workflows.enqueue(await kept())
        async with asyncio.timeout(60):
            while len(begun) < 2:
                await asyncio.sleep(0.01)
        assert "a bug" in caplog.text

    async def test_what_waits_or_runs_at_the_end_is_left(self, kept: Keep) -> None:
        runs, workflows = Runs(), LocalWorkflows(ConcurrencyLimits(per_server=2))
        await workflows.start(runs.run)
        for _ in range(3):
            await workflows.enqueue(await kept())
        await runs.until(2)

        async def abandon() -> None:
            for search_id in set(runs.running):
                runs.let_go(search_id)

        await workflows.stop(abandon, 0.0)
        assert len(runs.begun) == 2
        assert not runs.running
