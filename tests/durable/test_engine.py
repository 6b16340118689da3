"""The engine: searches go on wherever they were interrupted, wait out what is away, and end as whole ones do."""

import asyncio
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import Connection

from eacps.api import MessageCodec, validation, violations
from eacps.api.validation import plan_of
from eacps.durable import (
    Database,
    Retention,
    SearchEngine,
    SearchState,
    SearchStore,
    Submission,
    Sweeper,
    database,
    feeds,
    sqlite_url,
)
from eacps.durable.outages import store_error
from eacps.durable.running import RunningSearch
from eacps.errors import (
    ArtifactNotFound,
    CheckpointChanged,
    InvalidRequest,
    SearchNotFound,
    StoreFull,
    StoreUnavailable,
    TritonModelFailed,
    TritonUnavailable,
)
from eacps.imaging import Limits
from eacps.limits import RANGES
from eacps.testing import TOY_CHECKPOINT, ToyModels
from eacps.triton import Generated, GenerateRequest, ServedCheckpoint
from eacps.v1 import search_service_pb2 as pb
from tests.api.conftest import RULES
from tests.durable.engines import House, essence, kinds, unfinished, watched
from tests.faults.outages import replaced_by_file

Submit = Callable[..., Submission]
LEFT_S = 3600.0


