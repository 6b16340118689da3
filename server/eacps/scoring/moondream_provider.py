"""Moondream over its HTTP interface, in the cloud or served locally (Moondream Station).

One ``POST /query`` a picture with ``image_url`` (a data URL), ``question`` and ``stream: false``; the answer is a
sentence under ``answer``. The interface has no other options and takes one picture. The `moondream` package is not
used: it waits without a time limit, and brings GPU kernels into a server that has no use for them.
"""

import json

import httpx2

from eacps.errors import ScorerFailed
from eacps.scoring.answers import Reply
from eacps.scoring.endpoint_options import CallOptions, EndpointOptions
from eacps.scoring.judge import JudgeCall, JudgeCallFailed
from eacps.scoring.pictures import data_url
from eacps.scoring.retry_after import seconds_to_wait

CLOUD = "https://api.moondream.ai/v1"
_KEY_HEADER = "X-Moondream-Auth"


class MoondreamProvider:
    """Asks one model at one endpoint.

    Args:
        client: Its time-out bounds every call.
        base_url: Of the interface.
        api_key: Of the cloud; empty for a local endpoint.
        model: Which of the endpoint's models; None leaves it to the endpoint.
    """

    def __init__(
        self, client: httpx2.AsyncClient, *, base_url: str = CLOUD, api_key: str = "", model: str | None = None
    ) -> None:
        self.name, self.model, self.takes_one_picture = "moondream", model or "default", True
        self.options = EndpointOptions({})
        self._client, self._url, self._asked_model = client, f"{base_url.rstrip('/')}/query", model
        self._headers = {_KEY_HEADER: api_key} if api_key else {}

    async def call(self, asked: JudgeCall, options: CallOptions) -> Reply:  # noqa: ARG002 - it has no options
        """See `Provider.call`."""
        question = f"{asked.question} {asked.instruction}"
        body = {"image_url": data_url(asked.pngs[0]), "question": question, "stream": False}
        if self._asked_model is not None:
            body["model"] = self._asked_model
        try:
            response = await self._client.post(self._url, json=body, headers=self._headers)
        except httpx2.HTTPError as exc:
            raise JudgeCallFailed(f"{type(exc).__name__}, no answer", again=True) from exc
        if response.status_code != httpx2.codes.OK:
            again = response.status_code == httpx2.codes.TOO_MANY_REQUESTS or response.status_code >= 500
            after_s = seconds_to_wait(response.headers)
            raise JudgeCallFailed(f"HTTP {response.status_code}", again=again, after_s=after_s)
        return _reply_of(response)


def _reply_of(response: httpx2.Response) -> Reply:
    try:
        body = response.json()
    except (json.JSONDecodeError, UnicodeDecodeError) as exc:
        raise ScorerFailed("the answer is no JSON") from exc
    answer = body.get("answer") if isinstance(body, dict) else None
    if not isinstance(answer, str):
        raise ScorerFailed("the answer carries no text")
    return Reply(answer)
