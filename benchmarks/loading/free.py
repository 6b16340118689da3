"""A search server whose models cost nothing, so that what is left is its own: ``python -m benchmarks.loading.free``.

Everything is that of production, decoders, database and workflows included, but for the models and the scorers.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import signal
from dataclasses import replace
from pathlib import Path

from eacps.api import MessageCodec, Rules, SearchServer, SearchServicer
from eacps.assembly.engine import running_engine
from eacps.evaluation import Laboratory, Silent
from eacps.evaluation.toy import ToyModels, ToyScorer
from eacps.imaging.workers import DecodingWorkers
from eacps.settings import Settings, StoreSettings

SCORER = "brightness"


async def serve(address: str, data: Path) -> None:
    """Serve until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    settings = Settings(address=address, store=StoreSettings(folder=data))

    async def is_ready() -> bool:
        return True

    def open_laboratory() -> Laboratory:
        return Laboratory(ToyModels(), {SCORER: ToyScorer()})

    with DecodingWorkers(settings.decoders) as workers:
        rules = replace(Rules(frozenset({SCORER}), {SCORER: 1.0}), decode=workers.decode)
        async with running_engine(settings, MessageCodec(rules), open_laboratory, Silent()) as (engine, objects):
            servicer = SearchServicer(rules, engine, objects, open_laboratory)
            server = SearchServer(servicer, address=address, is_ready=is_ready)
            await server.start()
            print(json.dumps({"address": f"127.0.0.1:{server.port}"}), flush=True)
            await stop.wait()
            await server.stop(lambda: engine.stop(settings.grace_s))


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listen", default="127.0.0.1:0")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--json", action="store_true", help="as eacps serve; it always says so")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    asyncio.run(serve(arguments.listen, arguments.data))


if __name__ == "__main__":
    main()
