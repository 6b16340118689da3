"""Putting the search server together from settings. Whoever has settings, and only they, calls this."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import openai

from eacps.api import DEFAULT_WEIGHTS, Rules, SearchServer
from eacps.api.servicer import SearchServicer
from eacps.errors import FieldViolation, InvalidRequest
from eacps.evaluation import Laboratory
from eacps.scoring import (
    HeldOutIdentityScorer,
    IdentityScorer,
    OpenAIJudge,
    PreservationScorer,
    Scorer,
    TritonJudge,
    load_question,
)
from eacps.settings import OpenAISettings, Settings
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
        InvalidRequest: The default weights name a scorer that is not offered.
        RuntimeError: The address cannot be bound.
    """
    gateway = await TritonGateway.connect(settings.triton, ready_timeout_s=settings.triton_ready_timeout_s)
    outside = None if settings.openai is None else _client(settings.openai)
    try:
        scorers = build_scorers(gateway, settings.openai, outside, verifier=await gateway.has_verifier())
        servicer = SearchServicer(
            _rules(settings, scorers), lambda: Laboratory(gateway, scorers), max_searches=settings.max_searches
        )
        server = SearchServer(servicer, address=settings.address, is_ready=gateway.is_ready)
        await server.start()
        try:
            yield server
        finally:
            await server.stop(settings.grace_s)
    finally:
        if outside is not None:
            await outside.close()
        await gateway.close()


def build_scorers(
    gateway: TritonGateway,
    settings: OpenAISettings | None = None,
    client: openai.AsyncOpenAI | None = None,
    *,
    verifier: bool = False,
) -> dict[str, Scorer]:
    """Give every scorer that can be offered, by name.

    Args:
        gateway: For the models in Triton.
        settings: Of the outside judge, together with ``client``.
        client: The outside judge's own.
        verifier: Whether Triton serves a held-out verifier.
    """
    scorers: list[Scorer] = [IdentityScorer(gateway), PreservationScorer()]
    if verifier:
        scorers.append(HeldOutIdentityScorer(gateway))
    scorers += [TritonJudge(gateway, load_question(question)) for question in QUESTIONS]
    if settings is not None and client is not None:
        scorers += [
            OpenAIJudge(client, model=settings.model, question=load_question(question), in_flight=settings.in_flight)
            for question in QUESTIONS
        ]
    return {scorer.name: scorer for scorer in scorers}


def _client(settings: OpenAISettings) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(
        base_url=settings.base_url,
        api_key=settings.api_key,
        timeout=settings.timeout_s,
        max_retries=settings.max_retries,
    )


def _rules(settings: Settings, scorers: Mapping[str, Scorer]) -> Rules:
    weights = DEFAULT_WEIGHTS if settings.default_weights is None else settings.default_weights
    if unknown := sorted(set(weights) - set(scorers)):
        raise InvalidRequest(
            [FieldViolation("default_weights", f"{', '.join(unknown)}: not offered; there are {', '.join(scorers)}")]
        )
    held_out = frozenset({HELD_OUT} & set(scorers) - set(weights))
    return Rules(frozenset(scorers), dict(weights), held_out)
