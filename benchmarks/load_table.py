"""What a candidate costs the search server itself: ``python -m benchmarks.load_table`` (``make bench-load``).

For every number of searches at once, of watchers, and every size of pictures, a fresh server over models that cost
next to nothing. Figures are of a window after a warm-up. Watchers all watch one further search, which is as slow as one
of real models and takes one of the server's slots. Prints a table, and writes it as ``table.md`` and ``table.json``.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, astuple, dataclass
from pathlib import Path

import numpy as np
import psutil

from benchmarks.load import ROOT, task_of
from benchmarks.loading.arrivals import Closed, arrive
from benchmarks.loading.callers import Callers
from benchmarks.loading.free_models import PACED_STEPS
from benchmarks.loading.records import Record
from benchmarks.loading.servers import FREE, Server, started
from benchmarks.machine import describe
from eacps.client import AsyncClient, Retries

_PATIENT = Retries(attempts=100, first_s=0.2, most_s=1.0)
_MIB = 2**20
_SECONDS_A_SEARCH = 0.1
_HEAD = (
    "| pixels a side | searches at once | watchers | candidates/s | server's processor, ms a candidate "
    "| first event, p50 ms | result, p50 s | watchers' events/s | memory MiB | descriptors | others' cores |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        size: Pixels a side.
        concurrency: Searches at once.
        watchers: Of one further search.
        candidates_per_second: Of the searches at once.
        processor_ms: Of the server and its decoders, a candidate.
        first_event_ms: Median.
        result_s: Median.
        watched_per_second: Events that all watchers together had.
        memory_mib: Resident, of the server's own process, at the end.
        descriptors: Open ones, at the end.
        foreign_cores: Kept busy by neither the server nor the callers.
        errors: How many calls failed, by status code and reason.
    """

    size: int
    concurrency: int
    watchers: int
    candidates_per_second: float
    processor_ms: float
    first_event_ms: float
    result_s: float
    watched_per_second: float
    memory_mib: float
    descriptors: int
    foreign_cores: float
    errors: dict[str, int]

    def line(self) -> str:
        """Return it as a line of Markdown."""
        return (
            f"| {self.size} | {self.concurrency} | {self.watchers} | {self.candidates_per_second:.0f} "
            f"| {self.processor_ms:.2f} | {self.first_event_ms:.0f} | {self.result_s:.2f} "
            f"| {self.watched_per_second:.0f} | {self.memory_mib:.0f} | {self.descriptors} | {self.foreign_cores:.2f} |"
        )


