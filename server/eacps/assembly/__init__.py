"""Build the search server from settings. Only the composition root calls this."""

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial

from eacps.api import KeyRing, MessageCodec, Rules, SearchServer, SearchServicer, ServerTls
from eacps.api.admission import Admission, CallLimits
from eacps.api.decoding import Decoding
from eacps.api.memory_budget import MemoryBudget
from eacps.assembly.engine import retention_of, running_engine
from eacps.assembly.judges import external_judges
from eacps.assembly.marking import marking_of
from eacps.assembly.observers import observers_of
from eacps.assembly.preflight import preflight
from eacps.assembly.scorers import QUESTIONS, build_scorers, triton_judge
from eacps.errors import FieldViolation, InvalidRequest, TritonError
from eacps.evaluation import ExecutionLimits, Services
from eacps.imaging import Decoder
from eacps.imaging.workers import DecodingWorkers
from eacps.limits import DEFAULT_WEIGHTS
from eacps.scoring import JoinedQuestions, Scorer
from eacps.settings import LimitSettings, Settings
from eacps.triton import ServedCheckpoint, TritonGateway

__all__ = ["build_scorers", "preflight", "serving"]

_log = logging.getLogger(__name__)

_NICENESS = 5
_DECODER_WAIT_S = 120.0
"""How long a call waits for an idle decoder; searches wait for theirs as long as they have time."""
HELD_OUT = "identity_heldout"
"""Reported, never searched, where a request names no scorer."""


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[SearchServer]:
    """Serve until the block ends: connected to Triton, health and reflection on.

    Searches that run get their grace, unless the block ends with a `TritonError`: then they cannot move.

    Args:
        settings: All of them; the address's port may be 0, ``SearchServer.port`` says which it became.

    Raises:
        TritonUnavailable: Triton is not ready in time.
        TritonModelFailed: Its models are of another version.
        InvalidRequest: The default weights name a scorer that is not offered, or see `preflight`.
        AddressUnavailable: The address, or that of the metrics, cannot be bound.
    """
    preflight(settings)
    keys = None if settings.api_keys is None else KeyRing.read(settings.api_keys)
    async with AsyncExitStack() as stack:
        gateway = await TritonGateway.connect(settings.triton, ready_timeout_s=settings.triton_ready_timeout_s)
        stack.push_async_callback(gateway.close)
        checkpoint = await gateway.describe()
        _log.info("serving %s", checkpoint.in_words)
        own_judge = JoinedQuestions(gateway) if checkpoint.judge else None
        scorers = build_scorers(gateway, verifier=await gateway.has_verifier(), judge=own_judge)
        external = external_judges(settings, stack)
        scorers |= external.scorers
        judges = (triton_judge(own_judge) if own_judge else {}) | external.judges
        watching = observers_of(settings, scorers, checkpoint, stack)
        observer = watching.searches
        # Starting searches have their own decoder with higher priority, so that uploads cannot delay them.
        own = stack.enter_context(DecodingWorkers(1))
        share = settings.limits.tenant_share
        memory = MemoryBudget("decoded pictures", settings.limits.decoded_bytes, share)
        beginning = Decoding(own, at_once=1, memory=memory)
        stack.callback(beginning.close)
        callers = stack.enter_context(DecodingWorkers(settings.decoders, niceness=_NICENESS, wait_s=_DECODER_WAIT_S))
        decoding = Decoding(callers, at_once=settings.decoders, memory=memory)
        stack.callback(decoding.close)
        rules = replace(_rules(settings, scorers, checkpoint), judges=frozenset(judges), decoder=own)

        marking = marking_of(settings.provenance, stack)

        def open_services(decoder: Decoder = own) -> Services:
            limits = ExecutionLimits(retries=settings.triton_retries)
            return Services(
                gateway, scorers, judges=judges, limits=limits, observer=observer, decoder=decoder, marking=marking
            )

        engine, objects = await stack.enter_async_context(
            running_engine(settings, MessageCodec(rules, beginning), open_services, observer)
        )
        servicer = SearchServicer(
            rules,
            engine,
            objects,
            partial(open_services, callers),
            decoding=decoding,
            uploaded_bytes=settings.limits.uploaded_bytes,
            tenant_share=share,
            observer=observer,
            retention=retention_of(settings),
        )
        server = SearchServer(
            servicer,
            address=settings.address,
            is_ready=gateway.is_ready,
            admission=Admission(_call_limits(settings.limits)),
            observer=observer,
            tls=None if settings.tls is None else ServerTls(**vars(settings.tls)),
            keys=keys,
            calls=watching.calls,
        )
        await server.start()
        grace_s = settings.grace_s
        try:
            yield server
        except TritonError:
            grace_s = 0.0  # without Triton no search can go on
            raise
        finally:
            await server.stop(lambda: engine.stop(grace_s))


def _call_limits(limits: LimitSettings) -> CallLimits:
    return CallLimits(
        streams=limits.streams,
        pictures=limits.pictures,
        uploads=limits.uploads,
        downloads=limits.downloads,
        tenant_share=limits.tenant_share,
        calls_per_second=limits.calls_per_second,
        reads_per_second=limits.reads_per_second,
        all_calls_per_second=limits.all_calls_per_second,
        all_reads_per_second=limits.all_reads_per_second,
    )


def _rules(settings: Settings, scorers: Mapping[str, Scorer], checkpoint: ServedCheckpoint) -> Rules:
    weights = settings.default_weights
    if weights is None:
        weights = DEFAULT_WEIGHTS
        if not checkpoint.judge:
            weights = {name: weight for name, weight in weights.items() if name not in QUESTIONS}
            _log.warning("no judge is served: %s are not offered; weights are %s", " and ".join(QUESTIONS), weights)
    if unknown := sorted(set(weights) - set(scorers)):
        raise InvalidRequest(
            [FieldViolation("default_weights", f"{', '.join(unknown)}: not offered; there are {', '.join(scorers)}")]
        )
    held_out = frozenset({HELD_OUT} & set(scorers) - set(weights))
    return Rules(
        frozenset(scorers),
        dict(weights),
        held_out,
        face_swap=checkpoint.face_swap,
        negative_prompts=checkpoint.negative_prompts,
    )
