"""Putting the search server together from settings. Whoever has settings, and only they, calls this."""

import logging
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from eacps.api import DEFAULT_WEIGHTS, KeyRing, MessageCodec, Rules, SearchServer, SearchServicer, ServerTls
from eacps.api.rates import RateLimit
from eacps.assembly.engine import running_engine
from eacps.assembly.scorers import build_scorers, outside_judges, outside_scorers, triton_judge
from eacps.assembly.tracing import exported_traces
from eacps.errors import FieldViolation, InvalidRequest
from eacps.evaluation import Laboratory, Observer, Pace
from eacps.evaluation.observer import Several
from eacps.imaging.workers import DecodingWorkers
from eacps.metrics import SearchMetrics, exposed
from eacps.scoring import Scorer
from eacps.settings import Settings, check_access
from eacps.triton import TritonGateway

__all__ = ["build_scorers", "serving"]

_log = logging.getLogger(__name__)

HELD_OUT = "identity_heldout"
"""Reported, never searched, where a request names no scorer."""


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[SearchServer]:
    """Serve until the block ends: connected to Triton, health and reflection on.

    Args:
        settings: All of them; the address's port may be 0, ``SearchServer.port`` says which it became.

    Raises:
        TritonUnavailable: Triton is not ready in time.
        TritonModelFailed: Its models are of another version.
        InvalidRequest: The default weights name a scorer that is not offered, a certificate or the keys cannot be
            read, or nothing says who may call.
        RuntimeError: The address, or that of the metrics, cannot be bound.
    """
    check_access(settings)
    keys = None if settings.api_keys is None else KeyRing.read(settings.api_keys)
    async with AsyncExitStack() as stack:
        gateway = await TritonGateway.connect(settings.triton, ready_timeout_s=settings.triton_ready_timeout_s)
        stack.push_async_callback(gateway.close)
        _log.info("serving %s", (await gateway.describe()).in_words)
        scorers = build_scorers(gateway, verifier=await gateway.has_verifier())
        outside = await outside_judges(settings, stack)
        scorers |= outside_scorers(outside)
        judges = triton_judge(gateway) | outside
        observer = _observer(settings, scorers, stack)
        workers = stack.enter_context(DecodingWorkers(settings.decoders))
        rules = replace(_rules(settings, scorers), judges=frozenset(judges), decode=workers.decode)

        def open_laboratory() -> Laboratory:
            pace = Pace(retries=settings.triton_retries)
            return Laboratory(gateway, scorers, judges=judges, pace=pace, observer=observer)

        engine, objects = await stack.enter_async_context(
            running_engine(settings, MessageCodec(rules), open_laboratory, observer)
        )
        servicer = SearchServicer(
            rules, engine, objects, open_laboratory, observer=observer, rate=RateLimit(settings.calls_per_second)
        )
        server = SearchServer(
            servicer,
            address=settings.address,
            is_ready=gateway.is_ready,
            observer=observer,
            tls=None if settings.tls is None else ServerTls(**vars(settings.tls)),
            keys=keys,
        )
        await server.start()
        try:
            yield server
        finally:
            await server.stop(lambda: engine.stop(settings.grace_s))


def _observer(settings: Settings, scorers: Collection[str], stack: AsyncExitStack) -> Observer:
    """Who watches, as far as anyone is to."""
    observers: list[Observer] = []
    if settings.metrics is not None:
        metrics = SearchMetrics(offered=frozenset(scorers))
        stack.enter_context(exposed(metrics, settings.metrics))
        observers.append(metrics)
    if settings.otlp is not None:
        observers.append(stack.enter_context(exported_traces(settings.otlp)))
    return Several(observers)


def _rules(settings: Settings, scorers: Mapping[str, Scorer]) -> Rules:
    weights = DEFAULT_WEIGHTS if settings.default_weights is None else settings.default_weights
    if unknown := sorted(set(weights) - set(scorers)):
        raise InvalidRequest(
            [FieldViolation("default_weights", f"{', '.join(unknown)}: not offered; there are {', '.join(scorers)}")]
        )
    held_out = frozenset({HELD_OUT} & set(scorers) - set(weights))
    return Rules(frozenset(scorers), dict(weights), held_out)
