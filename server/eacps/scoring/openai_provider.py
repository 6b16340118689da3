"""Any OpenAI-compatible vision-language endpoint: hosted models, vLLM, SGLang, llama.cpp, Ollama, LM Studio.

A judge is asked for one word with log-probabilities first. If the endpoint gives none, it is asked for a graded answer
in JSON, by ``json_schema`` if the endpoint takes it. A model that thinks gets room for it. The client library does not
check answers: whatever is read here may be absent or of another type. Its own retries stay off, so that every call
passes the limiter.
"""

import math
from collections.abc import Collection, Mapping
from typing import Any

import openai
from openai.types.chat import ChatCompletionContentPartParam, ChatCompletionMessageParam

from eacps.errors import ScorerFailed
from eacps.scoring.answers import GRADE_KEY, Reply, Token
from eacps.scoring.endpoint_options import CallOptions, CallRefused, EndpointOptions, Option
from eacps.scoring.judge import DEFAULT_MAX_TOKENS, JudgeCall, JudgeCallFailed
from eacps.scoring.pictures import data_url
from eacps.scoring.retry_after import seconds_to_wait

_SHORT = 64
_REWARD = 512
_LIMITS = ("max_completion_tokens", "max_tokens", None)
_SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "name": "judgment",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {GRADE_KEY: {"type": "number"}},
            "required": [GRADE_KEY],
            "additionalProperties": False,
        },
    },
}
_AGAIN = (408, 409, 429)
_REFUSED = (400, 422, 501)
_REFUSED_IF_NAMED = 403
_REASONING = ("reasoning_content", "reasoning", "thinking")
"""Fields with a model's thoughts, as vLLM, SGLang, Ollama and others call them. They are no answer."""


class OpenAIProvider:
    """Asks one model at one endpoint.

    Args:
        client: The client library's own, with base URL, key and time-out set, and without retries.
        model: Name of the model at that endpoint.
        name: First part of the scorers' names.
        rates: Whether it is a reward model: it is asked for neither log-probabilities nor a schema.
        max_tokens: Most tokens of one answer of a model that thinks.
    """

    def __init__(
        self,
        client: openai.AsyncOpenAI,
        *,
        model: str,
        name: str = "openai",
        rates: bool = False,
        max_tokens: int = DEFAULT_MAX_TOKENS,
    ) -> None:
        self.name, self.model, self.takes_one_picture = name, model, False
        self._client = client
        ladders: dict[Option, tuple[Any, ...]] = {
            Option.TEMPERATURE: (0.0, None),
            Option.TOKEN_LIMIT: _LIMITS,
            Option.BUDGET: (_REWARD if rates else _SHORT, max_tokens),
        }
        if not rates:
            ladders[Option.LOGPROBS] = (20, 5, None)
            ladders[Option.SCHEMA] = (_SCHEMA, {"type": "json_object"}, None)
            ladders[Option.INSTRUCTION] = (True, None)
        self.options = EndpointOptions(ladders, _sent)

    async def call(self, asked: JudgeCall, options: CallOptions) -> Reply:
        """See `Provider.call`."""
        try:
            answer = await self._client.chat.completions.create(
                model=self.model, messages=_messages(asked, options), stream=False, **_parameters(options)
            )
        except openai.APIConnectionError as exc:
            raise JudgeCallFailed(f"{type(exc).__name__}, no answer", again=True) from exc
        except openai.APIStatusError as exc:
            raise _failure_of(exc, _sent(options)) from exc
        except (openai.OpenAIError, ValueError) as exc:  # how the library reports a body that is not JSON
            raise ScorerFailed("the answer cannot be read") from exc
        return reply_of(answer)


def _messages(asked: JudgeCall, options: CallOptions) -> list[ChatCompletionMessageParam]:
    shown: list[ChatCompletionContentPartParam] = [
        {"type": "image_url", "image_url": {"url": data_url(png)}} for png in asked.pngs
    ]
    if options[Option.INSTRUCTION]:
        user: ChatCompletionMessageParam = {
            "role": "user",
            "content": [*shown, {"type": "text", "text": asked.question}],
        }
        return [{"role": "system", "content": asked.instruction}, user]
    text = f"{asked.question} {asked.instruction}".strip()
    return [{"role": "user", "content": [*shown, {"type": "text", "text": text}]}]


