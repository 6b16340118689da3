"""The scorers that a server offers."""

from contextlib import AsyncExitStack

import httpx2
import openai

from eacps.scoring import (
    HeldOutIdentityScorer,
    IdentityScorer,
    OpenAIJudge,
    PreservationScorer,
    Scorer,
    TritonJudge,
    load_question,
)
from eacps.scoring.gate import Gate
from eacps.scoring.moondream_judge import CLOUD as MOONDREAM_CLOUD
from eacps.scoring.moondream_judge import MoondreamJudge
from eacps.scoring.picture_judge import Patience
from eacps.scoring.remembered import RememberedScorer
from eacps.settings import GeminiSettings, MoondreamSettings, OpenAISettings, Settings
from eacps.triton import TritonGateway

QUESTIONS = ("realism", "prompt")


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
    return {scorer.name: RememberedScorer(scorer) for scorer in scorers}


def _by_openai(settings: OpenAISettings, stack: AsyncExitStack) -> list[Scorer]:
    client = openai.AsyncOpenAI(
        base_url=settings.base_url,
        api_key=settings.api_key,
        timeout=settings.timeout_s,
        max_retries=settings.max_retries,
    )
    stack.push_async_callback(client.close)
    gate = Gate(settings.in_flight, per_second=settings.per_second)
    return [
        OpenAIJudge(client, model=settings.model, question=load_question(question), gate=gate) for question in QUESTIONS
    ]


def _by_gemini(settings: GeminiSettings, stack: AsyncExitStack) -> list[Scorer]:
    # An extra of its own, and slow to import: only who has a key for it needs it.
    from google import genai
    from google.genai import types

    from eacps.scoring.gemini_judge import GeminiJudge

    options = types.HttpOptions(base_url=settings.base_url, timeout=round(1000 * settings.timeout_s))
    client = genai.Client(api_key=settings.api_key, http_options=options)
    stack.push_async_callback(client.aio.aclose)
    patience, gate = Patience(settings.attempts), Gate(settings.in_flight, per_second=settings.per_second)
    questions = (load_question("realism"), load_question("prompt", version=2))
    return [GeminiJudge(client, question, model=settings.model, gate=gate, patience=patience) for question in questions]


async def _by_moondream(settings: MoondreamSettings, stack: AsyncExitStack) -> list[Scorer]:
    client = await stack.enter_async_context(httpx2.AsyncClient(timeout=settings.timeout_s))
    gate = Gate(settings.in_flight, per_second=settings.per_second)
    return [
        MoondreamJudge(
            client,
            load_question(question),
            base_url=settings.base_url or MOONDREAM_CLOUD,
            api_key=settings.api_key,
            model=settings.model,
            gate=gate,
            patience=Patience(settings.attempts),
        )
        for question in QUESTIONS
    ]
