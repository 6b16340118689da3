"""Callers who only watch, in a process of their own: ``python -m benchmarks.loading.watchers --server HOST:PORT``.

They watch one search as bare gRPC clients do, and count what comes. A line of JSON says when all have had an event;
then each line that is read is answered by one that says how many events there were, and what that took.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from typing import Any

import grpc
import grpc.aio

from eacps.v1 import search_service_pb2 as pb

_METHOD = "/eacps.v1.SearchService/WatchSearch"
_CHANNELS = 4
_PAUSE_S = 0.2


async def watch(server: str, search_id: str, count: int) -> None:
    """Watch until standard input ends."""
    seen = Counter[int]()
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
    channels = [grpc.aio.insecure_channel(server, options=options) for _ in range(_CHANNELS)]
    request = pb.WatchSearchRequest(search_id=search_id).SerializeToString()

    async def one(index: int) -> None:
        call: Any = channels[index % _CHANNELS].unary_stream(_METHOD)
        while True:
            try:
                async for _ in call(request):
                    seen[index] += 1
            except grpc.aio.AioRpcError as exc:
                if exc.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                    raise
                await asyncio.sleep(_PAUSE_S)
            else:
                return

    watchers = [asyncio.create_task(one(index)) for index in range(count)]
    while len(seen) < count:
        await asyncio.sleep(_PAUSE_S)
    print(json.dumps({"watching": len(seen)}), flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps({"events": seen.total(), "processor_s": time.process_time()}), flush=True)
    for watcher in watchers:
        watcher.cancel()


def main() -> None:
    """Read the command line and watch."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", required=True)
    parser.add_argument("--search", required=True)
    parser.add_argument("--count", type=int, required=True)
    arguments = parser.parse_args()
    asyncio.run(watch(arguments.server, arguments.search, arguments.count))


if __name__ == "__main__":
    main()
