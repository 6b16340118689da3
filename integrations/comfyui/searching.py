"""What the nodes ask of a search server."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from eacps.client import Client, ClientTls, Retries, v1
from eacps.client.record import ScoredPicture
from eacps.client.variations import variation_of

Report = Callable[[int, int], None]
"""Called with the number of pictures done, and of all; what it raises ends the search."""
KEY = "EACPS_API_KEY"
"""The key is read from the environment alone: a workflow is saved into every picture that it makes."""
_PATIENCE = Retries(attempts=4)
"""A person is waiting."""


@dataclass(frozen=True)
class Server:
    """A search server.

    Args:
        address: ``host:port``.
        tls_ca: PEM file of root certificates, ``system``, or empty for no TLS.
    """

    address: str
    tls_ca: str = ""

    @contextmanager
    def client(self) -> Iterator[Client]:
        """Open a client."""
        tls = ClientTls.from_texts(self.tls_ca or None, None, None)
        with Client(self.address, tls=tls, api_key=os.environ.get(KEY) or None, retries=_PATIENCE) as client:
            yield client


@dataclass(frozen=True)
class SearchHandle:
    """A search on a server."""

    server: Server
    search_id: str


@dataclass(frozen=True)
class Found:
    """The best pictures of a search, as delivered files, best first, and what is known of it."""

    handle: SearchHandle
    files: Sequence[bytes]
    report: str


def run(server: Server, request: v1.RunSearchRequest, count: int, report: Report) -> Found:
    """Run a search to its end.

    Args:
        server: Where.
        request: What to search for.
        count: How many of the best pictures to return, if it makes so many.
        report: See `Report`.

    Raises:
        CallFailed: The server refused it, or it failed.
        ValueError: It made no picture.
    """
    search_id, planned = "", 0
    with server.client() as client:
        with closing(client.run(request)) as events:
            for event in events:
                if event.HasField("started"):
                    search_id, planned = event.started.search_id, event.started.planned_candidates
                if event.HasField("candidate_scored"):
                    report(event.candidate_scored.done, planned)
        handle = SearchHandle(server, search_id)
        names = _ranked(client, handle, {})[:count]
        files = [client.pick(search_id, one.candidate_id) for one in names]
    return Found(handle, files, report_of(handle, names))


def begun_around(
    handle: SearchHandle, candidates: Sequence[str], *, trajectories: int, seed: int
) -> v1.RunSearchRequest:
    """Return a request for the same edit around candidates of a search; see `eacps.client.variations`."""
    with handle.server.client() as client:
        request = variation_of(client.get(handle.search_id), candidates, trajectories=trajectories)
    request.search.random_seed = seed
    return request


def pick(handle: SearchHandle, rank: int, weights: dict[str, float]) -> Found:
    """Return the picture of a rank, from 1, if wanted by other weights.

    Raises:
        ValueError: There are fewer pictures.
    """
    with handle.server.client() as client:
        ranked = _ranked(client, handle, weights)
        if rank > len(ranked):
            raise ValueError(f"the search has {len(ranked)} pictures; there is none of rank {rank}")
        one = ranked[rank - 1]
        return Found(handle, [client.pick(handle.search_id, one.candidate_id)], one.candidate_id)


def report_of(handle: SearchHandle, ranked: Sequence[v1.RankedCandidate]) -> str:
    """Return what is known of the pictures, as JSON."""
    pictures: list[dict[str, Any]] = []
    for one in ranked:
        scored = ScoredPicture.from_message(one.evaluation)
        pictures.append({"candidate": one.candidate_id, "potential": scored.potential, "scores": dict(scored.scores)})
    return json.dumps({"search_id": handle.search_id, "pictures": pictures}, indent=1)


def weights_of(text: str) -> dict[str, float]:
    """Read weights such as ``identity=0.8, realism=0.2``; empty for those of the search.

    Raises:
        ValueError: It is anything else.
    """
    weights: dict[str, float] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = entry.partition("=")
        try:
            weights[name.strip()] = float(value)
        except ValueError:
            equals = ""
        if not (equals and name.strip()):
            raise ValueError(f"weights are like identity=0.8, realism=0.2; this is not: {entry!r}")
    return weights


def _ranked(client: Client, handle: SearchHandle, weights: dict[str, float]) -> Sequence[v1.RankedCandidate]:
    scorers = [v1.ScorerSettings(name=name, weight=weight) for name, weight in weights.items()]
    ranking = client.rank(v1.RankCandidatesRequest(search_id=handle.search_id, scorers=scorers))
    if not ranking.candidates:
        raise ValueError("the search made no picture")
    return ranking.candidates
