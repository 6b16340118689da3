"""Engines over the toy models, on real databases and folders, that can be stopped and started again."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eacps.api import MessageCodec
from eacps.durable import (
    Backoff,
    Database,
    ObjectStore,
    SearchEngine,
    StoredSearch,
    Submission,
    open_store,
)
from eacps.durable.local_workflows import LocalWorkflows
from eacps.evaluation import ExecutionLimits, Services
from eacps.testing import ToyModels, ToyScorer
from eacps.v1 import search_service_pb2 as pb
from tests.api.conftest import RULES
from tests.cli.searches import picture

QUICK = Backoff(first_s=0.001, longest_s=0.02)
SMALL = pb.SearchSettings(
    eacps={"global_candidates": 4, "parents": 1, "children_per_parent": 2}, random_seed=1, micro_batch=2
)
"""A search of three micro-batches in two rounds."""


@dataclass
class House:
    """A database, a folder of pictures, and the models: what outlives a server.

    Args:
        database: Of the searches.
        folder: Of the object store.
        models: That are served.
        scorers: By name.
        codec: Of the next server.
    """

    database: Database
    folder: Path
    models: ToyModels = field(default_factory=ToyModels)
    scorers: dict[str, ToyScorer] = field(
        default_factory=lambda: {"brightness": ToyScorer(), "other": ToyScorer("other")}
    )
    codec: MessageCodec = field(default_factory=lambda: MessageCodec(RULES))

    @property
    def objects(self) -> ObjectStore:
        return ObjectStore(open_store(str(self.folder)), self.database)

    @asynccontextmanager
    async def serving(self, database: Database | None = None, **parts: Any) -> AsyncIterator[SearchEngine]:
        """An engine that takes up what an earlier one left, until the block ends as a process that is killed."""

        def open_services() -> Services:
            return Services(self.models, self.scorers, limits=ExecutionLimits(retry_delay_s=0.0, retries=0))

        used, workflows = database or self.database, LocalWorkflows()
        objects = ObjectStore(open_store(str(self.folder)), used)
        engine = SearchEngine(used, objects, self.codec, open_services, workflows, **{"backoff": QUICK, **parts})
        await engine.start()
        try:
            for search in await unfinished(self.database):
                await workflows.enqueue(search)
            yield engine
        finally:
            await engine.stop(0.0)

    async def submission(self, submit: Callable[..., Submission], **fields: Any) -> Submission:
        """A small search; keywords are fields of the submission, or of the request."""
        digests = [await self.objects.put_upload("ada", picture(value)) for value in (10, 100)]
        own = {name: fields.pop(name) for name in ("expires_s", "attached") if name in fields}
        defaults = {"prompt": "smile", "search": SMALL, "sampler": pb.SamplerSettings(steps=4)}
        request = pb.RunSearchRequest(
            scene=pb.Image(artifact=digests[0]), character=pb.Image(artifact=digests[1]), **{**defaults, **fields}
        )
        return submit(request=request.SerializeToString(), inputs=frozenset(digests), **own)


async def unfinished(database: Database) -> list[StoredSearch]:
    """The searches that a server left running."""
    from eacps.durable import SearchState, SearchStore

    return await SearchStore(database).page("ada", states=[SearchState.RUNNING, SearchState.QUEUED])


async def watched(engine: SearchEngine, search_id: str, timeout_s: float = 120.0) -> list[pb.SearchEvent]:
    """All events of a search, to its end."""
    async with asyncio.timeout(timeout_s):
        events = [pb.SearchEvent.FromString(one.payload) async for one in engine.watch("ada", search_id)]
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    return events


def kinds(events: list[pb.SearchEvent]) -> list[str]:
    return [str(event.WhichOneof("event")) for event in events]


def essence(events: list[pb.SearchEvent]) -> dict[str, Any]:
    """What a search found, without the order of arrival and the time it took, and pictures by their pixels alone."""
    finished = pb.SearchFinished()
    finished.CopyFrom(events[-1].finished)
    for name in ("timings", "spent", "best", "delivered"):
        finished.ClearField(name)
    scored = [event.candidate_scored for event in events if event.HasField("candidate_scored")]
    assert len({one.candidate_id for one in scored}) == len(scored)
    return {
        "kinds": sorted(kinds(events)),
        "finished": finished,
        "candidates": {one.candidate_id: (one.picture_sha256, one.evaluation, one.recipe) for one in scored},
    }
