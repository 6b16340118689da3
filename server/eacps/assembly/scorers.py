"""The scorers that a server offers, and the judges whom callers may ask questions of their own."""

from collections.abc import Mapping
from contextlib import AsyncExitStack

import httpx2
import openai

from eacps.scoring import (
    HeldOutIdentityScorer,
    IdentityScorer,
    Judge,
    OpenAIJudge,
    PreservationScorer,
    Scorer,
    TritonJudge,
    load_question,
)
from eacps.scoring.gate import Gate
from eacps.scoring.moondream_judge import CLOUD as MOONDREAM_CLOUD
from eacps.scoring.moondream_judge import MoondreamJudge
from eacps.scoring.openai_judge import Grading
from eacps.scoring.picture_judge import Patience
from eacps.scoring.remembered import Answers, RememberedScorer
from eacps.settings import GeminiSettings, MoondreamSettings, OpenAISettings, Settings
from eacps.triton import TritonGateway

QUESTIONS = ("realism", "prompt")
"""Of the judge in Triton, in their first versions: the miniature learned to answer those."""
OUTSIDE_VERSION = 2
"""Of the same questions to judges elsewhere: about artefacts, seams and lighting; with scene and result together."""


def build_scorers(gateway: TritonGateway, *, verifier: bool = False) -> dict[str, Scorer]:
    """Give every scorer that needs nothing but Triton, by name.

    Args:
        gateway: To it.
        verifier: Whether it serves a held-out verifier.
    """
    scorers: list[Scorer] = [IdentityScorer(gateway), PreservationScorer()]
    if verifier:
        scorers.append(HeldOutIdentityScorer(gateway))
    scorers += [TritonJudge(gateway, load_question(question), name=question) for question in QUESTIONS]
    return {scorer.name: scorer for scorer in scorers}


def triton_judge(gateway: TritonGateway) -> dict[str, Judge]:
    """Give the judge in Triton, by name."""
    return {"triton": lambda question: TritonJudge(gateway, question)}


async def outside_judges(settings: Settings, stack: AsyncExitStack) -> dict[str, Judge]:
    """Give the vision-language models elsewhere, by name; what they answer is remembered.

    Args:
        settings: Say which.
        stack: Closes their clients.
    """
    judges: dict[str, Judge] = {}
    if settings.openai is not None:
        judges["openai"] = _by_openai(settings.openai, stack)
    if settings.gemini is not None:
        judges["gemini"] = _by_gemini(settings.gemini, stack)
    if settings.moondream is not None:
        judges["moondream"] = await _by_moondream(settings.moondream, stack)
    answers = Answers()
    return {name: _remembering(judge, answers) for name, judge in judges.items()}


def outside_scorers(judges: Mapping[str, Judge]) -> dict[str, Scorer]:
    """Give the scorers that every one of these judges is offered as, by name."""
    questions = [load_question(question, OUTSIDE_VERSION) for question in QUESTIONS]
    scorers = [judge(question) for judge in judges.values() for question in questions]
    return {scorer.name: scorer for scorer in scorers}


def _remembering(judge: Judge, answers: Answers) -> Judge:
    return lambda question: RememberedScorer(judge(question), question, answers)


def _by_openai(settings: OpenAISettings, stack: AsyncExitStack) -> Judge:
    client = openai.AsyncOpenAI(
        base_url=settings.base_url,
        api_key=settings.api_key,
        timeout=settings.timeout_s,
        max_retries=settings.max_retries,
    )
    stack.push_async_callback(client.close)
    gate, grading = Gate(settings.in_flight, per_second=settings.per_second), Grading()
    return lambda question: OpenAIJudge(client, model=settings.model, question=question, gate=gate, grading=grading)


def _by_gemini(settings: GeminiSettings, stack: AsyncExitStack) -> Judge:
    # An extra of its own, and slow to import: only who has a key for it needs it.
    from google import genai
    from google.genai import types

    from eacps.scoring.gemini_judge import GeminiJudge

    options = types.HttpOptions(base_url=settings.base_url, timeout=round(1000 * settings.timeout_s))
    client = genai.Client(api_key=settings.api_key, http_options=options)
    stack.push_async_callback(client.aio.aclose)
    patience, gate = Patience(settings.attempts), Gate(settings.in_flight, per_second=settings.per_second)
    return lambda question: GeminiJudge(client, question, model=settings.model, gate=gate, patience=patience)


async def _by_moondream(settings: MoondreamSettings, stack: AsyncExitStack) -> Judge:
    client = await stack.enter_async_context(httpx2.AsyncClient(timeout=settings.timeout_s))
    gate, patience = Gate(settings.in_flight, per_second=settings.per_second), Patience(settings.attempts)
    return lambda question: MoondreamJudge(
        client,
        question,
        base_url=settings.base_url or MOONDREAM_CLOUD,
        api_key=settings.api_key,
        model=settings.model,
        gate=gate,
        patience=patience,
    )
