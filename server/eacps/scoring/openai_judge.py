"""Any OpenAI-compatible vision-language endpoint as a judge: hosted models, vLLM, SGLang and their kin.

Every picture is one call, many calls are in flight. Where the endpoint offers log-probabilities, the score is
P(yes) / (P(yes) + P(no)) over the first token's alternatives, a graded answer; else a plain Yes is 1 and a plain No
is 0. Time-outs, retries with back-off and Retry-After are the client library's.
"""

import asyncio
import base64
import json
import math
from collections.abc import Mapping

import openai
from openai.types.chat import ChatCompletion
from openai.types.chat.chat_completion import Choice

from eacps.errors import ScorerFailed
from eacps.imaging import Picture, encode_png
from eacps.scoring.questions import Question
from eacps.scoring.scorer import EditContext, Missing, Outcome

_INSTRUCTION = "You inspect pictures. Answer with one word, Yes or No."
_TOP_LOGPROBS = 20
_MAX_ANSWER_TOKENS = 3
_MIN_ANSWER_MASS = 0.1
"""Below this share of probability on yes and no together, the first token was no answer and its ratio is noise."""


class OpenAIJudge:
    """Asks one question about every picture, one call a picture.

    Args:
        client: The client library's own, with base URL, key, time-out and number of retries set.
        model: Name of the model at that endpoint.
        question: What is asked.
        name: Name of the scorer; default ``openai.<question>``.
        in_flight: Most calls at once, shared by all searches that use this scorer.
        attempts: How often an answer that cannot be read is asked for, the first time included; at least 1.
        logprobs: Ask for log-probabilities; False for endpoints that reject the field.
    """

    def __init__(
        self,
        client: openai.AsyncOpenAI,
        *,
        model: str,
        question: Question,
        name: str | None = None,
        in_flight: int = 16,
        attempts: int = 2,
        logprobs: bool = True,
    ) -> None:
        if attempts < 1 or in_flight < 1:
            raise ValueError("attempts and in_flight must be at least 1")
        self.name = name or f"openai.{question.name}"
        self.question = question
        self._client = client
        self._model = model
        self._attempts = attempts
        self._logprobs = logprobs
        self._slots = asyncio.Semaphore(in_flight)

    async def score(self, pictures: Mapping[str, Picture], context: EditContext) -> Mapping[str, Outcome]:
        """See `Scorer.score`."""
        question = self.question.text(context.prompt)
        outcomes = await asyncio.gather(*(self._outcome(picture, question) for picture in pictures.values()))
        return dict(zip(pictures, outcomes, strict=True))

    async def _outcome(self, picture: Picture, question: str) -> Outcome:
        failure = Missing("not asked")
        for attempt in range(1, self._attempts + 1):
            try:
                async with self._slots:
                    return p_yes(await self._ask(picture, question))
            except ScorerFailed as exc:
                failure = Missing(f"{exc} ({attempt} of {self._attempts} attempts)")
            except (openai.OpenAIError, json.JSONDecodeError) as exc:
                # The library has retried already; JSONDecodeError is how it reports a body that is not JSON.
                return Missing(f"{type(exc).__name__} after {self._client.max_retries} retries, {_status_of(exc)}")
        return failure

    async def _ask(self, picture: Picture, question: str) -> ChatCompletion:
        url = "data:image/png;base64," + base64.b64encode(encode_png(picture)).decode()
        return await self._client.chat.completions.create(
            model=self._model,
            temperature=0.0,
            max_completion_tokens=_MAX_ANSWER_TOKENS,
            logprobs=True if self._logprobs else openai.omit,
            top_logprobs=_TOP_LOGPROBS if self._logprobs else openai.omit,
            messages=[
                {"role": "system", "content": _INSTRUCTION},
                {
                    "role": "user",
                    "content": [
                        {"type": "image_url", "image_url": {"url": url}},
                        {"type": "text", "text": question},
                    ],
                },
            ],
        )


def p_yes(answer: ChatCompletion) -> float:
    """Read P(yes) from an answer.

    Raises:
        ScorerFailed: The model refused, or said neither Yes nor No.
    """
    if not isinstance(answer, ChatCompletion) or not answer.choices:
        # The library hands a body of another content type through as a string.
        raise ScorerFailed("the answer carries no choice")
    choice = answer.choices[0]
    if choice.message.refusal:
        raise ScorerFailed("the model refused to answer")
    graded = _graded(choice)
    if graded is not None:
        return graded
    word = _word(choice.message.content or "")
    if word not in ("yes", "no"):
        raise ScorerFailed("the answer is neither Yes nor No")
    return 1.0 if word == "yes" else 0.0


def _graded(choice: Choice) -> float | None:
    """P(yes) from the first token's alternatives; None where the endpoint sent none that say yes or no."""
    if choice.logprobs is None or not choice.logprobs.content:
        return None
    mass = {"yes": 0.0, "no": 0.0}
    for token in choice.logprobs.content[0].top_logprobs:
        word = _word(token.token)
        if word in mass:
            mass[word] += math.exp(token.logprob)
    total = mass["yes"] + mass["no"]
    return mass["yes"] / total if total >= _MIN_ANSWER_MASS else None


def _word(text: str) -> str:
    return text.strip().strip(".!\"'").lower()


def _status_of(error: Exception) -> str:
    # Not str(error): a provider's message may quote the request.
    return f"HTTP {error.status_code}" if isinstance(error, openai.APIStatusError) else "no answer"