class Gated(ToyModels):
    """Makes pictures as long as the gate is open, which falls shut after some calls; counts calls."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.calls, self.errors = asyncio.Event(), 0, list[Exception]()
        self.gate.set()
        self.shuts_after: int | None = None
        self.changes_at: int | None = None
        self.served: ServedCheckpoint = TOY_CHECKPOINT
        self.expected = ContextVar("expected", default="")

    async def describe(self) -> ServedCheckpoint:
        return self.served

    @contextmanager
    def expecting(self, build: str) -> Iterator[None]:
        token = self.expected.set(build)
        try:
            yield
        finally:
            self.expected.reset(token)

    async def generate(self, request: GenerateRequest, *, timeout_s: float | None = None) -> Generated:
        self.calls += 1
        if self.calls == self.shuts_after:
            self.gate.clear()
        if self.calls == self.changes_at:
            self.served = replace(self.served, build="another")
        if self.expected.get() not in ("", self.served.build):
            raise CheckpointChanged("another build")
        if self.errors:
            raise self.errors.pop(0)
        await self.gate.wait()
        return await super().generate(request, timeout_s=timeout_s)


@pytest.fixture
def models() -> Gated:
    return Gated()


@pytest.fixture
async def house(database: Database, tmp_path: Path, models: Gated) -> House:
    return House(database, tmp_path / "artifacts", models)


@pytest.fixture
async def whole(tmp_path: Path, submit: Submit) -> AsyncIterator[dict[str, Any]]:
    """What a small search finds that nobody disturbs."""
    undisturbed = Database(sqlite_url(tmp_path / "undisturbed.sqlite"))
    house = House(undisturbed, tmp_path / "undisturbed")
    async with house.serving() as engine:
        yield essence(await watched(engine, (await engine.submit(await house.submission(submit))).id))
    undisturbed.close()


async def until(condition: Callable[[], Any], timeout_s: float = 120.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.005)


async def until_failure(engine: SearchEngine, search_id: str, timeout_s: float = 120.0) -> None:
    """Wait until the failure of a candidate is recorded."""
    async with asyncio.timeout(timeout_s):
        async for one in engine.watch("ada", search_id):
            if pb.SearchEvent.FromString(one.payload).candidate_scored.failure:
                return


class Mortal(Database):
    """Lives for some transactions; what its process would do after that, it does not."""

    def __init__(self, url: str, lives_for: int) -> None:
        super().__init__(url)
        self.left = lives_for

    def _transact(self, work: Callable[[Connection], Any]) -> Any:
        if not hasattr(self, "left"):
            return super()._transact(work)
        if self.left <= 0:
            raise StoreUnavailable("this process is dead")
        self.left -= 1
        return super()._transact(work)


class TestRestarts:
    async def test_between_any_two_transactions(self, house: House, submit: Submit, whole: dict[str, Any]) -> None:
        for lives_for in range(100):
            submission = await house.submission(submit)
            mortal = Mortal(house.database.url, lives_for)
            async with house.serving(mortal) as engine:
                with suppress(StoreUnavailable):
                    await engine.submit(submission)
                events = asyncio.create_task(watched(engine, submission.id))
                await until(lambda m=mortal, e=events: m.left <= 0 or e.done())
                finished = events.done() and events.exception() is None
                events.cancel()
                await asyncio.wait({events})
            mortal.close()
            if not await unfinished(house.database) and not finished:
                continue  # it died before the search was kept
            async with house.serving() as engine:
                assert essence(await watched(engine, submission.id)) == whole
            if finished:
                return
        raise AssertionError("it never came to its end")

    async def test_of_a_search_whose_time_budget_cut_off_its_last_round(
        self, house: House, models: Gated, submit: Submit
    ) -> None:
        budget = pb.Budget()
        budget.wall_time.FromMilliseconds(400)
        submission = await house.submission(submit, budget=budget)
        models.gate.clear()
        async with house.serving() as engine:
            await engine.submit(submission)
            events = asyncio.create_task(watched(engine, submission.id))
            await until(lambda: models.calls or events.done())  # a busy machine may need all of it to prepare
            events.cancel()
            await asyncio.wait({events})
        models.gate.set()
        async with house.serving() as engine:
            assert kinds(await watched(engine, submission.id))[-1] == "finished"

    async def test_of_a_search_past_half_of_its_deadline(self, house: House, models: Gated, submit: Submit) -> None:
        submission = await house.submission(submit, expires_s=time.time() + LEFT_S)
        models.gate.clear()
        async with house.serving() as engine:
            await engine.submit(submission)
            await until(lambda: models.calls)
        models.gate.set()
        async with house.serving(clock=lambda: time.time() + 0.6 * LEFT_S) as engine:
            events = await watched(engine, submission.id)
        assert kinds(events)[-1] == "finished"
        assert events[-1].finished.stop_reason == pb.STOP_REASON_COMPLETED

    async def test_of_a_search_whose_first_batch_failed(self, house: House, models: Gated, submit: Submit) -> None:
        submission = await house.submission(submit)
        models.errors = [TritonModelFailed("broken")]
        models.shuts_after = 2
        async with house.serving() as engine:
            await engine.submit(submission)
            await until_failure(engine, submission.id)  # the second batch may be under way before that is recorded
            await until(lambda: models.calls >= 2)
        models.errors = [TritonModelFailed("broken again")]
        models.gate.set()
        async with house.serving() as engine:
            events = await watched(engine, submission.id)
        assert events[-1].failed.reason == "TRITON_MODEL_FAILED"
        assert "broken again" in events[-1].failed.message

    async def test_after_the_prior_reads_no_picture_as_it_came_and_minds_no_lower_limit(
        self, house: House, models: Gated, submit: Submit, whole: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        submission = await house.submission(submit)
        models.shuts_after = 2
        async with house.serving() as engine:
            await engine.submit(submission)
            await until(lambda: models.calls >= 2)
        await lower_limits(house, submission, monkeypatch, pictures=False)
        models.gate.set()
        async with house.serving() as engine:
            assert essence(await watched(engine, submission.id)) == whole

    async def test_before_the_prior_mind_no_lower_limit(
        self, house: House, submit: Submit, whole: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        submission = await house.submission(submit)
        await SearchStore(house.database).create(submission)
        await lower_limits(house, submission, monkeypatch, pictures=True)
        async with house.serving() as engine:
            assert essence(await watched(engine, submission.id)) == whole

    @pytest.mark.parametrize("fields", [{"fingerprint": "f" * 64}, {"build": "another"}])
    async def test_with_other_weights_end_the_search(
        self, house: House, models: Gated, submit: Submit, fields: dict[str, str]
    ) -> None:
        submission = await house.submission(submit)
        models.shuts_after = 2
        async with house.serving() as engine:
            await engine.submit(submission)
            await until(lambda: models.calls >= 2)
        models.served = replace(TOY_CHECKPOINT, **fields)
        models.gate.set()
        async with house.serving() as engine:
            events = await watched(engine, submission.id)
        assert events[-1].failed.reason == "CHECKPOINT_CHANGED"

    @pytest.mark.parametrize("call", [1, 2, 3])
    async def test_of_triton_alone_with_other_weights_end_it_too(
        self, house: House, models: Gated, submit: Submit, call: int
    ) -> None:
        """Nobody asks again what is served: it is the calls that say which build they are meant for."""
        models.served, models.changes_at = replace(TOY_CHECKPOINT, build="first"), call
        async with house.serving() as engine:
            search = await engine.submit(await house.submission(submit))
            events = await watched(engine, search.id)
        assert events[-1].failed.reason == "CHECKPOINT_CHANGED"
        assert not any(event.candidate_scored.failure for event in events)


async def lower_limits(
    house: House, submission: Submission, monkeypatch: pytest.MonkeyPatch, *, pictures: bool
) -> None:
    """Have a server that would refuse the request of a search today; with or without the character's picture."""
    paths = ("sampler.steps", "search.eacps.global_candidates", "search.micro_batch")
    lower = {path: replace(RANGES[path], most=1) for path in paths}
    monkeypatch.setattr(violations, "RANGES", {**RANGES, **lower})
    monkeypatch.setattr(validation, "MAX_PROMPT_CHARACTERS", 2)
    tiny = Limits(max_bytes=10, max_pixels=10)
    house.codec = MessageCodec(replace(RULES, pictures=tiny, uploads=tiny))
    request = pb.RunSearchRequest.FromString(submission.request)
    with pytest.raises(InvalidRequest):
        plan_of(request, RULES, search_id="", drawn_seed=0)
    if not pictures:
        (house.folder / request.character.artifact[:2] / request.character.artifact).unlink()


