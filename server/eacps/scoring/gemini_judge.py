"""Gemini as a judge, through Google's own client, with structured output: a graded answer as JSON of one field.

Where the question is about the edit, scene and result are shown together. The client's own retries stay off: they do
not heed the time that the service asks to wait.
"""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx2
from google import genai
from google.genai import errors, types

from eacps.errors import ScorerFailed
from eacps.imaging import Picture, encode_png
from eacps.scoring.gate import Gate
from eacps.scoring.picture_judge import DEFAULT_PATIENCE, CallFailed, Patience, PictureJudge, retry_after_s
from eacps.scoring.questions import Question
from eacps.scoring.scorer import EditContext

_FIELD = "probability_of_yes"
_SCHEMA = {"type": "OBJECT", "properties": {_FIELD: {"type": "NUMBER"}}, "required": [_FIELD]}
_INSTRUCTION = (
    "You inspect edited pictures. Judge the question about them and answer with the probability, from 0 to 1, that an "
    "attentive person would answer it with yes."
)
_AGAIN = (408, 429)
_MAX_ANSWER_TOKENS = 1024  # models that think spend tokens before they answer


class GeminiJudge(PictureJudge):
    """Asks Gemini one question about every picture.

    Args:
        client: With key and time-out set, and without retries of its own.
        question: What is asked; see `Question.shows_scene`.
        model: Name of the model.
        gate, patience: See `PictureJudge`.
    """

    def __init__(
        self,
        client: genai.Client,
        question: Question,
        *,
        model: str,
        gate: Gate | None = None,
        patience: Patience = DEFAULT_PATIENCE,
    ) -> None:
        super().__init__(
            question,
            name=f"gemini.{question.name}",
            identity=f"gemini:{model}:{question.identity}",
            gate=gate,
            patience=patience,
        )
        self._client, self._model = client, model
        self._config = types.GenerateContentConfig(
            system_instruction=_INSTRUCTION,
            temperature=0.0,
            max_output_tokens=_MAX_ANSWER_TOKENS,
            response_mime_type="application/json",
            response_schema=_SCHEMA,
        )

    async def _ask(self, picture: Picture, context: EditContext) -> float:
        shown = [context.scene, picture] if self.question.shows_scene else [picture]
        encoded = await asyncio.to_thread(lambda: [encode_png(one) for one in shown])
        contents: list[Any] = [types.Part.from_bytes(data=png, mime_type="image/png") for png in encoded]
        contents.append(types.Part.from_text(text=self.question.text(context.prompt)))
        try:
            answer = await self._client.aio.models.generate_content(
                model=self._model, contents=contents, config=self._config
            )
        except errors.APIError as exc:
            again = exc.code in _AGAIN or exc.code >= 500
            raise CallFailed(f"HTTP {exc.code}", again=again, after_s=_asked_to_wait_s(exc)) from exc
        except httpx2.HTTPError as exc:
            raise CallFailed(f"{type(exc).__name__}, no answer", again=True) from exc
        except ValueError as exc:  # how the client reports a body that is not JSON, or of another form
            raise ScorerFailed("the answer cannot be read") from exc
        return probability_of(_text_of(answer))


def probability_of(text: str) -> float:
    """Read the graded answer.

    Raises:
        ScorerFailed: It is not the JSON that was asked for.
    """
    try:
        data = json.loads(text)
    except json.JSONDecodeError as exc:
        raise ScorerFailed("the answer is no JSON") from exc
    value = data.get(_FIELD) if isinstance(data, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value <= 1.0:
        raise ScorerFailed(f"the answer carries no {_FIELD} in [0, 1]")
    return float(value)


def _text_of(answer: types.GenerateContentResponse) -> str:
    if answer.prompt_feedback is not None and answer.prompt_feedback.block_reason is not None:
        raise ScorerFailed(f"the request was blocked: {answer.prompt_feedback.block_reason.name}")
    texts = [part.text for part in _parts_of(answer) if part.text and not part.thought]
    if not texts:
        raise ScorerFailed(f"the model did not answer: {_ending_of(answer)}")
    return "".join(texts)


def _parts_of(answer: types.GenerateContentResponse) -> Iterator[types.Part]:
    for candidate in (answer.candidates or [])[:1]:
        if candidate.content is not None:
            yield from candidate.content.parts or ()


def _ending_of(answer: types.GenerateContentResponse) -> str:
    reason = answer.candidates[0].finish_reason if answer.candidates else None
    return "no candidate" if reason is None else reason.name


def _asked_to_wait_s(error: errors.APIError) -> float | None:
    """From the Retry-After header, or from google.rpc.RetryInfo in the body, such as ``"7.5s"``."""
    headers = getattr(error.response, "headers", None) or {}
    if (seconds := retry_after_s(headers.get("retry-after"))) is not None:
        return seconds
    body = error.details.get("error", {}) if isinstance(error.details, dict) else {}
    details = body.get("details") if isinstance(body, dict) else None
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict) and str(detail.get("@type", "")).endswith("google.rpc.RetryInfo"):
            return retry_after_s(str(detail.get("retryDelay", "")).removesuffix("s"))
    return None