def _sent(options: CallOptions) -> Collection[Option]:
    """Return the options that a call carries: a schema only where no log-probabilities are asked for."""
    plain = (Option.TEMPERATURE, Option.TOKEN_LIMIT, Option.LOGPROBS, Option.INSTRUCTION)
    sent = [one for one in plain if options[one] is not None]
    graded = options[Option.SCHEMA] is not None and options[Option.LOGPROBS] is None
    return [*sent, Option.SCHEMA] if graded else sent


def _parameters(options: CallOptions) -> dict[str, Any]:
    sent, parameters = _sent(options), dict[str, Any]()
    if Option.TEMPERATURE in sent:
        parameters["temperature"] = options[Option.TEMPERATURE]
    if Option.TOKEN_LIMIT in sent:
        parameters[options[Option.TOKEN_LIMIT]] = options[Option.BUDGET]
    if Option.LOGPROBS in sent:
        parameters |= {"logprobs": True, "top_logprobs": options[Option.LOGPROBS]}
    if Option.SCHEMA in sent:
        parameters["response_format"] = options[Option.SCHEMA]
    return parameters


def _failure_of(error: openai.APIStatusError, sent: Collection[Option]) -> CallRefused | JudgeCallFailed:
    status = error.status_code
    # Not the message in the reason: it may quote the request, or the key.
    reason, parameter = f"HTTP {status}", error.param if isinstance(error.param, str) else ""
    refused = CallRefused(reason, said=_words_of(error.body) or error.message, parameter=parameter)
    # OpenAI forbids log-probabilities with 403, and some servers fail with 500 on an option that they do not know.
    may_refuse = status == _REFUSED_IF_NAMED or status >= 500
    if status in _REFUSED or (may_refuse and refused.names(sent) is not None):
        return refused
    again = status in _AGAIN or status >= 500
    return JudgeCallFailed(reason, again=again, after_s=seconds_to_wait(error.response.headers))


def _words_of(body: object) -> str:
    """Return the message in an error's body, whatever its form."""
    if isinstance(body, str):
        return body
    if isinstance(body, Mapping):
        return " ".join(filter(None, (_words_of(value) for value in body.values())))
    if isinstance(body, list):
        return " ".join(filter(None, (_words_of(value) for value in body)))
    return ""


def reply_of(answer: object) -> Reply:
    """Read what was said from an answer.

    Args:
        answer: A ``ChatCompletion``, any part of which may be absent or of another type.

    Raises:
        ScorerFailed: The model refused, or there is no text.
    """
    choices = getattr(answer, "choices", None)
    if not isinstance(choices, list) or not choices:
        # The library hands a body of another content type through as a string.
        raise ScorerFailed("the answer carries no choice")
    message, ending = getattr(choices[0], "message", None), getattr(choices[0], "finish_reason", None)
    if getattr(message, "refusal", None) or ending == "content_filter":
        raise ScorerFailed("the model refused to answer")
    text = _text_of(getattr(message, "content", None))
    all_thoughts = not text and any(getattr(message, field, None) for field in _REASONING)
    truncated = ending == "length" or all_thoughts
    if text is None and not truncated:
        raise ScorerFailed("the answer carries no text")
    return Reply(text or "", truncated, _tokens_of(choices[0]))


def _text_of(content: object) -> str | None:
    """Return the answer's text; thoughts in parts or fields of their own are left out. None if there is no text."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") for part in parts if isinstance(part, Mapping) and part.get("type") == "text"]
    known = [text for text in texts if isinstance(text, str)]
    return "".join(known) if known else None


def _tokens_of(choice: object) -> list[Token] | None:
    """Return the tokens with their alternatives; None if the endpoint sent none."""
    content = getattr(getattr(choice, "logprobs", None), "content", None)
    if not isinstance(content, list) or not content:
        return None
    return [Token(_text_at(one), _alternatives_at(one)) for one in content]


def _text_at(token: object) -> str:
    text = getattr(token, "token", None)
    return text if isinstance(text, str) else ""


def _alternatives_at(token: object) -> list[tuple[str, float]]:
    alternatives = getattr(token, "top_logprobs", None)
    pairs = [
        (_text_at(one), getattr(one, "logprob", None))
        for one in (alternatives if isinstance(alternatives, list) else ())
    ]
    return [(text, float(p)) for text, p in pairs if isinstance(p, int | float) and not math.isnan(p)]
