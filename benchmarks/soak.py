"""Load a server for long, with faults: ``python -m benchmarks.soak --minutes 10`` (``make soak``). Writes ``out/soak``.

Searches, small calls and hostile requests come all the time. In the first half the server is killed and started again
now and then; in the second it is left alone, and its memory is watched: what grows then does not stop growing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.load import ROOT, task_of
from benchmarks.loading.arrivals import Closed, Open, arrive
from benchmarks.loading.callers import Callers
from benchmarks.loading.records import Record
from benchmarks.loading.report import write
from benchmarks.loading.servers import FREE, STUDIO_MINI, Server, started
from benchmarks.machine import describe
from eacps.client import AsyncClient, CallFailed, Retries, v1

Reading = tuple[float, int, int]
"""Seconds since the beginning; the server's memory in bytes, and its open descriptors."""
SAMPLES = 120
"""Readings of the memory, over the whole time."""
_MIB = 2**20


def main() -> int:
    """Read the command line, soak, report; 1 where something was lost."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--models", choices=[FREE, STUDIO_MINI], default=STUDIO_MINI)
    made.add_argument("--minutes", type=float, default=10.0)
    made.add_argument("--concurrency", type=int, default=2, help="searches at once")
    made.add_argument("--unary-rate", type=float, default=1.0, help="small calls a second")
    made.add_argument("--hostile-rate", type=float, default=2.0, help="hostile requests a second")
    made.add_argument("--kills", type=int, default=3, help="of the server, in the first half")
    made.add_argument("--candidates", type=int, default=8, help="of every search")
    made.add_argument("--steps", type=int, default=4, help="denoising steps")
    made.add_argument("--size", type=int, default=128, help="pixels a side of the pictures that free models make")
    made.add_argument("--out", type=Path, default=ROOT / "out" / "soak")
    arguments = made.parse_args()
    with started(
        arguments.models, ROOT / ".build" / "model_repository", arguments.out / "server", size=arguments.size
    ) as server:
        summary, record = asyncio.run(soak(arguments, server))
    write(summary, record, arguments.out)
    (arguments.out / "load.json").rename(arguments.out / "soak.json")
    print(
        json.dumps(
            {name: summary[name] for name in ("done", "errors", "kills", "memory", "descriptors", "unfinished")},
            indent=2,
        )
    )
    print(f"wrote soak.json and latency.png to {arguments.out}")
    return 1 if summary["unfinished"] else 0


async def soak(arguments: argparse.Namespace, server: Server) -> tuple[dict[str, Any], Record]:
    """Run callers, kill the server now and then, and return the results."""
    record, duration_s, begun = Record(), 60.0 * arguments.minutes, time.monotonic()
    until_s, memory = begun + duration_s, list[Reading]()
    patient = Retries(attempts=60, first_s=0.2, most_s=2.0)
    async with AsyncClient(f"127.0.0.1:{server.port}", retries=patient) as client:
        callers = Callers(client, task_of(arguments), record, cancel_share=0.1)
        async with asyncio.TaskGroup() as group:
            for how, visit in (
                (Closed(arguments.concurrency), callers.search),
                (Open(arguments.unary_rate), callers.ask),
                (Open(arguments.hostile_rate), lambda: _hostile(client, record)),
            ):
                group.create_task(arrive(how, visit, until_s=until_s, turned_away=lambda: None))
            group.create_task(_kill_now_and_then(server, arguments.kills, duration_s / 2))
            group.create_task(_read_memory(server, memory, duration_s))
        unfinished = await _unfinished(client)
    summary = record.summary(time.monotonic() - begun)
    return summary | {
        "machine": describe(os.cpu_count() or 1),
        "kills": arguments.kills,
        "unfinished": unfinished,
        "memory": _slope(memory, duration_s / 2),
        "descriptors": _span(memory, duration_s / 2),
    }, record


async def _hostile(client: AsyncClient, record: Record) -> None:
    """Send what is no request; anything but a refusal is an error of the server's."""
    request = v1.RunSearchRequest(scene=v1.Image(data=os.urandom(5000)), prompt="x" * 3000)
    try:
        await client.submit(request)
    except CallFailed as exc:
        if exc.code.name == "INVALID_ARGUMENT":
            record.done["hostile requests refused"] += 1
            return
        record.errors[f"hostile: {exc.code.name} {exc.reason}".strip()] += 1
    else:
        record.errors["hostile: accepted"] += 1


async def _kill_now_and_then(server: Server, kills: int, within_s: float) -> None:
    for _ in range(kills):
        await asyncio.sleep(within_s / (kills + 1))
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)


async def _read_memory(server: Server, memory: list[Reading], duration_s: float) -> None:
    begun = time.monotonic()
    for sample in range(SAMPLES):
        await asyncio.sleep(max(0.0, begun + duration_s * (sample + 1) / SAMPLES - time.monotonic()))
        try:
            memory.append((time.monotonic() - begun, server.resident_bytes(), server.descriptors()))
        except psutil.NoSuchProcess:
            continue  # just killed


async def _unfinished(client: AsyncClient) -> int:
    """Searches that neither succeeded nor were cancelled: none must be left, failed ones included."""
    states: Any = [v1.SEARCH_STATE_QUEUED, v1.SEARCH_STATE_RUNNING, v1.SEARCH_STATE_FAILED]
    return len([search async for search in client.list(states=states)])


def _slope(memory: list[Reading], after_s: float) -> dict[str, float]:
    """Growth of the server's memory in the second half, and what it was at the end."""
    late = np.array([(at, size) for at, size, _ in memory if at > after_s], np.float64)
    if len(late) < 3:
        return {}
    slope = float(np.polyfit(late[:, 0] / 60, late[:, 1] / _MIB, 1)[0])
    return {"mib_per_minute": round(slope, 3), "last_mib": round(late[-1, 1] / _MIB, 1)}


def _span(memory: list[Reading], after_s: float) -> dict[str, int]:
    """Fewest and most open descriptors of the server in the second half."""
    late = [descriptors for at, _, descriptors in memory if at > after_s]
    return {"fewest": min(late), "most": max(late)} if late else {}


if __name__ == "__main__":
    sys.exit(main())
