"""A search, followed to its best pictures."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

import grpc

from eacps.client import AsyncClient, CallFailed
from eacps.client.record import CandidateRecord, SearchRecord
from eacps.v1 import search_service_pb2 as pb


@dataclass(frozen=True)
class Partial:
    """The best picture so far, in the scene.

    Args:
        index: From 0.
        picture: The file.
    """

    index: int
    picture: bytes


@dataclass(frozen=True)
class Best:
    """One of the best pictures, in the scene."""

    candidate: CandidateRecord
    picture: bytes


@dataclass(frozen=True)
class Searched:
    """A search that is over.

    Args:
        started, finished: Its first and last event.
        best: Its best pictures, best first; fewer than were asked for if it made fewer.
    """

    started: pb.SearchStarted
    finished: pb.SearchFinished
    best: tuple[Best, ...]


async def run_edit(
    client: AsyncClient, request: pb.RunSearchRequest, *, n: int, partial_images: int, timeout_s: float
) -> AsyncGenerator[Partial | Searched, None]:
    """Run a search; yield the best picture so far a number of times, and at last the best ones.

    Args:
        client: Calls the server.
        request: What to search for.
        n: How many pictures at last.
        partial_images: How many on the way, at even shares of the planned candidates.
        timeout_s: For the search.

    Raises:
        CallFailed: The search failed, or had no time for a single candidate.
    """
    record, sent = SearchRecord(), 0
    async with aclosing(client.run(request, timeout_s=timeout_s)) as events:
        async for event in events:
            record.add(event)
            if record.started is None or not event.HasField("candidate_scored") or sent == partial_images:
                continue
            due = (sent + 1) * record.started.planned_candidates / (partial_images + 1)
            if record.spent >= due and (names := await _ranked(client, record.started.search_id)):
                yield Partial(sent, await client.pick(record.started.search_id, names[0]))
                sent += 1
    yield await _over(client, record, n)


async def _over(client: AsyncClient, record: SearchRecord, n: int) -> Searched:
    if record.finished is None or record.started is None or not record.finished.best_candidate_id:
        raise CallFailed(grpc.StatusCode.DEADLINE_EXCEEDED, "the search made no candidate within its time and budget")
    complete, search_id = record.complete(), record.started.search_id
    best = []
    for name in (await _ranked(client, search_id))[:n]:
        first = name == complete.finished.best_candidate_id
        picture = complete.result if first else await client.pick(search_id, name)
        best.append(Best(complete.candidate(name), picture))
    return Searched(complete.started, complete.finished, tuple(best))


async def _ranked(client: AsyncClient, search_id: str) -> list[str]:
    """Return the ids of the candidates so far, best first."""
    ranking = await client.rank(pb.RankCandidatesRequest(search_id=search_id))
    return [one.candidate_id for one in ranking.candidates]
