"""Gemini through Google's own client, with structured output: a graded answer as JSON of one field.

The client's own retries stay off: they do not heed the time that the service asks to wait.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import httpx2
from google import genai
from google.genai import errors, types

from eacps.errors import ScorerFailed
from eacps.scoring.answers import GRADE_KEY, Reply
from eacps.scoring.endpoint_options import CallOptions, CallRefused, EndpointOptions, Option
from eacps.scoring.judge import DEFAULT_MAX_TOKENS, JudgeCall, JudgeCallFailed
from eacps.scoring.retry_after import plain_seconds, seconds_to_wait

"""Models that think spend tokens before they answer."""
_SCHEMA = {"type": "OBJECT", "properties": {GRADE_KEY: {"type": "NUMBER"}}, "required": [GRADE_KEY]}
_AGAIN = (408, 429)
_REFUSED = 400
_DECLINED = ("SAFETY", "PROHIBITED_CONTENT", "BLOCKLIST", "SPII", "RECITATION", "IMAGE_SAFETY")


class GeminiProvider:
    """Asks one model of the service.

    Args:
        client: With key and time-out set, and without retries of its own.
        model: Name of the model.
        max_tokens: Most tokens of one answer, thoughts included.
    """

    def __init__(self, client: genai.Client, *, model: str, max_tokens: int = DEFAULT_MAX_TOKENS) -> None:
        self.name, self.model, self.takes_one_picture = "gemini", model, False
        self._client = client
        self.options = EndpointOptions(
            {
                Option.SCHEMA: (_SCHEMA, None),
                Option.TEMPERATURE: (0.0, None),
                Option.TOKEN_LIMIT: (True, None),
                Option.BUDGET: (max_tokens,),
                Option.INSTRUCTION: (True, None),
            },
            _sent,
        )

    async def call(self, asked: JudgeCall, options: CallOptions) -> Reply:
        """See `Provider.call`."""
        instructed = options[Option.INSTRUCTION] is not None
        question = asked.question if instructed else f"{asked.question} {asked.instruction}"
        contents: list[Any] = [types.Part.from_bytes(data=png, mime_type="image/png") for png in asked.pngs]
        contents.append(types.Part.from_text(text=question))
        config = _config(options, asked.instruction if instructed else None)
        try:
            answer = await self._client.aio.models.generate_content(model=self.model, contents=contents, config=config)
        except errors.APIError as exc:
            raise _failure_of(exc, options) from exc
        except httpx2.HTTPError as exc:
            raise JudgeCallFailed(f"{type(exc).__name__}, no answer", again=True) from exc
        except ValueError as exc:  # how the client reports a body that is not JSON, or of another form
            raise ScorerFailed("the answer cannot be read") from exc
        return _reply_of(answer)


def _sent(options: CallOptions) -> Collection[Option]:
    return [option for option in options.ladders if option is not Option.BUDGET and options[option] is not None]


def _config(options: CallOptions, instruction: str | None) -> types.GenerateContentConfig:
    schema = options[Option.SCHEMA]
    return types.GenerateContentConfig(
        system_instruction=instruction,
        temperature=options[Option.TEMPERATURE],
        max_output_tokens=None if options[Option.TOKEN_LIMIT] is None else options[Option.BUDGET],
        response_mime_type=None if schema is None else "application/json",
        response_schema=schema,
    )


def _failure_of(error: errors.APIError, options: CallOptions) -> CallRefused | JudgeCallFailed:
    refused = CallRefused(f"HTTP {error.code}", said=str(error.message or ""))
    # The service names what it refuses. A 400 that names nothing is about the key or the pictures.
    if error.code == _REFUSED and refused.names(_sent(options)) is not None:
        return refused
    again = error.code in _AGAIN or error.code >= 500
    return JudgeCallFailed(f"HTTP {error.code}", again=again, after_s=_asked_to_wait_s(error))


def _reply_of(answer: types.GenerateContentResponse) -> Reply:
    if answer.prompt_feedback is not None and answer.prompt_feedback.block_reason is not None:
        raise ScorerFailed(f"the request was blocked: {answer.prompt_feedback.block_reason.name}")
    ending = _ending_of(answer)
    texts = [part.text for part in _parts_of(answer) if part.text and not part.thought]
    if not texts or ending in _DECLINED:
        raise ScorerFailed(f"the model did not answer: {ending}")
    return Reply("".join(texts), truncated=ending == "MAX_TOKENS")


def _parts_of(answer: types.GenerateContentResponse) -> Iterator[types.Part]:
    for candidate in (answer.candidates or [])[:1]:
        if candidate.content is not None:
            yield from candidate.content.parts or ()


def _ending_of(answer: types.GenerateContentResponse) -> str:
    reason = answer.candidates[0].finish_reason if answer.candidates else None
    return "no candidate" if reason is None else reason.name


def _asked_to_wait_s(error: errors.APIError) -> float | None:
    """From the headers, or from google.rpc.RetryInfo in the body, such as ``"7.5s"``."""
    headers = getattr(error.response, "headers", None) or {}
    if (seconds := seconds_to_wait(headers)) is not None:
        return seconds
    body = error.details.get("error", {}) if isinstance(error.details, Mapping) else {}
    details = body.get("details") if isinstance(body, Mapping) else None
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, Mapping) and str(detail.get("@type", "")).endswith("google.rpc.RetryInfo"):
            return plain_seconds(str(detail.get("retryDelay", "")).removesuffix("s"))
    return None
