"""Offer a server many small calls a second, on time whatever it answers: ``python -m benchmarks.flood --rate 1000``.

The caller is raw gRPC in this process, and the server over free models is a process of its own, with the limits that
production has. Prints how long calls took that were answered and how long those that were refused, beside searches
that run meanwhile (``--searches``).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import grpc.aio

from benchmarks.load import ROOT, task_of
from benchmarks.load import parser as load_parser
from benchmarks.loading.servers import FREE, started
from benchmarks.machine import describe
from eacps.client import AsyncClient, v1

_METHOD = "/eacps.v1.SearchService/GetSearch"
_SECOND_MS = 1000.0


def main() -> int:
    """Read the command line, flood, report."""
    arguments = _parser().parse_args()
    with started(FREE, ROOT, arguments.out / "server", limited=not arguments.unlimited) as server:
        found = asyncio.run(flood(f"127.0.0.1:{server.port}", arguments))
    found |= {name: getattr(arguments, name) for name in ("rate", "searches", "unlimited")}
    found["machine"] = describe(os.cpu_count() or 1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "flood.json").write_text(json.dumps(found, indent=2))
    print(json.dumps(found, indent=2))
    return 0


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--rate", type=float, default=1000.0, help="calls a second")
    made.add_argument("--duration", type=float, default=10.0, help="seconds")
    made.add_argument("--connections", type=int, default=4)
    made.add_argument("--searches", type=int, default=0, help="that run at the same time")
    made.add_argument("--unlimited", action="store_true", help="serve without limits on the rates of calls")
    made.add_argument("--out", type=Path, default=ROOT / "out" / "flood")
    return made


async def flood(address: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Offer the calls, and return how long they took by their status, and what became of the searches."""
    async with AsyncClient(address) as client:
        task = task_of(load_parser().parse_args([]))
        asked = (await client.submit(task.request())).search_id
        searching = [asyncio.create_task(_search(client, task)) for _ in range(arguments.searches)]
        took = await _offered(address, asked, arguments)
        for one in searching:
            one.cancel()
        searched = await asyncio.gather(*searching, return_exceptions=True)
    calls = {code: _percentiles(times) for code, times in sorted(took.items())}
    return {"calls": calls, "search_failures": [repr(one) for one in searched if isinstance(one, Exception)]}


async def _search(client: AsyncClient, task: Any) -> None:
    while True:
        async for _ in client.run(task.request()):
            pass


async def _offered(address: str, search_id: str, arguments: argparse.Namespace) -> dict[str, list[float]]:
    request = v1.GetSearchRequest(search_id=search_id).SerializeToString()
    # Without its own subchannel pool, gRPC would make one connection of all channels.
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
    channels = [grpc.aio.insecure_channel(address, options=options) for _ in range(arguments.connections)]
    methods: list[Any] = [channel.unary_unary(_METHOD) for channel in channels]
    took, under_way = defaultdict[str, list[float]](list), set[asyncio.Task[None]]()
    begun, loop = time.monotonic(), asyncio.get_running_loop()
    for number in range(round(arguments.rate * arguments.duration)):
        at_s = begun + number / arguments.rate
        if (left_s := at_s - time.monotonic()) > 0:
            await asyncio.sleep(left_s)
        task = loop.create_task(_call(methods[number % len(methods)], request, at_s, took))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
    await asyncio.gather(*under_way)
    for channel in channels:
        await channel.close()
    return took


async def _call(method: Any, request: bytes, at_s: float, took: dict[str, list[float]]) -> None:
    code = "OK"
    try:
        await method(request, timeout=60.0)
    except grpc.aio.AioRpcError as exc:
        code = exc.code().name
    took[code].append(time.monotonic() - at_s)


def _percentiles(times: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(times, n=100) if len(times) > 1 else times * 99
    return {"count": len(times), **{f"p{at}_ms": round(cuts[at - 1] * _SECOND_MS, 1) for at in (50, 90, 99)}}


if __name__ == "__main__":
    sys.exit(main())
