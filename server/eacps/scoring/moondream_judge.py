"""Moondream as a judge: its HTTP interface, in the cloud or served locally (Moondream Station).

One ``POST /query`` a picture with ``image_url`` (a data URL), ``question`` and ``stream: false``; the answer is a
sentence under ``answer``. The interface grades nothing: Yes is 1, No is 0. It takes one picture: where the question is
about the edit, scene and result are put side by side, and the question says which is which. The `moondream` package is
not used: it waits without a time limit, and brings GPU kernels into a server that has no use for them.
"""

import asyncio
import json
from collections.abc import Sequence

import httpx2
import numpy as np

from eacps.errors import ScorerFailed
from eacps.imaging import Picture
from eacps.scoring.answers import data_url, yes_or_no
from eacps.scoring.gate import Gate
from eacps.scoring.picture_judge import DEFAULT_PATIENCE, CallFailed, Patience, PictureJudge, retry_after_s
from eacps.scoring.questions import Question
from eacps.scoring.scorer import EditContext

CLOUD = "https://api.moondream.ai/v1"
_KEY_HEADER = "X-Moondream-Auth"
_LEFT, _RIGHT = "the picture on the left", "the picture on the right"
_GUTTER = 16
_ONE_WORD = " Answer with one word, Yes or No."


class MoondreamJudge(PictureJudge):
    """Asks Moondream one question about every picture.

    Args:
        client: Its time-out bounds every call.
        question: What is asked; see `Question.shows_scene`.
        base_url: Of the interface.
        api_key: Of the cloud; empty for a local endpoint.
        model: Which of the endpoint's models; None leaves it to the endpoint.
        gate, patience: See `PictureJudge`.
    """

    def __init__(
        self,
        client: httpx2.AsyncClient,
        question: Question,
        *,
        base_url: str = CLOUD,
        api_key: str = "",
        model: str | None = None,
        gate: Gate | None = None,
        patience: Patience = DEFAULT_PATIENCE,
    ) -> None:
        super().__init__(
            question,
            name=f"moondream.{question.name}",
            identity=f"moondream:{model or 'default'}:{question.identity}",
            gate=gate,
            patience=patience,
        )
        self._client, self._url, self._model = client, f"{base_url.rstrip('/')}/query", model
        self._headers = {_KEY_HEADER: api_key} if api_key else {}

    async def _ask(self, picture: Picture, context: EditContext) -> float:
        shown = [context.scene, picture] if self.question.shows_scene else [picture]
        question = self.question.text(context.prompt, scene=_LEFT, result=_RIGHT)
        body = {
            "image_url": await asyncio.to_thread(lambda: data_url(side_by_side(shown))),
            "question": question + _ONE_WORD,
            "stream": False,
        }
        if self._model is not None:
            body["model"] = self._model
        try:
            response = await self._client.post(self._url, json=body, headers=self._headers)
        except httpx2.HTTPError as exc:
            raise CallFailed(f"{type(exc).__name__}, no answer", again=True) from exc
        if response.status_code != httpx2.codes.OK:
            again = response.status_code == httpx2.codes.TOO_MANY_REQUESTS or response.status_code >= 500
            after_s = retry_after_s(response.headers.get("retry-after"))
            raise CallFailed(f"HTTP {response.status_code}", again=again, after_s=after_s)
        return _read(response)


def side_by_side(pictures: Sequence[Picture]) -> Picture:
    """Put pictures into one, ``uint8 [H, W, 3]``, left to right with a white gutter between two.

    Args:
        pictures: At least one, all of the same height.
    """
    gutter = np.full((pictures[0].shape[0], _GUTTER, 3), 255, np.uint8)
    parts = [part for picture in pictures for part in (gutter, picture)]
    return np.concatenate(parts[1:], axis=1)


def _read(response: httpx2.Response) -> float:
    try:
        body = response.json()
    except (json.JSONDecodeError, UnicodeDecodeError) as exc:
        raise ScorerFailed("the answer is no JSON") from exc
    answer = body.get("answer") if isinstance(body, dict) else None
    if not isinstance(answer, str):
        raise ScorerFailed("the answer carries no text")
    return yes_or_no(answer)