class TestUnexpectedErrors:
    """Bugs must not leave a search that runs for ever and that nobody runs."""

    @pytest.mark.parametrize("method", ["begin", "progress", "record"])
    async def test_end_the_search_or_are_tried_again(
        self,
        house: House,
        submit: Submit,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
        method: str,
    ) -> None:
        broken(monkeypatch, method)
        async with house.serving() as engine:
            search = await engine.submit(await house.submission(submit))
            last = (await watched(engine, search.id))[-1]
            state = (await engine.store.get("ada", search.id)).state
        if method == "begin":  # nothing is recorded of it yet, so that it begins anew
            assert (last.HasField("finished"), state) == (True, SearchState.SUCCEEDED)
        else:
            assert (last.failed.reason, state) == ("INTERNAL", SearchState.FAILED)
        assert "a bug" in caplog.text

    async def test_of_recording_a_failure_are_tried_again(
        self, house: House, models: Gated, submit: Submit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        broken(monkeypatch, "fail")
        models.served, models.changes_at = replace(TOY_CHECKPOINT, build="first"), 1
        async with house.serving() as engine:
            search = await engine.submit(await house.submission(submit))
            assert (await watched(engine, search.id))[-1].failed.reason == "CHECKPOINT_CHANGED"


def broken(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    """Have a method of the store raise what nobody expects, once."""
    errors, works = [RuntimeError("a bug")], getattr(SearchStore, method)

    async def call(*arguments: Any, **options: Any) -> Any:
        if errors:
            raise errors.pop()
        return await works(*arguments, **options)

    monkeypatch.setattr(SearchStore, method, call)


class TestOutages:
    @pytest.mark.parametrize("times", [1, 7, 40])
    async def test_of_triton_however_many_and_long_end_no_search(
        self, house: House, models: Gated, submit: Submit, whole: dict[str, Any], times: int
    ) -> None:
        models.errors = [TritonUnavailable("away") for _ in range(times)]
        async with house.serving() as engine:
            search = await engine.submit(await house.submission(submit))
            assert essence(await watched(engine, search.id)) == whole

    async def test_are_said_in_its_state(self, house: House, models: Gated, submit: Submit) -> None:
        models.errors = [TritonUnavailable("away") for _ in range(10_000)]
        async with house.serving() as engine:
            search = await engine.submit(await house.submission(submit))
            async with asyncio.timeout(60):
                while (await engine.store.get("ada", search.id)).waiting != "TRITON_UNAVAILABLE":
                    await asyncio.sleep(0.01)
            models.errors = []
            await watched(engine, search.id)
            after = await engine.store.get("ada", search.id)
        assert (after.state, after.waiting) == (SearchState.SUCCEEDED, None)

    async def test_of_the_object_store(self, house: House, submit: Submit, whole: dict[str, Any]) -> None:
        """Its folder is gone, and a file in its place."""
        async with house.serving() as engine:
            submission = await house.submission(submit)
            with replaced_by_file(house.folder):
                await engine.submit(submission)
                async with asyncio.timeout(60):
                    while (await engine.store.get("ada", submission.id)).waiting != "STORE_UNAVAILABLE":
                        await asyncio.sleep(0.01)
            assert essence(await watched(engine, submission.id)) == whole

    @pytest.mark.parametrize("url", ["sqlite"], indirect=True)  # tests/faults cuts the way to a PostgreSQL
    async def test_of_the_database(
        self, house: House, models: Gated, submit: Submit, whole: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Another program holds SQLite's lock, longer than one transaction waits for it."""
        monkeypatch.setattr(database, "_SQLITE_PATIENCE_S", 0.05)
        impatient = Database(house.database.url)
        async with house.serving(impatient) as engine:
            models.gate.clear()
            search = await engine.submit(await house.submission(submit))
            await until(lambda: models.calls)
            other = sqlite3.connect(impatient.file, isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            models.gate.set()
            await asyncio.sleep(0.5)
            other.execute("ROLLBACK")
            other.close()
            assert essence(await watched(engine, search.id)) == whole
        impatient.close()

    async def test_end_a_search_whose_caller_waits(self, house: House, models: Gated, submit: Submit) -> None:
        models.errors = [TritonUnavailable("away") for _ in range(10_000)]
        async with house.serving() as engine:
            search = await engine.submit(await house.submission(submit, attached=True))
            events = await watched(engine, search.id)
        assert events[-1].failed.reason == "TRITON_UNAVAILABLE"

    async def test_of_which_a_deadline_sees_no_end_leave_the_best_so_far(
        self, house: House, models: Gated, submit: Submit
    ) -> None:
        models.shuts_after, expires_s = 2, time.time() + LEFT_S
        async with house.serving() as engine:
            search = await engine.submit(await house.submission(submit, expires_s=expires_s))
            async for one in engine.watch("ada", search.id):
                if pb.SearchEvent.FromString(one.payload).HasField("candidate_scored"):
                    break
            models.errors = [TritonUnavailable("away") for _ in range(100_000)]
        models.gate.set()
        async with house.serving(clock=lambda: expires_s - 1.0) as engine:
            events = await watched(engine, search.id)
        assert events[-1].finished.stop_reason == pb.STOP_REASON_WALL_TIME
        assert events[-1].finished.best_candidate_id

    async def test_of_the_database_whose_lost_record_is_stored_after_all(
        self, house: House, submit: Submit, whole: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is stored when the next attempt has already read the progress without it."""
        record, calls = SearchStore.record, list[tuple[Any, dict[str, Any]]]()

        async def late(store: SearchStore, *arguments: Any, **fields: Any) -> None:
            calls.append((arguments, fields))
            if len(calls) == 3:
                raise StoreUnavailable("no answer")
            if len(calls) == 4:
                lost, its_fields = calls[2]
                await record(store, *lost, **its_fields)
            await record(store, *arguments, **fields)

        monkeypatch.setattr(SearchStore, "record", late)
        async with house.serving() as engine:
            search = await engine.submit(await house.submission(submit))
            assert essence(await watched(engine, search.id)) == whole
            assert (await engine.store.get("ada", search.id)).state is SearchState.SUCCEEDED


class TestFullDisks:
    @pytest.mark.parametrize("url", ["sqlite"], indirect=True)  # a PostgreSQL with a full disk would stop all tests
    async def test_of_the_database_is_named_and_waited_out(
        self, house: House, submit: Submit, whole: dict[str, Any]
    ) -> None:
        tight = Tight(house.database.url)
        async with house.serving(tight) as engine:
            submission = await house.submission(submit)
            await engine.submit(submission)
            tight.full = True
            async with asyncio.timeout(60):
                while tight.refused < 3:
                    await asyncio.sleep(0.01)
            tight.full = False
            assert essence(await watched(engine, submission.id)) == whole
        tight.close()

    def test_of_the_object_store_is_named(self) -> None:
        # As obstore words it on a folder whose disk is full (tests/faults fills one).
        error = OSError(
            "Generic LocalFileSystem error: Unable to copy data to file: No space left on device (os error 28)"
        )
        full = store_error("the object store", error)
        assert isinstance(full, StoreFull)
        assert str(full) == "the disk of the object store is full"


class Tight(Database):
    """SQLite that may not grow, as on a full disk."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.full, self.refused = False, 0

    def _transact(self, work: Callable[[Connection], Any]) -> Any:
        if not getattr(self, "full", False):
            return super()._transact(work)

        def within(connection: Connection) -> Any:
            raw = connection.connection.dbapi_connection
            assert raw is not None
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
            try:
                result = work(connection)
                connection.exec_driver_sql("CREATE TABLE more AS SELECT zeroblob(1000000) AS data")
                return result
            finally:
                connection.exec_driver_sql("PRAGMA max_page_count=1073741823")

        try:
            return super()._transact(within)
        except StoreFull:
            self.refused += 1
            raise


class TestEnding:
    async def test_cancelling_ends_the_work_and_then_says_so(self, house: House, models: Gated, submit: Submit) -> None:
        models.gate.clear()
        async with house.serving() as engine:
            search = await engine.submit(await house.submission(submit))
            await until(lambda: models.calls)
            cancelled = await engine.cancel("ada", search.id)
            assert cancelled.state is SearchState.CANCELLED
            assert kinds(await watched(engine, search.id))[-1] == "cancelled"
            assert await engine.cancel("ada", search.id) == cancelled

    @pytest.mark.parametrize("after", range(6))
    async def test_deleting_ends_the_work_before_the_rows_go(
        self, house: House, submit: Submit, after: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with house.serving() as engine:
            search = await engine.submit(await house.submission(submit))
            seen: list[pb.SearchEvent] = []

            async def watch_and_delete() -> None:
                async for one in engine.watch("ada", search.id):
                    seen.append(pb.SearchEvent.FromString(one.payload))
                    if len(seen) == after + 1:
                        await engine.delete("ada", search.id)

            try:
                await watch_and_delete()
            except SearchNotFound:
                pass
            else:
                assert seen[-1].HasField("finished")  # on a busy machine it may end before it is deleted
            assert (await asyncio.to_thread(lambda: [p for p in house.folder.rglob("*") if p.is_file()])) != []
            with pytest.raises(SearchNotFound):
                await engine.store.get("ada", search.id)
            assert [task for task in asyncio.all_tasks() if search.id in task.get_name()] == []
        assert not [one for one in caplog.records if one.levelname in ("ERROR", "CRITICAL") or one.exc_info]

    async def test_a_caller_that_gives_up_as_the_attempt_ends_holds_nothing_up(self, house: House) -> None:
        """Were its lock free at once, the server would go round in circles, and nobody else would run."""
        async with house.serving() as engine:
            running = RunningSearch("0" * 32, engine._dependencies)
            attempts, ends = list[int](), asyncio.Event()

            async def attempt() -> None:
                attempts.append(len(attempts))
                await ends.wait()
                if len(attempts) == 2:
                    running._outcome = ("finished", "")

            async def pause() -> None:
                async with running.paused():
                    raise AssertionError("it was cancelled before")

            running._attempt = attempt  # type: ignore[method-assign]
            run = asyncio.create_task(running.run(lambda: False))
            await until(lambda: attempts)
            caller = asyncio.create_task(pause())
            await asyncio.sleep(0.01)
            ends.set()
            caller.cancel()
            async with asyncio.timeout(60):
                await run
            assert attempts == [0, 1]
            assert caller.cancelled()

    async def test_one_whose_workflow_is_executed_twice_runs_once(
        self, house: House, models: Gated, submit: Submit, whole: dict[str, Any]
    ) -> None:
        models.gate.clear()
        async with house.serving() as engine:
            search = await engine.submit(await house.submission(submit))
            await until(lambda: models.calls)
            again = asyncio.create_task(engine._run(search.id))
            await asyncio.sleep(0.05)
            assert not again.done(), "its workflow would count as done while the search runs"
            models.gate.set()
            assert essence(await watched(engine, search.id)) == whole
            await asyncio.wait_for(again, 60)
            assert models.calls == 3

    async def test_many_at_once_may_end_it(self, house: House, models: Gated, submit: Submit) -> None:
        models.gate.clear()
        async with house.serving() as engine:
            search = await engine.submit(await house.submission(submit))
            await until(lambda: models.calls)
            async with asyncio.timeout(60):
                await asyncio.gather(*(engine.cancel("ada", search.id) for _ in range(8)))
                await engine.delete("ada", search.id)

    async def test_one_that_could_not_be_cancelled_goes_on(
        self, house: House, models: Gated, submit: Submit, whole: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def fails(*_: Any) -> None:
            raise StoreUnavailable("away")

        models.gate.clear()
        async with house.serving() as engine:
            search = await engine.submit(await house.submission(submit))
            await until(lambda: models.calls)
            with monkeypatch.context() as patch:
                patch.setattr(engine.store, "cancel", fails)
                with pytest.raises(StoreUnavailable):
                    await engine.cancel("ada", search.id)
            models.gate.set()
            assert essence(await watched(engine, search.id)) == whole

    @pytest.mark.parametrize("url", ["postgresql"], indirect=True)
    async def test_what_another_server_cancelled_ends_here(self, house: House, models: Gated, submit: Submit) -> None:
        models.gate.clear()
        async with house.serving() as engine, house.serving() as other:
            search = await engine.submit(await house.submission(submit))
            await until(lambda: models.calls)
            await other.cancel("ada", search.id)
            events = await watched(engine, search.id)
            assert kinds(events)[-1] == "cancelled"
            await until(lambda: not [task for task in asyncio.all_tasks() if search.id in task.get_name()])


class Counting(Database):
    """Counts transactions."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.writes = self.reads = 0

    async def run(self, work: Callable[[Connection], Any]) -> Any:
        self.writes += 1
        return await super().run(work)

    async def read(self, work: Callable[[Connection], Any]) -> Any:
        self.reads += 1
        return await super().read(work)


class TestWatching:
    async def test_many_watchers_see_all_of_it_wherever_they_come_in(
        self, house: House, models: Gated, submit: Submit, whole: dict[str, Any]
    ) -> None:
        models.gate.clear()
        async with house.serving() as engine:
            search = await engine.submit(await house.submission(submit))
            early = [asyncio.create_task(watched(engine, search.id)) for _ in range(20)]
            await until(lambda: models.calls)
            models.gate.set()
            late = [asyncio.create_task(watched(engine, search.id)) for _ in range(20)]
            for events in await asyncio.gather(*early, *late):
                assert essence(events) == whole

    @pytest.mark.parametrize("url", ["sqlite"], indirect=True)
    async def test_costs_the_database_the_same_for_one_watcher_and_for_fifty(
        self, house: House, models: Gated, submit: Submit
    ) -> None:
        async def transactions(watchers: int) -> tuple[int, int]:
            models.calls = 0
            models.gate.clear()
            counting = Counting(house.database.url)
            async with house.serving(counting) as engine:
                search = await engine.submit(await house.submission(submit))
                watching = [asyncio.create_task(watched(engine, search.id)) for _ in range(watchers)]
                await until(lambda: models.calls)
                models.gate.set()
                for events in await asyncio.gather(*watching):
                    assert kinds(events)[-1] == "finished"
                while (await SearchStore(house.database).get("ada", search.id)).state is not SearchState.SUCCEEDED:
                    await asyncio.sleep(0.01)
                found = counting.writes, counting.reads
            counting.close()
            return found

        nobody, one, fifty = [await transactions(watchers) for watchers in (0, 1, 50)]
        assert fifty == one
        assert one[0] == nobody[0], "a watcher writes nothing"
        assert one[1] - nobody[1] <= 3, "when it comes, and at the end"

    @pytest.mark.parametrize("url", ["sqlite"], indirect=True)
    async def test_waits_for_no_writer(self, house: House, submit: Submit) -> None:
        async with house.serving() as engine:
            search = await engine.submit(await house.submission(submit))
            await watched(engine, search.id)
            other = sqlite3.connect(house.database.file, isolation_level=None)
            other.execute("BEGIN IMMEDIATE")  # nobody else can write now, and whoever tries waits for 30 seconds
            try:
                assert kinds(await watched(engine, search.id, timeout_s=15))[-1] == "finished"
            finally:
                other.execute("ROLLBACK")
                other.close()

    async def test_what_is_forgotten_in_memory_is_read_again(
        self, house: House, submit: Submit, whole: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(feeds, "BUFFERED_BYTES", 1)
        async with house.serving() as engine:
            search = await engine.submit(await house.submission(submit))
            several = await asyncio.gather(*(watched(engine, search.id) for _ in range(3)))
            assert [essence(events) for events in several] == [whole] * 3

    async def test_the_searches_of_others_are_not_there(self, house: House, models: Gated, submit: Submit) -> None:
        models.gate.clear()
        async with house.serving() as engine:
            search = await engine.submit(await house.submission(submit))
            watching = asyncio.create_task(watched(engine, search.id))
            await until(lambda: models.calls)
            for _ in range(2):
                with pytest.raises(SearchNotFound):
                    await anext(engine.watch("bob", search.id))
            models.gate.set()
            await watching
            with pytest.raises(SearchNotFound):
                await anext(engine.watch("bob", search.id))

    async def test_a_deleted_search_is_not_there_for_those_who_come_later(self, house: House, submit: Submit) -> None:
        async with house.serving() as engine:
            search = await engine.submit(await house.submission(submit))
            await watched(engine, search.id)
            slow = engine.watch("ada", search.id)
            await anext(slow)
            await engine.delete("ada", search.id)
            with pytest.raises(SearchNotFound):
                await anext(engine.watch("ada", search.id))
            await slow.aclose()

    @pytest.mark.parametrize("url", ["sqlite"], indirect=True)
    async def test_leaves_nothing_open(self, house: House, submit: Submit) -> None:
        async with house.serving() as engine:

            async def one() -> None:
                search = await engine.submit(await house.submission(submit))
                await asyncio.gather(*(watched(engine, search.id) for _ in range(3)))
                early = engine.watch("ada", search.id)
                await anext(early)
                await early.aclose()

            await asyncio.gather(*(one() for _ in range(6)))  # until there is a connection for every thread
            tasks = len(asyncio.all_tasks())
            growth = []
            for _ in range(4):  # a thread that was idle so far opens its connection once; what leaks, leaks every time
                descriptors = len(os.listdir("/proc/self/fd"))
                for _ in range(5):
                    await one()
                await until(lambda: len(asyncio.all_tasks()) <= tasks)
                growth.append(len(os.listdir("/proc/self/fd")) - descriptors)
            assert min(growth) <= 0

    async def test_a_slow_watcher_misses_nothing(self, house: House, submit: Submit) -> None:
        async with house.serving() as engine:
            search = await engine.submit(await house.submission(submit))
            sequences = []
            async for event in engine.watch("ada", search.id):
                sequences.append(event.sequence)
                await asyncio.sleep(0.02)
        assert sequences == list(range(1, len(sequences) + 1))


async def test_a_delivered_picture_is_kept_as_long_as_its_search(
    house: House, submit: Submit, database: Database
) -> None:
    async with house.serving() as engine:
        search = await engine.submit(await house.submission(submit))
        finished = (await watched(engine, search.id))[-1].finished
        delivered = finished.delivered.artifact
        assert delivered != finished.best.artifact, "the scene is larger than the models work"
        swept = await Sweeper(database, house.objects, Retention(upload_s=-1)).sweep()
        assert swept.searches == ()
        assert await house.objects.size_for_tenant("ada", delivered)
        await engine.delete("ada", search.id)
        with pytest.raises(ArtifactNotFound):
            await house.objects.get(delivered)


async def test_a_request_that_is_not_taken_any_more_fails(house: House, submit: Submit) -> None:
    async with house.serving() as engine:
        search = await engine.submit(await house.submission(submit, prompt=""))
        assert (await watched(engine, search.id))[-1].failed.reason == "INVALID_REQUEST"


@pytest.mark.parametrize("replaced", [False, True], ids=["removed", "replaced"])
async def test_a_database_whose_file_is_gone_takes_nothing_in(tmp_path: Path, replaced: bool) -> None:
    """SQLite itself would go on in a file without a name."""
    file = tmp_path / "searches.sqlite"
    opened = Database(sqlite_url(file))
    for part in tmp_path.glob("searches.sqlite*"):
        part.unlink()
    if replaced:
        Database(sqlite_url(file)).close()
    with pytest.raises(StoreUnavailable, match=r"searches\.sqlite was removed or replaced"):
        await opened.run(lambda connection: connection.exec_driver_sql("SELECT 1"))
    opened.close()


async def test_a_database_of_another_version_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "old.sqlite"
    with closing(sqlite3.connect(file)) as old:
        old.execute("CREATE TABLE search_events (search_id TEXT, sequence INTEGER, identity TEXT, payload BLOB)")
    with pytest.raises(InvalidRequest, match="of another version"):
        Database(sqlite_url(file))
    assert str(file) not in {opened.path for opened in psutil.Process().open_files()}
