"""External judges, from settings."""

import importlib.util
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

import httpx2
import openai

from eacps.assembly.scorers import QUESTIONS
from eacps.errors import FieldViolation, InvalidRequest
from eacps.scoring import Judge, PictureJudge, Question, Scorer, load_question, load_rubric, operators_rubric
from eacps.scoring.judge import Provider, RetryPolicy
from eacps.scoring.moondream_provider import CLOUD as MOONDREAM_CLOUD
from eacps.scoring.moondream_provider import MoondreamProvider
from eacps.scoring.openai_provider import OpenAIProvider
from eacps.scoring.provider_limiter import ProviderLimiter
from eacps.scoring.score_cache import CachedScorer, ScoreCache
from eacps.settings import JudgeProvider, JudgeSettings, Settings

VERSION = 2
"""Of the questions to external judges: about artifacts, seams and lighting; with scene and result together."""


def check_judges(settings: Settings) -> None:
    """Check what judges need on this machine.

    Raises:
        InvalidRequest: Rubrics cannot be read, or a client library is not installed.
    """
    for judge in settings.judges:
        _rubrics_of(judge)
        if judge.provider is JudgeProvider.GEMINI and importlib.util.find_spec("google.genai") is None:
            raise InvalidRequest([FieldViolation("EACPS_GEMINI_MODEL", "needs the extra: pip install 'eacps[gemini]'")])


def external_judges(settings: Settings, stack: AsyncExitStack) -> "ExternalJudges":
    """Build the external judges; their scores are cached.

    Args:
        settings: Say which.
        stack: Closes their clients.

    Raises:
        InvalidRequest: The rubrics of a reward model cannot be read.
    """
    cache, judges, scorers = ScoreCache(), dict[str, Judge](), dict[str, Scorer]()
    for one in settings.judges:
        judge = _cached(_judge_of(one, _OPENED[one.provider](one, stack)), cache)
        if one.provider is JudgeProvider.REWARD:
            questions = _rubrics_of(one)
        else:
            judges[one.provider] = judge
            questions = [load_question(name, VERSION) for name in QUESTIONS]
        scorers |= {scorer.name: scorer for scorer in map(judge, questions)}
    return ExternalJudges(judges, scorers)


@dataclass(frozen=True)
class ExternalJudges:
    """Vision-language models external.

    Args:
        judges: Those who take questions of callers, by name. A reward model takes none.
        scorers: Those offered, by name.
    """

    judges: dict[str, Judge]
    scorers: dict[str, Scorer]


def _rubrics_of(settings: JudgeSettings) -> list[Question]:
    if settings.rubrics is None:
        return [load_rubric(name) for name in QUESTIONS]
    try:
        texts = {name: (settings.rubrics / f"{name}.txt").read_text(encoding="utf-8").strip() for name in QUESTIONS}
    except (OSError, UnicodeDecodeError) as exc:
        raise InvalidRequest([FieldViolation("EACPS_REWARD_RUBRICS", f"cannot be read: {exc}")]) from exc
    return [operators_rubric(name, text) for name, text in texts.items()]


def _cached(judge: Judge, cache: ScoreCache) -> Judge:
    return lambda question: CachedScorer(judge(question), question, cache)


def _judge_of(settings: JudgeSettings, provider: Provider) -> Judge:
    limiter = ProviderLimiter(settings.in_flight, per_second=settings.per_second)
    retry_policy = RetryPolicy(settings.attempts)
    return lambda question: PictureJudge(provider, question, limiter=limiter, retry_policy=retry_policy)


def _openai(settings: JudgeSettings, stack: AsyncExitStack) -> Provider:
    client = openai.AsyncOpenAI(
        base_url=settings.base_url, api_key=settings.api_key or "none", timeout=settings.timeout_s, max_retries=0
    )
    stack.push_async_callback(client.close)
    return OpenAIProvider(
        client,
        model=settings.model or "",
        name=settings.provider,
        rates=settings.provider is JudgeProvider.REWARD,
        max_tokens=settings.max_tokens,
    )


def _gemini(settings: JudgeSettings, stack: AsyncExitStack) -> Provider:
    # An extra of its own, and slow to import: only servers with a key for it need it.
    from google import genai
    from google.genai import types

    from eacps.scoring.gemini_provider import GeminiProvider

    options = types.HttpOptions(base_url=settings.base_url, timeout=round(1000 * settings.timeout_s))
    client = genai.Client(api_key=settings.api_key, http_options=options)
    stack.push_async_callback(client.aio.aclose)
    return GeminiProvider(client, model=settings.model or "", max_tokens=settings.max_tokens)


def _moondream(settings: JudgeSettings, stack: AsyncExitStack) -> Provider:
    client = httpx2.AsyncClient(timeout=settings.timeout_s)
    stack.push_async_callback(client.aclose)
    base_url = settings.base_url or MOONDREAM_CLOUD
    return MoondreamProvider(client, base_url=base_url, api_key=settings.api_key, model=settings.model)


_OPENED: Mapping[JudgeProvider, Callable[[JudgeSettings, AsyncExitStack], Provider]] = {
    JudgeProvider.OPENAI: _openai,
    JudgeProvider.REWARD: _openai,
    JudgeProvider.GEMINI: _gemini,
    JudgeProvider.MOONDREAM: _moondream,
}
