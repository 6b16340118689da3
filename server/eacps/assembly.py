"""Putting the search server together from settings. Whoever has settings, and only they, calls this."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

import httpx2
import openai

from eacps.api import DEFAULT_WEIGHTS, KeyRing, Rules, SearchServer, ServerTls
from eacps.api.servicer import SearchServicer
from eacps.errors import FieldViolation, InvalidRequest
from eacps.evaluation import Laboratory, Observer, Silent
from eacps.metrics import SearchMetrics, exposed
from eacps.scoring import (
    HeldOutIdentityScorer,
    IdentityScorer,
    OpenAIJudge,
    PreservationScorer,
    Scorer,
    TritonJudge,
    load_question,
)
from eacps.scoring.moondream_judge import CLOUD as MOONDREAM_CLOUD
from eacps.scoring.moondream_judge import MoondreamJudge
from eacps.scoring.picture_judge import Patience
from eacps.settings import GeminiSettings, MoondreamSettings, OpenAISettings, Settings, check_access
from eacps.triton import TritonGateway

QUESTIONS = ("realism", "prompt")
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
        scorers = build_scorers(gateway, verifier=await gateway.has_verifier())
        scorers |= await outside_scorers(settings, stack)
        observer: Observer = Silent()
        if settings.metrics is not None:
            observer = metrics = SearchMetrics()
            stack.enter_context(exposed(metrics, settings.metrics))
        servicer = SearchServicer(
            _rules(settings, scorers),
            lambda: Laboratory(gateway, scorers, observer=observer),
            max_searches=settings.max_searches,
            observer=observer,
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
            await server.stop(settings.grace_s)


def build_scorers(gateway: TritonGateway, *, verifier: bool = False) -> dict[str, Scorer]:
    """Give every scorer that needs nothing but Triton, by name.

    Args:
        gateway: To it.
        verifier: Whether it serves a held-out verifier.
    """
    scorers: list[Scorer] = [IdentityScorer(gateway), PreservationScorer()]
    if verifier:
        scorers.append(HeldOutIdentityScorer(gateway))
    scorers += [TritonJudge(gateway, load_question(question)) for question in QUESTIONS]
    return {scorer.name: scorer for scorer in scorers}


async def outside_scorers(settings: Settings, stack: AsyncExitStack) -> dict[str, Scorer]:
    """Give the scorers by vision-language models elsewhere, by name; their clients are closed with ``stack``."""
    scorers: list[Scorer] = []
    if settings.openai is not None:
        scorers += _by_openai(settings.openai, stack)
    if settings.gemini is not None:
        scorers += _by_gemini(settings.gemini, stack)
    if settings.moondream is not None:
        scorers += await _by_moondream(settings.moondream, stack)
    return {scorer.name: scorer for scorer in scorers}


def _by_openai(settings: OpenAISettings, stack: AsyncExitStack) -> list[Scorer]:
    client = openai.AsyncOpenAI(
        base_url=settings.base_url,
        api_key=settings.api_key,
        timeout=settings.timeout_s,
        max_retries=settings.max_retries,
    )
    stack.push_async_callback(client.close)
    return [
        OpenAIJudge(client, model=settings.model, question=load_question(question), in_flight=settings.in_flight)
        for question in QUESTIONS
    ]


def _by_gemini(settings: GeminiSettings, stack: AsyncExitStack) -> list[Scorer]:
    # An extra of its own, and slow to import: only who has a key for it needs it.
    from google import genai
    from google.genai import types

    from eacps.scoring.gemini_judge import GeminiJudge

    options = types.HttpOptions(base_url=settings.base_url, timeout=round(1000 * settings.timeout_s))
    client = genai.Client(api_key=settings.api_key, http_options=options)
    stack.push_async_callback(client.aio.aclose)
    patience, in_flight = Patience(settings.attempts), settings.in_flight
    questions = (load_question("realism"), load_question("prompt", version=2))
    return [
        GeminiJudge(client, question, model=settings.model, in_flight=in_flight, patience=patience)
        for question in questions
    ]


async def _by_moondream(settings: MoondreamSettings, stack: AsyncExitStack) -> list[Scorer]:
    client = await stack.enter_async_context(httpx2.AsyncClient(timeout=settings.timeout_s))
    return [
        MoondreamJudge(
            client,
            load_question(question),
            base_url=settings.base_url or MOONDREAM_CLOUD,
            api_key=settings.api_key,
            model=settings.model,
            in_flight=settings.in_flight,
            patience=Patience(settings.attempts),
        )
        for question in QUESTIONS
    ]


def _rules(settings: Settings, scorers: Mapping[str, Scorer]) -> Rules:
    weights = DEFAULT_WEIGHTS if settings.default_weights is None else settings.default_weights
    if unknown := sorted(set(weights) - set(scorers)):
        raise InvalidRequest(
            [FieldViolation("default_weights", f"{', '.join(unknown)}: not offered; there are {', '.join(scorers)}")]
        )
    held_out = frozenset({HELD_OUT} & set(scorers) - set(weights))
    return Rules(frozenset(scorers), dict(weights), held_out)
