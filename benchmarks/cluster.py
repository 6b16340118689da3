"""Load several search servers on one PostgreSQL over several Tritons, and kill one of each.

``python -m benchmarks.cluster`` runs the same searches three times: on one server, on all of them, and on all of them
while one server, one Triton and the database are killed and come back. Every search is then looked at: that it is there
once, that it has succeeded, and that each of its candidates was reported once, in events without a gap. Prints
candidates per second, and exits with 1 if something was lost or done twice.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from benchmarks.load import ROOT, SAMPLE, scene_of
from benchmarks.loading.callers import Task
from benchmarks.loading.cluster import Cluster, Postgres, kill_one_of_each, running, tritons_of
from benchmarks.loading.servers import FREE, STUDIO_MINI
from benchmarks.machine import describe
from eacps.client import AsyncClient, Retries, v1

_PATIENT = Retries(attempts=200, first_s=0.2, most_s=2.0)
"""A server that was killed is away for as long as it takes to start."""
_KILLED = "all servers, one of each killed"
_LABEL = {"of": "cluster"}


def main() -> int:
    """Read the command line, load, check, report."""
    arguments = _parser().parse_args()
    shutil.rmtree(arguments.out, ignore_errors=True)
    arguments.out.mkdir(parents=True)
    repository = ROOT / ".build" / "model_repository"
    runs = {"one server": 1, "all servers": arguments.servers, _KILLED: arguments.servers}
    if arguments.only_killed:
        runs = {_KILLED: arguments.servers}
    found: dict[str, Any] = {"machine": describe(os.cpu_count() or 1), "arguments": _plain(arguments), "runs": {}}
    with Postgres() as postgres, tritons_of(arguments.models, arguments.tritons, repository, arguments.out) as tritons:
        for number, (name, servers) in enumerate(runs.items()):
            folder = arguments.out / f"run-{number}"
            with running(arguments.models, servers, tritons, postgres.make(f"run{number}"), folder) as cluster:
                killing = postgres if name == _KILLED else None
                found["runs"][name] = asyncio.run(_run(cluster, killing, arguments))
            print(f"{name}: {json.dumps(found['runs'][name])}", flush=True)
    (arguments.out / "cluster.json").write_text(json.dumps(found, indent=2))
    return 1 if any(run["faults"] for run in found["runs"].values()) else 0


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--models", choices=[FREE, STUDIO_MINI], default=FREE)
    made.add_argument("--servers", type=int, default=3)
    made.add_argument("--tritons", type=int, default=2, help="with studio-mini; free models need none")
    made.add_argument("--searches", type=int, default=60, help="of every run, all submitted at once")
    made.add_argument("--candidates", type=int, default=16, help="of every search")
    made.add_argument("--steps", type=int, default=2, help="denoising steps")
    made.add_argument("--away", type=float, default=2.0, help="seconds until what was killed is started again")
    made.add_argument("--only-killed", action="store_true", help="leave out the runs that nothing disturbs")
    made.add_argument("--out", type=Path, default=ROOT / "out" / "cluster")
    return made


async def _run(cluster: Cluster, killing: Postgres | None, arguments: argparse.Namespace) -> dict[str, Any]:
    """Have all searches run, and return how fast, by whom, and what was lost or done twice."""
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(AsyncClient(address, retries=_PATIENT, timeout_s=None))
            for address in cluster.addresses
        ]
        begun = time.monotonic()
        progress = _Progress(arguments.searches * arguments.candidates)
        numbers = range(arguments.searches)
        following = asyncio.gather(*(_follow(clients, number, progress, arguments) for number in numbers))
        killed = []
        if killing is not None:
            killed = await kill_one_of_each(cluster, killing, reached=progress.reached, away_s=arguments.away)
        events = await following
        took_s = time.monotonic() - begun
        kept = [one async for one in clients[-1].list(labels=_LABEL)]
    workflows = cluster.workflows()
    faults = _faults(dict(events), kept, workflows, arguments)
    return {
        "candidates_per_s": round(arguments.searches * arguments.candidates / took_s, 1),
        "seconds": round(took_s, 1),
        "searches_by_server": dict(sorted(Counter(name for name, _ in workflows.elements()).items())),
        "killed": killed,
        "faults": faults,
    }


class _Progress:
    """Candidates that were reported, of all that will be."""

    def __init__(self, expected: int) -> None:
        self._expected, self._reported, self._changed = expected, 0, asyncio.Condition()

    async def add(self) -> None:
        """Count one more."""
        async with self._changed:
            self._reported += 1
            self._changed.notify_all()

    async def reached(self, share: float) -> None:
        """Wait until this share was reported."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._reported >= share * self._expected)


async def _follow(
    clients: list[AsyncClient], number: int, progress: _Progress, arguments: argparse.Namespace
) -> tuple[str, list[Any]]:
    """Submit a search to one server and watch it on another; return its id and its events."""
    request = _task(arguments).request()
    request.request_id = f"search-{number}"
    request.labels.update(_LABEL)
    search = await clients[number % len(clients)].submit(request)
    watcher = clients[(number + 1) % len(clients)]
    events = []
    async for event in watcher.watch(search.search_id):
        events.append(event)
        if event.HasField("candidate_scored"):
            await progress.add()
    return search.search_id, events


def _task(arguments: argparse.Namespace) -> Task:
    return Task(
        scene=scene_of(128),
        character=(SAMPLE / "character.png").read_bytes(),
        prompt=(SAMPLE / "prompt.txt").read_text(encoding="utf-8").strip(),
        search=v1.SearchSettings(best_of_n=v1.BestOfNSettings(trajectories=arguments.candidates), micro_batch=4),
        sampler=v1.SamplerSettings(steps=arguments.steps),
    )


def _faults(
    events: dict[str, list[Any]],
    kept: list[v1.Search],
    workflows: Counter[tuple[str, str]],
    arguments: argparse.Namespace,
) -> list[str]:
    """Return what was lost, or done twice."""
    found = []
    if len(events) != arguments.searches:
        found.append(f"{arguments.searches} requests became {len(events)} searches")
    if Counter(search.search_id for search in kept) != Counter(events.keys()):
        found.append(f"{len(kept)} searches are listed, {len(events)} were submitted")
    unfinished = [search for search in kept if search.state != v1.SEARCH_STATE_SUCCEEDED]
    found += [f"{search.search_id} is {v1.SearchState.Name(search.state)}" for search in unfinished]
    ended = sum(count for (_, status), count in workflows.items() if status == "SUCCESS")
    if ended != arguments.searches or workflows.total() != arguments.searches:
        found.append(f"workflows: {dict(workflows)}")
    for search_id, reported in events.items():
        found += [f"{search_id}: {fault}" for fault in _faults_in(reported, arguments.candidates)]
    return found


def _faults_in(events: list[Any], candidates: int) -> list[str]:
    """Return what is wrong with the events of one search."""
    found = []
    scored = Counter(one.candidate_scored.candidate_id for one in events if one.HasField("candidate_scored"))
    if [event.sequence for event in events] != list(range(1, len(events) + 1)):
        found.append("its events have a gap or a repeat")
    if len(scored) != candidates or scored.total() != candidates:
        found.append(f"{scored.total()} reports of {len(scored)} candidates")
    if not events or not events[-1].HasField("finished"):
        found.append("it has not finished")
    return found


def _plain(arguments: argparse.Namespace) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, Path) else value for name, value in vars(arguments).items()}


if __name__ == "__main__":
    sys.exit(main())
