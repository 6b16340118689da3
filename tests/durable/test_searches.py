"""What the database is asked about searches: the same answers from SQLite and PostgreSQL."""

import asyncio
from collections.abc import Callable

import pytest

from eacps.durable import Database, Limits, Place, SearchState, SearchStore, StoredEvent, Submission
from eacps.durable.journal import DurableSteps
from eacps.errors import RequestIdTaken, SearchNotFound, SearchOver, TooManySearches
from tests.durable.conftest import Clock

Submit = Callable[..., Submission]


def event(sequence: int, identity: str = "", payload: bytes = b"payload") -> StoredEvent:
    return StoredEvent(sequence, identity or f"event {sequence}", payload)


class TestCreating:
    async def test_a_search_is_given_back_as_it_was_submitted(
        self, store: SearchStore, submit: Submit, clock: Clock
    ) -> None:
        submission = submit(labels={"shot": "12a", "take": "3"}, priority=7, request=bytes(range(256)), expires_s=2e6)
        search, new = await store.create(submission)
        assert new
        assert search == await store.get("ada", submission.id)
        assert (search.request, search.labels) == (bytes(range(256)), {"shot": "12a", "take": "3"})
        assert (search.priority, search.expires_s, search.created_s) == (7, 2e6, clock.now_s)
        assert (search.state, search.events, search.started_s) == (SearchState.QUEUED, 0, None)

    async def test_the_same_request_with_the_same_id_is_the_same_search(
        self, store: SearchStore, submit: Submit
    ) -> None:
        first, new = await store.create(submit(request_id="once"))
        again, repeated = await store.create(submit(request_id="once"))
        assert (new, repeated) == (True, False)
        assert again == first

    async def test_another_request_with_the_same_id_is_refused(self, store: SearchStore, submit: Submit) -> None:
        await store.create(submit(request_id="once"))
        with pytest.raises(RequestIdTaken):
            await store.create(submit(request_id="once", fingerprint="1" * 64))

    async def test_tenants_may_use_the_same_id(self, store: SearchStore, submit: Submit) -> None:
        first, _ = await store.create(submit(request_id="once"))
        other, new = await store.create(submit(request_id="once", tenant="bob"))
        assert new
        assert other.id != first.id

    async def test_many_at_once_with_one_id_make_one_search(self, store: SearchStore, submit: Submit) -> None:
        made = await asyncio.gather(*(store.create(submit(request_id="once")) for _ in range(16)))
        assert sum(new for _, new in made) == 1
        assert len({search.id for search, _ in made}) == 1

    async def test_unfinished_searches_are_limited(self, store: SearchStore, submit: Submit) -> None:
        limits = Limits(searches=3, per_tenant=2)
        first, _ = await store.create(submit(), limits)
        await store.create(submit(), limits)
        with pytest.raises(TooManySearches, match="of your searches"):
            await store.create(submit(), limits)
        await store.create(submit(tenant="bob"), limits)
        with pytest.raises(TooManySearches, match="this service"):
            await store.create(submit(tenant="eve"), limits)
        await store.cancel("ada", first.id, event)
        await store.create(submit(), limits)


class TestTenancy:
    async def test_a_search_of_another_tenant_does_not_exist(self, store: SearchStore, submit: Submit) -> None:
        search, _ = await store.create(submit())
        for asked in (
            store.get("bob", search.id),
            store.cancel("bob", search.id, event),
            store.delete("bob", search.id),
            store.get("ada", "f" * 32),
        ):
            with pytest.raises(SearchNotFound):
                await asked
        assert await store.page("bob") == []
        assert (await store.get("ada", search.id)).state is SearchState.QUEUED


class TestListing:
    async def test_newest_first_in_pages_without_gap_or_repeat(
        self, store: SearchStore, submit: Submit, clock: Clock
    ) -> None:
        made = []
        for number in range(7):
            clock.now_s += number % 2  # some at the same time
            made.append((await store.create(submit()))[0])
        expected = sorted(made, key=lambda search: (search.created_s, search.id), reverse=True)
        found, after = [], None
        while page := await store.page("ada", after=after, most=3):
            found += page
            after = Place(page[-1].created_s, page[-1].id)
        assert found == expected

    async def test_filters_by_state_and_labels(self, store: SearchStore, submit: Submit) -> None:
        one, _ = await store.create(submit(labels={"shot": "1", "take": "1"}))
        two, _ = await store.create(submit(labels={"shot": "1", "take": "2"}))
        await store.create(submit(labels={"shot": "2"}))
        await store.begin(two.id)
        assert {search.id for search in await store.page("ada", labels={"shot": "1"})} == {one.id, two.id}
        assert [search.id for search in await store.page("ada", labels={"shot": "1", "take": "2"})] == [two.id]
        assert [search.id for search in await store.page("ada", states=[SearchState.RUNNING])] == [two.id]
        assert await store.page("ada", states=[SearchState.FAILED]) == []