def main() -> int:
    """Read the command line, measure, report; 1 where calls failed."""
    arguments = parser().parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    print(_HEAD, flush=True)
    rows = []
    for size, watchers, concurrency in itertools.product(arguments.size, arguments.watchers, arguments.concurrency):
        folder = arguments.out / f"{size}-{concurrency}-{watchers}"
        shutil.rmtree(folder, ignore_errors=True)
        repository = ROOT / ".build" / "model_repository"
        with started(FREE, repository, folder, size=size, max_searches=arguments.max_searches) as server:
            rows.append(asyncio.run(measured(arguments, server, size, concurrency, watchers)))
        print(rows[-1].line(), flush=True)
        for error, count in rows[-1].errors.items():
            print(f"{count} calls failed: {error}", file=sys.stderr, flush=True)
    table = "\n".join([_HEAD, *(row.line() for row in rows)])
    (arguments.out / "table.md").write_text(table + "\n", encoding="utf-8")
    found = {"machine": describe(os.cpu_count() or 1), "rows": [asdict(row) for row in rows]}
    (arguments.out / "table.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(f"wrote table.md and table.json to {arguments.out}")
    return 1 if any(row.errors for row in rows) else 0


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--concurrency", type=int, nargs="+", default=[1, 8, 32, 100, 200], help="searches at once")
    made.add_argument("--watchers", type=int, nargs="+", default=[0, 100, 500])
    made.add_argument("--size", type=int, nargs="+", default=[128, 1024], help="pixels a side")
    made.add_argument("--max-searches", type=int, default=8, help="that the server runs at once; others wait")
    made.add_argument("--candidates", type=int, default=16, help="of every search")
    made.add_argument("--steps", type=int, default=4, help="denoising steps")
    made.add_argument("--warm-up", type=float, default=4.0, help="seconds")
    made.add_argument("--duration", type=float, default=8.0, help="seconds of the window")
    made.add_argument("--out", type=Path, default=ROOT / "out" / "load_table")
    return made


async def measured(arguments: argparse.Namespace, server: Server, size: int, concurrency: int, watchers: int) -> Row:
    """Load a server for a while."""
    asked = argparse.Namespace(**{**vars(arguments), "size": size})
    address, record = f"127.0.0.1:{server.port}", Record()
    async with AsyncClient(address, retries=_PATIENT) as client, _watchers(client, asked, address, watchers) as process:
        callers, closed = Callers(client, task_of(asked), record), Closed(concurrency, arguments.warm_up / 2)
        calling = asyncio.create_task(arrive(closed, callers.search, until_s=math.inf, turned_away=_never))
        # Until those who came first have been served: only then do as many come as go.
        await asyncio.sleep(arguments.warm_up + concurrency * _SECONDS_A_SEARCH)
        before, begun = _Reading.now(server, process), dict(record.latencies_s)
        candidates, seen = record.candidates, {what: len(values) for what, values in begun.items()}
        await asyncio.sleep(arguments.duration)
        used, made = _Reading.now(server, process).since(before), record.candidates - candidates
        calling.cancel()
        await asyncio.wait({calling})
    latencies = {what: values[seen.get(what, 0) :] for what, values in record.latencies_s.items()}
    return Row(
        size,
        concurrency,
        watchers,
        candidates_per_second=made / used.wall_s,
        processor_ms=1e3 * used.server_s / max(1, made),
        first_event_ms=1e3 * _median(latencies.get("first event")),
        result_s=_median(latencies.get("result")),
        watched_per_second=used.watched / used.wall_s,
        memory_mib=server.resident_bytes() / _MIB,
        descriptors=server.descriptors(),
        foreign_cores=max(0.0, used.machine_s - used.server_s - used.callers_s) / used.wall_s,
        errors=dict(record.errors),
    )


@dataclass(frozen=True)
class _Reading:
    """Of the clocks, in seconds, and of the events that watchers have had."""

    wall_s: float
    server_s: float
    callers_s: float
    machine_s: float
    watched: int

    @classmethod
    def now(cls, server: Server, watchers: subprocess.Popen[str] | None) -> _Reading:
        own = time.process_time()
        watched = 0
        if watchers is not None and watchers.stdin is not None and watchers.stdout is not None:
            watchers.stdin.write("\n")
            watchers.stdin.flush()
            answer = json.loads(watchers.stdout.readline())
            watched, own = answer["events"], own + answer["processor_s"]
        times = psutil.cpu_times()
        busy = times.user + times.nice + times.system + times.irq + times.softirq + times.steal
        return cls(time.monotonic(), server.processor_s(), own, busy, watched)

    def since(self, earlier: _Reading) -> _Reading:
        return _Reading(*(now - then for now, then in zip(astuple(self), astuple(earlier), strict=True)))


@asynccontextmanager
async def _watchers(
    client: AsyncClient, asked: argparse.Namespace, address: str, count: int
) -> AsyncIterator[subprocess.Popen[str] | None]:
    """So many watchers of a search that runs for long, until the block ends."""
    if not count:
        yield None
        return
    request = task_of(asked).request()
    request.sampler.steps, request.search.best_of_n.trajectories = PACED_STEPS, 512
    search = await client.submit(request)
    words = ["--server", address, "--search", search.search_id, "--count", str(count)]
    command = [sys.executable, "-m", "benchmarks.loading.watchers", *words]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        if process.stdout is None or not await asyncio.to_thread(process.stdout.readline):
            raise RuntimeError("the watchers did not start")
        yield process
    finally:
        process.kill()
        process.communicate()


def _median(values: list[float] | None) -> float:
    return float(np.median(values)) if values else math.nan


def _never() -> None:
    raise RuntimeError("callers of a closed loop are never turned away")


if __name__ == "__main__":
    sys.exit(main())
