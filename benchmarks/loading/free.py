"""A search server whose models cost nothing, so that what is left is its own: ``python -m benchmarks.loading.free``.

Everything is that of production, decoders, database and workflows included, but for the models and the scorers.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path

import uvloop

from benchmarks.loading.free_models import SCORER, FreeModels, StampScorer
from eacps.api import MessageCodec, Rules, SearchServer, SearchServicer
from eacps.api.admission import Admission, CallLimits
from eacps.api.decoding import Decoding
from eacps.assembly.engine import running_engine
from eacps.evaluation import Observer, Services
from eacps.imaging import Decoder
from eacps.imaging.workers import DecodingWorkers
from eacps.settings import Settings, StoreSettings

_UNRATED = CallLimits(
    calls_per_second=None, reads_per_second=None, all_calls_per_second=None, all_reads_per_second=None
)  # all callers are one tenant here
_MOST_UNFINISHED = 1000


async def serve(address: str, data: Path, *, size: int, max_searches: int, limited: bool) -> None:
    """Serve until SIGTERM.

    Args:
        address: ``host:port``.
        data: Folder of database and pictures.
        size: Pixels a side of the pictures that the models make.
        max_searches: Searches that run at once.
        limited: Whether the rates of calls have the limits of production.
    """
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    shared = Settings.from_environment({**os.environ, "EACPS_DATA": str(data)})
    store = replace(
        shared.store or StoreSettings(folder=data),
        max_unfinished=_MOST_UNFINISHED,
        max_unfinished_per_tenant=_MOST_UNFINISHED,
    )
    settings = Settings(address=address, store=store, max_searches=max_searches)
    models, scorers = FreeModels(size), {SCORER: StampScorer()}

    async def is_ready() -> bool:
        return True

    # As `eacps.assembly.serving`: searches have a decoder of their own.
    with DecodingWorkers(1) as own, DecodingWorkers(settings.decoders) as workers:

        def open_services(decoder: Decoder = own) -> Services:
            return Services(models, scorers, decoder=decoder)

        rules = replace(Rules(frozenset({SCORER}), {SCORER: 1.0}), decoder=own)
        beginning, decoding = Decoding(own, at_once=1), Decoding(workers, at_once=settings.decoders)
        codec = MessageCodec(rules, beginning)
        async with running_engine(settings, codec, open_services, Observer()) as (engine, objects):
            servicer = SearchServicer(rules, engine, objects, partial(open_services, workers), decoding=decoding)
            admission = Admission(CallLimits() if limited else _UNRATED)
            server = SearchServer(servicer, address=address, is_ready=is_ready, admission=admission)
            await server.start()
            print(json.dumps({"address": f"127.0.0.1:{server.port}"}), flush=True)
            await stop.wait()
            await server.stop(lambda: engine.stop(settings.grace_s))


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listen", default="127.0.0.1:0")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--max-searches", type=int, default=8)
    parser.add_argument("--limited", action="store_true", help="rates of calls have the limits of production")
    parser.add_argument("--json", action="store_true", help="as eacps serve; it always says so")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    serving = serve(
        arguments.listen,
        arguments.data,
        size=arguments.size,
        max_searches=arguments.max_searches,
        limited=arguments.limited,
    )
    uvloop.run(serving)  # the event loop of `eacps serve`


if __name__ == "__main__":
    main()
