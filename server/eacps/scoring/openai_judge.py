"""Any OpenAI-compatible vision-language endpoint as a judge: hosted models, vLLM, SGLang and their kin.

Every picture is one call, many calls are in flight; where the question is about the edit, scene and result are shown
together. Where the endpoint offers log-probabilities, the score is
P(yes) / (P(yes) + P(no)) over the first token's alternatives, a graded answer; else a plain Yes is 1 and a plain No
is 0. Time-outs, retries with back-off and Retry-After are the client library's. It does not check what answers hold:
whatever is read here may be absent or of another type.
"""

import asyncio
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import openai
from openai.types.chat import ChatCompletion, ChatCompletionContentPartParam

from eacps.errors import ScorerFailed
from eacps.imaging import Picture
from eacps.scoring.answers import data_url, first_word, yes_or_no
from eacps.scoring.gate import Gate, GateClosed
from eacps.scoring.questions import Question
from eacps.scoring.scorer import EditContext, Missing, Outcome

_UNANSWERED = (openai.APIConnectionError, openai.RateLimitError, openai.InternalServerError)
"""What the provider ails from, not the request."""
_INSTRUCTION = "You inspect pictures. Answer with one word, Yes or No."
_TOP_LOGPROBS = 20
_MAX_ANSWER_TOKENS = 3
_MIN_ANSWER_MASS = 0.1
"""Below this share of probability on yes and no together, the first token was no answer and its ratio is noise."""


@dataclass
class Grading:
    """Whether an endpoint is thought to give log-probabilities."""

    offered: bool = True


class OpenAIJudge:
    """Asks one question about every picture, one call a picture.

    Args:
        client: The client library's own, with base URL, key, time-out and number of retries set.
        model: Name of the model at that endpoint.
        question: What is asked; see `Question.shows_scene`.
        name: Name of the scorer; default ``openai.<question>``.
        gate: The provider's, shared by all scorers that ask it; by default one of its own.
        attempts: How often an answer that cannot be read is asked for, the first time included; at least 1.
        grading: What is known of the endpoint, likewise shared. One that rejects log-probabilities and the bound on
            tokens with HTTP 400 is asked without them from then on.
    """

    def __init__(
        self,
        client: openai.AsyncOpenAI,
        *,
        model: str,
        question: Question,
        name: str | None = None,
        gate: Gate | None = None,
        attempts: int = 2,
        grading: Grading | None = None,
    ) -> None:
        if attempts < 1:
            raise ValueError("attempts must be at least 1")
        self.name = name or f"openai.{question.name}"
        self.identity = f"openai:{model}:{question.identity}"
        self.stochastic, self.vlm_calls = True, 1  # hosted models differ from call to call even at temperature 0
        self.question = question
        self._client = client
        self._model = model
        self._attempts = attempts
        self._grading = grading or Grading()
        self._gate = gate or Gate()

    async def score(self, pictures: Mapping[str, Picture], context: EditContext) -> Mapping[str, Outcome]:
        """See `Scorer.score`."""
        async with asyncio.TaskGroup() as group:
            asked = {name: group.create_task(self._in_a_slot(one, context)) for name, one in pictures.items()}
        return {name: task.result() for name, task in asked.items()}

    async def _in_a_slot(self, picture: Picture, context: EditContext) -> Outcome:
        shown = [context.scene, picture] if self.question.shows_scene else [picture]
        try:
            async with self._gate.slot():  # around the encoding too: what waits for its turn shall not wait encoded
                urls = await asyncio.to_thread(lambda: [data_url(one) for one in shown])
                return await self._outcome(urls, self.question.text(context.prompt))
        except GateClosed as exc:
            return Missing(str(exc))
        except _UNANSWERED as exc:
            return Missing(f"{type(exc).__name__} after {self._client.max_retries} retries, {_status_of(exc)}")

    async def _outcome(self, urls: Sequence[str], question: str) -> Outcome:
        failure = Missing("not asked")
        for attempt in range(1, self._attempts + 1):
            try:
                return p_yes(await self._ask(urls, question))
            except ScorerFailed as exc:
                failure = Missing(f"{exc} ({attempt} of {self._attempts} attempts)")
            except _UNANSWERED:
                raise  # the library has retried already
            except (openai.OpenAIError, json.JSONDecodeError) as exc:
                # JSONDecodeError is how the library reports a body that is not JSON.
                return Missing(f"{type(exc).__name__} after {self._client.max_retries} retries, {_status_of(exc)}")
        return failure

    async def _ask(self, urls: Sequence[str], question: str) -> ChatCompletion:
        if not self._grading.offered:
            return await self._call(urls, question, logprobs=False)
        try:
            return await self._call(urls, question, logprobs=True)
        except openai.BadRequestError:
            answer = await self._call(urls, question, logprobs=False)
        self._grading.offered = False  # remembered only now: the picture may have been at fault
        return answer

    async def _call(self, urls: Sequence[str], question: str, *, logprobs: bool) -> ChatCompletion:
        shown: list[ChatCompletionContentPartParam] = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
        return await self._client.chat.completions.create(
            model=self._model,
            temperature=0.0,
            max_completion_tokens=_MAX_ANSWER_TOKENS if logprobs else openai.omit,
            logprobs=True if logprobs else openai.omit,
            top_logprobs=_TOP_LOGPROBS if logprobs else openai.omit,
            messages=[
                {"role": "system", "content": _INSTRUCTION},
                {"role": "user", "content": [*shown, {"type": "text", "text": question}]},
            ],
        )


def p_yes(answer: object) -> float:
    """Read P(yes) from an answer.

    Args:
        answer: A ``ChatCompletion``, any part of which may be absent or of another type.

    Raises:
        ScorerFailed: The model refused, or said neither Yes nor No, or nothing can be read.
    """
    choices = getattr(answer, "choices", None)
    if not isinstance(choices, list) or not choices:
        # The library hands a body of another content type through as a string.
        raise ScorerFailed("the answer carries no choice")
    message = getattr(choices[0], "message", None)
    if getattr(message, "refusal", None):
        raise ScorerFailed("the model refused to answer")
    graded = _graded(choices[0])
    if graded is not None:
        return graded
    content = getattr(message, "content", None)
    if not isinstance(content, str):
        raise ScorerFailed("the answer carries no text")
    return yes_or_no(content)


def _graded(choice: object) -> float | None:
    """P(yes) from the first token's alternatives; None where the endpoint sent none that say yes or no."""
    tokens = getattr(getattr(choice, "logprobs", None), "content", None)
    first = tokens[0] if isinstance(tokens, list) and tokens else None
    alternatives = getattr(first, "top_logprobs", None)
    mass = {"yes": 0.0, "no": 0.0}
    for token in alternatives if isinstance(alternatives, list) else ():
        text, logprob = getattr(token, "token", None), getattr(token, "logprob", None)
        if isinstance(text, str) and isinstance(logprob, int | float) and logprob <= 0.0 and first_word(text) in mass:
            mass[first_word(text)] += math.exp(logprob)
    total = mass["yes"] + mass["no"]
    return mass["yes"] / total if total >= _MIN_ANSWER_MASS else None


def _status_of(error: Exception) -> str:
    # Not str(error): a provider's message may quote the request.
    return f"HTTP {error.status_code}" if isinstance(error, openai.APIStatusError) else "no answer"
