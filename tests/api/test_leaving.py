"""A caller that leaves RunSearch, at any moment from its first byte on: no search of theirs runs on."""

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from eacps.api import interceptor
from eacps.durable import Database, Submission, sqlite_url
from eacps.durable.search_store import SearchStore
from eacps.durable.stored import SearchState
from eacps.errors import StoreUnavailable
from eacps.v1 import search_service_pb2 as pb
from eacps.v1.search_service_pb2_grpc import SearchServiceStub
from tests.api.conftest import Serve
from tests.api.test_stored_searches import Gated
from tests.durable.conftest import submit  # noqa: F401  # a fixture
from tests.durable.engines import House

MakeRequest = Callable[..., pb.RunSearchRequest]
MOST_AWAITS = 400
LIMIT_S = 60.0


class Cut:
    """Runs a coroutine, and cancels its task at the n-th time that it waits.

    Args:
        work: The coroutine.
        at: From 0.
        answered: Whether the task is cancelled when what it waits for is there already, and it has not yet gone on.
    """

    def __init__(self, work: Coroutine[Any, Any, None], at: int, *, answered: bool) -> None:
        self._work, self._at, self._answered = work, at, answered
        self.happened = False

    def __await__(self) -> Generator[Any, None, None]:
        waits = self._work.__await__()
        step: Callable[[], Any] = lambda: waits.send(None)  # noqa: E731  # replaced below, as a coroutine's is
        for count in itertools.count():
            try:
                awaited = step()
            except StopIteration:
                return
            cut = count == self._at
            self.happened |= cut
            if cut and not self._answered:
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
            try:
                yield awaited
                error: BaseException | None = asyncio.CancelledError() if cut else None
            except BaseException as exc:
                error = exc
            step = (lambda: waits.send(None)) if error is None else (lambda error=error: waits.throw(error))


@dataclass
class Cuts:
    """Cuts the calls of RunSearch that a server answers.

    Args:
        answered: See `Cut`.
    """

    answered: bool
    at: int = 0
    cut: Cut | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def around(self, answer: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., Coroutine[Any, Any, None]]:
        """Return what answers calls instead of a method of the interceptor."""

        async def cut(method: Any, request: object, context: Any) -> None:
            if method._name != "RunSearch":
                return await answer(method, request, context)
            self.cut = Cut(answer(method, request, context), self.at, answered=self.answered)
            try:
                await self.cut
            finally:
                self.ended.set()

        return cut


async def searches(stub: Any) -> list[pb.Search]:
    return list((await stub.ListSearches(pb.ListSearchesRequest(), timeout=LIMIT_S)).searches)


async def first_event(call: Any) -> None:
    while not (await call.read()).HasField("event"):
        pass


async def all_over(stub: Any) -> list[pb.Search]:
    """All searches, when none is unfinished any more."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            found = await searches(stub)
            if not {pb.SEARCH_STATE_QUEUED, pb.SEARCH_STATE_RUNNING} & {one.state for one in found}:
                return found
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("answered", [False, True], ids=["while it waits", "as it is answered"])
async def test_at_any_await_the_search_ends(
    serve: Serve, make_request: MakeRequest, monkeypatch: pytest.MonkeyPatch, answered: bool
) -> None:
    cuts = Cuts(answered)
    monkeypatch.setattr(interceptor._Method, "answer", cuts.around(interceptor._Method.answer))
    cancelled = 0
    async with serve(models=Gated()) as channel:
        stub = SearchServiceStub(channel)
        for cuts.at in range(MOST_AWAITS):
            cuts.ended.clear()
            call = stub.RunSearch(make_request(), timeout=LIMIT_S)
            heard = asyncio.ensure_future(first_event(call))
            ended = asyncio.ensure_future(cuts.ended.wait())
            await asyncio.wait({heard, ended}, return_when=asyncio.FIRST_COMPLETED)
            reached = cuts.cut is not None and cuts.cut.happened
            call.cancel()
            await asyncio.gather(heard, ended, return_exceptions=True)
            found = await all_over(stub)
            assert {one.state for one in found} <= {pb.SEARCH_STATE_CANCELLED}
            cancelled = max(cancelled, len(found))
            if not reached:  # its first event came before
                assert cuts.at > 10
                assert cancelled > 3
                return
    raise AssertionError("its first event never came")


class HeldUp(Database):
    """A database whose next transaction that writes waits until it is let on, and is then answered with an error."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.down = False

    def _transact(self, work: Callable[[Connection], Any]) -> Any:
        done = super()._transact(work)
        if getattr(self, "down", False):
            raise StoreUnavailable("the answer was lost")
        return done


async def test_through_an_outage_of_the_database(tmp_path: Path, submit: Callable[..., Submission]) -> None:  # noqa: F811
    database = HeldUp(sqlite_url(tmp_path / "searches.sqlite"))
    house = House(database, tmp_path / "artifacts", models=Gated())
    submission = await house.submission(submit, attached=True)
    async with house.serving() as engine:
        database.down = True
        submitting = asyncio.create_task(engine.submit(submission))
        await asyncio.sleep(0)
        submitting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await submitting
        async with asyncio.timeout(LIMIT_S):
            while not await SearchStore(database).page("ada"):  # kept, though nobody was told
                await asyncio.sleep(0.005)
        database.down = False
        async with asyncio.timeout(LIMIT_S):
            while (await engine.store.get("ada", submission.id)).state is not SearchState.CANCELLED:
                await asyncio.sleep(0.005)
    database.close()


async def test_one_whose_submission_failed_after_it_was_kept_does_not_wait_for_ever(
    tmp_path: Path,
    submit: Callable[..., Submission],  # noqa: F811
) -> None:
    database = HeldUp(sqlite_url(tmp_path / "searches.sqlite"))
    house = House(database, tmp_path / "artifacts", models=Gated())
    submission = await house.submission(submit)
    async with house.serving() as engine:
        database.down = True
        with pytest.raises(StoreUnavailable):
            await engine.submit(submission)
        database.down = False
        async with asyncio.timeout(LIMIT_S):
            while (await engine.store.get("ada", submission.id)).state is not SearchState.CANCELLED:
                await asyncio.sleep(0.005)
    database.close()


async def test_a_search_that_may_be_come_back_for_goes_on(serve: Serve, make_request: MakeRequest) -> None:
    models = Gated()
    async with serve(models=models) as channel:
        stub = SearchServiceStub(channel)
        call = stub.RunSearch(make_request(request_id="mine"), timeout=LIMIT_S)
        await call.read()
        await models.begun.wait()
        call.cancel()
        models.gate.set()
        (found,) = await all_over(stub)
    assert found.state == pb.SEARCH_STATE_SUCCEEDED
