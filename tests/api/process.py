"""A search server in a process of its own, whose memory can be watched: ``python -m tests.api.process``.

Over the toy landscape, with decoders as in production, and without garbage collection: what waits for it stays.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from eacps.api import MessageCodec, SearchServer, SearchServicer
from eacps.api.admission import Admission
from eacps.durable.protocols import ConcurrencyLimits
from eacps.evaluation import Services
from eacps.imaging.workers import DecodingWorkers
from eacps.testing import ToyModels, ToyScorer
from eacps.triton import Generated, GenerateRequest
from tests.api.conftest import RULES, UNRATED, engine_over

ROOT = Path(__file__).parents[2]


class Hanging(ToyModels):
    """Never makes a picture."""

    async def generate(self, request: GenerateRequest, *, timeout_s: float | None = None) -> Generated:
        await asyncio.sleep(3600)
        return await super().generate(request, timeout_s=timeout_s)


MODELS: dict[str, Callable[[], ToyModels]] = {
    "toy": ToyModels,
    "hanging": Hanging,
    "faceless": partial(ToyModels, sees_faces=False),
}


async def serve(folder: Path, models: str) -> None:
    """Serve until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)

    async def is_ready() -> bool:
        return True

    def open_services() -> Services:
        return Services(MODELS[models](), {"brightness": ToyScorer(), "other": ToyScorer("other")})

    with DecodingWorkers(2) as workers:
        rules = replace(RULES, decoder=workers)
        async with engine_over(MessageCodec(rules), open_services, folder, concurrency=ConcurrencyLimits(1)) as (
            engine,
            objects,
        ):
            servicer = SearchServicer(rules, engine, objects, open_services)
            server = SearchServer(servicer, address="127.0.0.1:0", is_ready=is_ready, admission=Admission(UNRATED))
            await server.start()
            print(json.dumps({"port": server.port}), flush=True)
            await stop.wait()
            await server.stop(lambda: engine.stop(0.0), rest_s=0.0)


@contextmanager
def running(folder: Path, models: str = "toy") -> Iterator[tuple[str, psutil.Process]]:
    """Run the server until the block ends; give its address and its process."""
    words = [sys.executable, "-m", "tests.api.process", "--folder", str(folder), "--models", models]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            told: dict[str, Any] = json.loads(process.stdout.readline())
            yield f"127.0.0.1:{told['port']}", psutil.Process(process.pid)
        finally:
            process.kill()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--models", choices=MODELS, required=True)
    arguments = parser.parse_args()
    gc.disable()
    asyncio.run(serve(arguments.folder, arguments.models))
