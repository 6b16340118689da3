"""The engine where what keeps searches fails for a while. What it does otherwise, the API's tests show."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from eacps.api import MessageCodec
from eacps.durable import (
    Database,
    ObjectStore,
    Retention,
    SearchEngine,
    SearchState,
    Submission,
    Sweeper,
    engine,
    open_store,
)
from eacps.durable.workflows import LocalWorkflows
from eacps.errors import ArtifactNotFound, StoreUnavailable
from eacps.evaluation import Laboratory
from eacps.evaluation.toy import ToyModels, ToyScorer
from eacps.v1 import search_service_pb2 as pb
from tests.api.conftest import RULES
from tests.cli.searches import picture


class Failing(ObjectStore):
    """Fails the first times that a search's bytes are stored."""

    failures = 3

    async def put_for_search(self, search_id: str, *data: bytes) -> list[str]:
        if self.failures:
            self.failures -= 1
            raise StoreUnavailable("the object store failed")
        return await super().put_for_search(search_id, *data)


@pytest.fixture
async def objects(database: Database, tmp_path: Path) -> Failing:
    return Failing(open_store(str(tmp_path / "artifacts")), database)


@pytest.fixture
async def running(database: Database, objects: Failing, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SearchEngine]:
    monkeypatch.setattr(engine, "STORE_PAUSES_S", (0.0, 0.01, 0.01, 0.01))

    def open_laboratory() -> Laboratory:
        return Laboratory(ToyModels(), {"brightness": ToyScorer(), "other": ToyScorer("other")})

    made = SearchEngine(database, objects, MessageCodec(RULES), open_laboratory, LocalWorkflows())
    await made.start()
    yield made
    await made.stop(0.0)


async def submitted(
    running: SearchEngine, objects: Failing, submit: Callable[..., Submission], **fields: Any
) -> Submission:
    digests = [await objects.put_upload("ada", picture(value)) for value in (10, 100)]
    request = pb.RunSearchRequest(
        scene=pb.Image(artifact=digests[0]),
        character=pb.Image(artifact=digests[1]),
        search=pb.SearchSettings(strategy=pb.STRATEGY_BEST_OF_N, global_candidates=4, random_seed=1),
        **{"prompt": "smile", **fields},
    )
    submission = submit(request=request.SerializeToString(), inputs=frozenset(digests))
    await running.submit(submission)
    return submission


async def test_a_search_goes_on_through_an_outage(
    running: SearchEngine, objects: Failing, submit: Callable[..., Submission]
) -> None:
    search = await submitted(running, objects, submit)
    events = [event async for event in running.watch("ada", search.id)]
    assert events[-1].identity == "finished"
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert objects.failures == 0


async def test_a_delivered_picture_is_kept_as_long_as_its_search(
    running: SearchEngine, database: Database, objects: Failing, submit: Callable[..., Submission]
) -> None:
    search = await submitted(running, objects, submit)
    events = [event async for event in running.watch("ada", search.id)]
    finished = pb.SearchEvent.FromString(events[-1].payload).finished
    delivered = finished.delivered.artifact
    assert delivered != finished.best.artifact, "the scene is larger than the models work"
    swept = await Sweeper(database, objects, Retention(upload_s=-1)).sweep()
    assert swept.searches == ()
    assert await objects.get_for_tenant("ada", delivered)
    await running.delete("ada", search.id)
    with pytest.raises(ArtifactNotFound):
        await objects.get(delivered)


async def test_an_outage_without_end_fails_it(
    running: SearchEngine, objects: Failing, submit: Callable[..., Submission]
) -> None:
    objects.failures = 1000
    search = await submitted(running, objects, submit)
    events = [event async for event in running.watch("ada", search.id)]
    assert events[-1].identity == SearchState.FAILED
    assert (await running.store.get("ada", search.id)).state is SearchState.FAILED


async def test_a_request_that_is_not_taken_any_more_fails(
    running: SearchEngine, objects: Failing, submit: Callable[..., Submission]
) -> None:
    search = await submitted(running, objects, submit, prompt="")
    events = [event async for event in running.watch("ada", search.id)]
    assert pb.SearchEvent.FromString(events[-1].payload).failed.reason == "INVALID_REQUEST"