class TestEvents:
    async def test_are_kept_in_order_and_given_from_anywhere(self, store: SearchStore, submit: Submit) -> None:
        search, _ = await store.create(submit())
        await store.begin(search.id)
        for sequence in range(1, 6):
            await store.append(search.id, event(sequence, payload=bytes([sequence])))
        assert [one.sequence for one in await store.events(search.id)] == [1, 2, 3, 4, 5]
        assert [one.payload for one in await store.events(search.id, after=3)] == [b"\4", b"\5"]
        assert [one.sequence for one in await store.events(search.id, after=1, most=2)] == [2, 3]
        assert (await store.get("ada", search.id)).events == 5
        assert await store.told(search.id) == [f"event {sequence}" for sequence in range(1, 6)]

    async def test_neither_gap_nor_repeat_is_taken(self, store: SearchStore, submit: Submit) -> None:
        search, _ = await store.create(submit())
        await store.begin(search.id)
        await store.append(search.id, event(1))
        for sequence in (1, 3):
            with pytest.raises(SearchOver):
                await store.append(search.id, event(sequence))
        assert len(await store.events(search.id)) == 1

    async def test_the_last_one_goes_with_the_end(self, store: SearchStore, submit: Submit, clock: Clock) -> None:
        search, _ = await store.create(submit())
        await store.begin(search.id)
        clock.now_s += 5
        await store.succeed(search.id, event(1, payload=b"result"))
        over = await store.get("ada", search.id)
        assert (over.state, over.result, over.finished_s) == (SearchState.SUCCEEDED, b"result", clock.now_s)
        assert await store.begin(search.id) is None

    async def test_a_failure_is_kept(self, store: SearchStore, submit: Submit) -> None:
        search, _ = await store.create(submit())
        await store.begin(search.id)
        await store.append(search.id, event(1))
        await store.fail(search.id, event, b"status")
        over = await store.get("ada", search.id)
        assert (over.state, over.failure, over.events) == (SearchState.FAILED, b"status", 2)

    async def test_who_was_cancelled_tells_nothing_more(
        self, store: SearchStore, submit: Submit, database: Database
    ) -> None:
        search, _ = await store.create(submit())
        await store.begin(search.id)
        steps = await DurableSteps.load(database, search.id)
        await store.append(search.id, event(1))
        cancelled = await store.cancel("ada", search.id, event)
        assert (cancelled.state, cancelled.events) == (SearchState.CANCELLED, 2)
        for late in (
            store.append(search.id, event(3)),
            store.succeed(search.id, event(3)),
            store.fail(search.id, event, b""),
            steps.run("late", {}, answer),
        ):
            with pytest.raises(SearchOver):
                await late
        assert await store.cancel("ada", search.id, event) == cancelled

    async def test_deleting_leaves_nothing(self, store: SearchStore, submit: Submit) -> None:
        search, _ = await store.create(submit(labels={"shot": "1"}))
        await store.begin(search.id)
        await store.append(search.id, event(1))
        await store.delete("ada", search.id)
        assert await store.events(search.id) == []
        assert await store.state(search.id) is None
        assert await store.begin(search.id) is None


async def answer() -> dict[str, object]:
    return {"answer": 42}


class TestJournal:
    async def test_a_recorded_step_is_not_run_again(
        self, store: SearchStore, submit: Submit, database: Database
    ) -> None:
        search, _ = await store.create(submit())
        await store.begin(search.id)
        steps = await DurableSteps.load(database, search.id)
        assert await steps.run("ask", {"question": 1}, answer) == {"answer": 42}

        async def never() -> dict[str, object]:
            raise AssertionError("run again")

        for again in (steps, await DurableSteps.load(database, search.id)):
            assert await again.run("ask", {"question": 1}, never) == {"answer": 42}
        with pytest.raises(AssertionError):
            await steps.run("ask", {"question": 2}, never)

    async def test_a_step_that_raises_is_not_recorded(
        self, store: SearchStore, submit: Submit, database: Database
    ) -> None:
        search, _ = await store.create(submit())
        await store.begin(search.id)
        steps = await DurableSteps.load(database, search.id)

        async def fails() -> dict[str, object]:
            raise ValueError("no")

        with pytest.raises(ValueError, match="no"):
            await steps.run("ask", {}, fails)
        assert await steps.run("ask", {}, answer) == {"answer": 42}


async def test_counts_and_queue(store: SearchStore, submit: Submit) -> None:
    made = [(await store.create(submit()))[0] for _ in range(3)]
    await store.begin(made[1].id)
    assert await store.counts() == {SearchState.QUEUED: 2, SearchState.RUNNING: 1}
    assert {search.id for search in await store.queued()} == {made[0].id, made[2].id}
