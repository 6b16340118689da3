"""What the database is asked about searches: the same answers from SQLite and PostgreSQL."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from eacps.artifacts import Artifact
from eacps.durable import ObjectStore, QueueLimits, SearchCursor, SearchState, SearchStore, StoredEvent, Submission
from eacps.errors import RequestIdTaken, SearchNotFound, SearchOver, TooManySearches
from eacps.evaluation import Progress
from tests.durable.conftest import Clock

Submit = Callable[..., Submission]


def event(sequence: int, payload: bytes = b"payload", report: str | None = None) -> StoredEvent:
    return StoredEvent(sequence, payload, report)


async def record(store: SearchStore, search_id: str, *events: StoredEvent, **fields: Any) -> None:
    """Record events, numbered on from those before."""
    defaults: dict[str, Any] = {"before": events[0].sequence - 1 if events else 0, "spent": "{}", "parts": {}}
    await store.record(search_id, events, **{**defaults, **fields})


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
        limits = QueueLimits(searches=3, per_tenant=2)
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
            after = SearchCursor(page[-1].created_s, page[-1].id)
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
            await record(store, search.id, event(sequence, bytes([sequence])))
        assert [one.sequence for one in await store.events(search.id)] == [1, 2, 3, 4, 5]
        assert [one.payload for one in await store.events(search.id, after=3)] == [b"\4", b"\5"]
        assert [one.sequence for one in await store.events(search.id, after=1, most=2)] == [2, 3]
        assert (await store.get("ada", search.id)).events == 5

    async def test_neither_gap_nor_repeat_is_taken(self, store: SearchStore, submit: Submit) -> None:
        search, _ = await store.create(submit())
        await store.begin(search.id)
        await record(store, search.id, event(1))
        for sequence in (1, 3):
            with pytest.raises(SearchOver):
                await record(store, search.id, event(sequence))
        assert len(await store.events(search.id)) == 1

    async def test_the_last_one_goes_with_the_end(self, store: SearchStore, submit: Submit, clock: Clock) -> None:
        search, _ = await store.create(submit())
        await store.begin(search.id)
        clock.now_s += 5
        await record(store, search.id, event(1, b"result"), finished=True)
        over = await store.get("ada", search.id)
        assert (over.state, over.result, over.finished_s) == (SearchState.SUCCEEDED, b"result", clock.now_s)
        assert await store.begin(search.id) is None

    async def test_a_failure_is_kept(self, store: SearchStore, submit: Submit) -> None:
        search, _ = await store.create(submit())
        await store.begin(search.id)
        await record(store, search.id, event(1))
        await store.fail(search.id, event, b"status")
        over = await store.get("ada", search.id)
        assert (over.state, over.failure, over.events) == (SearchState.FAILED, b"status", 2)

    async def test_how_long_it_waited_is_said_once(self, store: SearchStore, submit: Submit, clock: Clock) -> None:
        search, _ = await store.create(submit())
        clock.now_s += 7
        begun = [await store.begin(search.id) for _ in range(2)]
        assert [one.waited_s for one in begun if one is not None] == [7.0, None]
        clock.now_s += 1
        assert (await store.get("ada", search.id)).started_s == clock.now_s - 1

    async def test_one_that_waits_knows_its_position(self, store: SearchStore, submit: Submit, clock: Clock) -> None:
        running, _ = await store.create(submit())
        await store.begin(running.id)
        made = {}
        of_ada = {"second": 100, "third": 100, "first": 5}
        for name, priority in {"other's": 1, **of_ada}.items():
            clock.now_s += 1
            made[name], _ = await store.create(submit(priority=priority, tenant="ada" if name in of_ada else "bob"))
        assert {name: search.position for name, search in made.items()} == {
            "second": 1,  # when it was created
            "other's": 1,
            "third": 2,
            "first": 1,
        }
        positions = {name: (await store.get(one.tenant, one.id)).position for name, one in made.items()}
        assert positions == {"first": 1, "second": 2, "third": 3, "other's": 1}
        of_list = {one.id: one.position for one in await store.page("ada", labels={}, most=2)}
        assert of_list == {made["first"].id: 1, made["third"].id: 3}
        assert {one.position for one in await store.page("ada", states=[SearchState.RUNNING])} == {None}
        await store.begin(made["first"].id)
        assert (await store.get("ada", made["first"].id)).position is None
        assert (await store.get("ada", made["third"].id)).position == 2

    async def test_a_request_that_may_succeed_later_is_searched_again(self, store: SearchStore, submit: Submit) -> None:
        failed, _ = await store.create(submit(request_id="once"))
        await store.begin(failed.id)
        await store.fail(failed.id, event, b"status", retryable=True)
        with pytest.raises(RequestIdTaken):
            await store.create(submit(request_id="once", fingerprint="1" * 64))
        made = await asyncio.gather(*(store.create(submit(request_id="once")) for _ in range(16)))
        (second,) = {search.id for search, _ in made}
        assert second != failed.id
        assert sum(new for _, new in made) == 1
        assert (await store.get("ada", second)).request_id == "once"
        kept = await store.get("ada", failed.id)
        assert (kept.state, kept.request_id, kept.failure) == (SearchState.FAILED, None, b"status")

    async def test_a_request_that_failed_for_good_is_not(self, store: SearchStore, submit: Submit) -> None:
        failed, _ = await store.create(submit(request_id="once"))
        await store.begin(failed.id)
        await store.fail(failed.id, event, b"status", retryable=False)
        again, new = await store.create(submit(request_id="once"))
        assert (again.id, new) == (failed.id, False)

    async def test_who_was_cancelled_reports_nothing_more(
        self, store: SearchStore, objects: ObjectStore, submit: Submit
    ) -> None:
        search, _ = await store.create(submit())
        await store.begin(search.id)
        await record(store, search.id, event(1))
        cancelled = await store.cancel("ada", search.id, event)
        assert (cancelled.state, cancelled.events) == (SearchState.CANCELLED, 2)
        for late in (
            record(store, search.id, event(3)),
            record(store, search.id, event(3), finished=True),
            record(store, search.id, before=2),
            store.fail(search.id, event, b""),
            objects.put_for_search(search.id, [Artifact.of(b"late")]),
        ):
            with pytest.raises(SearchOver):
                await late
        assert await store.cancel("ada", search.id, event) == cancelled

    async def test_deleting_leaves_nothing(self, store: SearchStore, submit: Submit) -> None:
        search, _ = await store.create(submit(labels={"shot": "1"}))
        await store.begin(search.id)
        await record(store, search.id, event(1))
        await store.delete("ada", search.id)
        assert await store.events(search.id) == []
        assert await store.running([search.id]) == set()
        assert await store.progress(search.id) == (0, None)
        assert await store.begin(search.id) is None


class TestProgress:
    async def test_all_that_was_recorded_is_given_back(self, store: SearchStore, submit: Submit) -> None:
        search, _ = await store.create(submit())
        await store.begin(search.id)
        assert await store.progress(search.id) == (0, None)
        await record(store, search.id, event(1), spent="a", parts={"checkpoint": "c"})
        await record(store, search.id, event(2), spent="b", parts={"strategy": "s0", "prepared": "p"})
        await record(store, search.id, event(3, report="t1"), event(4, report="t2"), spent="c")
        await record(store, search.id, before=4, spent="d", parts={"strategy": "s1"})
        reported, progress = await store.progress(search.id)
        assert reported == 4
        assert progress == Progress({"checkpoint": "c", "prepared": "p", "strategy": "s1"}, ["t1", "t2"], "d")

    async def test_a_record_is_kept_whole_or_not_at_all(self, store: SearchStore, submit: Submit) -> None:
        search, _ = await store.create(submit())
        await store.begin(search.id)
        await record(store, search.id, event(1), spent="a")
        with pytest.raises(IntegrityError):  # the second one's number is taken
            await record(store, search.id, event(2, report="t"), event(2), spent="b", parts={"strategy": "s"})
        assert await store.progress(search.id) == (1, Progress({}, [], "a"))
        assert len(await store.events(search.id)) == 1

    async def test_it_is_said_what_a_search_waits_for(self, store: SearchStore, submit: Submit) -> None:
        search, _ = await store.create(submit())
        await store.record_waiting(search.id, "TRITON_UNAVAILABLE")
        assert (await store.get("ada", search.id)).waiting is None, "it does not run"
        await store.begin(search.id)
        await store.record_waiting(search.id, "TRITON_UNAVAILABLE")
        assert (await store.get("ada", search.id)).waiting == "TRITON_UNAVAILABLE"
        await record(store, search.id, event(1))
        assert (await store.get("ada", search.id)).waiting is None
        await store.record_waiting(search.id, "STORE_FULL")
        assert (await store.cancel("ada", search.id, event)).waiting is None


async def test_counts_and_queue(store: SearchStore, submit: Submit) -> None:
    made = [(await store.create(submit()))[0] for _ in range(3)]
    await store.begin(made[1].id)
    assert await store.counts() == {SearchState.QUEUED: 2, SearchState.RUNNING: 1}
    assert {search.id for search in await store.queued()} == {made[0].id, made[2].id}
