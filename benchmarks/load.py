"""Put a search server under load: ``python -m benchmarks.load --models free --concurrency 8 --duration 30``.

With ``--models`` a server is started, in a process of its own; with ``--server`` one that runs already is called, with
``EACPS_API_KEY`` where that is set. Searches arrive in a closed loop (``--concurrency``) or an open one (``--rate``),
small calls beside them (``--unary-rate``). Writes ``load.json`` and ``latency.png``.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from PIL import Image
from rich.console import Console
from rich.live import Live

from benchmarks.loading.arrivals import Closed, Open, arrive
from benchmarks.loading.callers import Callers, Task
from benchmarks.loading.records import Record
from benchmarks.loading.report import live_table, write
from benchmarks.loading.servers import FREE, STUDIO_MINI, Server, idle, started
from benchmarks.machine import describe
from eacps.client import AsyncClient, Retries, v1

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "studio_mini" / "samples" / "smile"
_TABLE_S = 0.5


def main() -> int:
    """Read the command line, load, report."""
    arguments = parser().parse_args()
    repository, out = ROOT / ".build" / "model_repository", arguments.out
    running: AbstractContextManager[Server | None] = nullcontext(None)
    if not arguments.server:
        running = started(arguments.models, repository, out / "server", size=arguments.size)
    with running as server:
        summary, record = asyncio.run(load(arguments, server))
    write(summary, record, out)
    console = Console(width=None if sys.stdout.isatty() else 100)
    console.print(live_table(record, summary["duration_s"]))
    for name in ("processor_s_per_candidate", "processor_s_per_search", "cancel_to_idle_s"):
        if name in summary:
            console.print(f"{name}: {summary[name]:.4f}")
    console.print(f"wrote load.json and latency.png to {out}")
    return 0


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--models", choices=[FREE, STUDIO_MINI], default=FREE, help="of the server that is started")
    made.add_argument("--server", help="HOST:PORT of one that runs already")
    made.add_argument("--concurrency", type=int, default=4, help="searches at once, closed loop")
    made.add_argument("--rate", type=float, help="searches a second, open loop; in the place of --concurrency")
    made.add_argument("--unary-rate", type=float, default=0.0, help="small calls a second, open loop")
    made.add_argument("--ramp", type=float, default=0.0, help="seconds over which the load grows")
    made.add_argument("--duration", type=float, default=30.0, help="seconds")
    made.add_argument("--cancel-share", type=float, default=0.0, help="of searches left after the first candidate")
    made.add_argument("--candidates", type=int, default=16, help="of every search")
    made.add_argument("--steps", type=int, default=4, help="denoising steps")
    made.add_argument("--size", type=int, default=128, help="pixels a side of the pictures that free models make")
    made.add_argument("--out", type=Path, default=ROOT / "out" / "load")
    return made


async def load(arguments: argparse.Namespace, server: Server | None) -> tuple[dict[str, Any], Record]:
    """Run callers against a server; return what they saw and what it cost."""
    address = arguments.server or f"127.0.0.1:{server.port if server else 0}"
    record = Record()
    async with AsyncClient(address, api_key=os.environ.get("EACPS_API_KEY"), retries=Retries(attempts=3)) as client:
        callers = Callers(client, task_of(arguments), record, cancel_share=arguments.cancel_share)
        spent, begun = server.processor_s() if server else 0.0, time.monotonic()
        until_s = begun + arguments.duration
        watching = asyncio.create_task(_watch(record, begun))
        try:
            async with asyncio.TaskGroup() as group:
                for how, visit in _arrivals(arguments, callers):
                    group.create_task(arrive(how, visit, until_s=until_s, turned_away=lambda: _turn_away(record)))
        finally:
            watching.cancel()
        took_s = time.monotonic() - begun
        summary = record.summary(took_s) | {"machine": describe(os.cpu_count() or 1), "arguments": _plain(arguments)}
        if server is not None:
            used = server.processor_s() - spent
            summary["processor_s_per_candidate"] = used / max(1, record.candidates)
            searches = sum(record.done[kind] for kind in ("searches", "searches left"))
            summary["processor_s_per_search"] = used / max(1, searches)
            summary["cancel_to_idle_s"] = await _cancel_to_idle(client, arguments, server)
    return summary, record


def task_of(arguments: argparse.Namespace) -> Task:
    """Return the edit that is requested."""
    return Task(
        scene=scene_of(arguments.size),
        character=(SAMPLE / "character.png").read_bytes(),
        prompt=(SAMPLE / "prompt.txt").read_text(encoding="utf-8").strip(),
        search=v1.SearchSettings(best_of_n=v1.BestOfNSettings(trajectories=arguments.candidates)),
        sampler=v1.SamplerSettings(steps=arguments.steps),
    )


def scene_of(size: int) -> bytes:
    """Return the scene in the size in which the models work, so that nothing is cut or pasted back, as PNG."""
    with Image.open(SAMPLE / "scene.png") as scene:
        data = io.BytesIO()
        scene.convert("RGB").resize((size, size), Image.Resampling.BICUBIC).save(data, "PNG")
    return data.getvalue()


def _arrivals(arguments: argparse.Namespace, callers: Callers) -> list[tuple[Open | Closed, Any]]:
    searches: Open | Closed = Closed(arguments.concurrency, arguments.ramp)
    if arguments.rate:
        searches = Open(arguments.rate, arguments.ramp)
    found: list[tuple[Open | Closed, Any]] = [(searches, callers.search)]
    if arguments.unary_rate:
        found.append((Open(arguments.unary_rate, arguments.ramp), callers.ask))
    return found


async def _cancel_to_idle(client: AsyncClient, arguments: argparse.Namespace, server: Server) -> float:
    """Leave some searches at once, and see how soon the server has nothing to do."""
    await idle(server)
    request = task_of(arguments).request()
    request.search.best_of_n.trajectories = 512
    searches = [await client.submit(request) for _ in range(2)]
    await asyncio.sleep(1.0)
    await asyncio.gather(*(client.cancel(one.search_id) for one in searches))
    return await idle(server)


async def _watch(record: Record, begun: float) -> None:
    if not sys.stderr.isatty():
        await asyncio.Event().wait()
    with Live(console=Console(stderr=True), auto_refresh=False) as live:
        while True:
            live.update(live_table(record, time.monotonic() - begun), refresh=True)
            await asyncio.sleep(_TABLE_S)


def _turn_away(record: Record) -> None:
    record.turned_away += 1


def _plain(arguments: argparse.Namespace) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, Path) else value for name, value in vars(arguments).items()}


if __name__ == "__main__":
    sys.exit(main())
