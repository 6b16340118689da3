"""The OpenAI-compatible judge through its real client library, against a local server that speaks the wire format.

How such an endpoint is found out, refusal by refusal, is in `test_abilities`.
"""

import asyncio
import base64
import json
import logging
import math
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

import numpy as np
import openai
import pytest

from eacps.imaging import encode_png
from eacps.scoring import EditContext, MissingScore, PictureJudge, Question, Score, callers_question, load_question
from eacps.scoring.judge import GRADE_EDGE, RetryPolicy
from eacps.scoring.openai_provider import OpenAIProvider
from eacps.scoring.provider_limiter import ProviderLimiter
from tests.scoring.endpoint import Endpoint, Reply, listening, send

KEY = "sk-secret"
PROMPT = load_question("prompt")
PICTURES = {f"c{i}": np.full((32, 32, 3), i, np.uint8) for i in range(8)}
CONTEXT = EditContext(
    scene=np.zeros((32, 32, 3), np.uint8),
    prompt='make {her} "smile"',
    reference_embedding=np.zeros(512, np.float32),
    character=np.zeros((32, 32, 3), np.uint8),
    character_face=0,
    scene_box=(8.0, 8.0, 24.0, 24.0),
)


def completion(
    content: Any, alternatives: dict[str, float] | None = None, *, ending: str = "stop", **fields: Any
) -> bytes:
    """An answer of ``chat/completions``.

    Args:
        content: Of the message.
        alternatives: Words and their probabilities at its first token; None for an endpoint that gives none.
        ending: The reason for which it ended.
        fields: Further ones of the message, such as ``refusal``.
    """
    tokens = [{"token": t, "logprob": math.log(p), "bytes": None} for t, p in (alternatives or {}).items()]
    logprobs = {"content": [{**tokens[0], "top_logprobs": tokens}], "refusal": None} if tokens else None
    message = {"role": "assistant", "content": content, **fields}
    choice = {"index": 0, "finish_reason": ending, "message": message, "logprobs": logprobs}
    return json.dumps(
        {"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
    ).encode()


YES, NO = completion("Yes", {"Yes": 0.75, "No": 0.25}), completion("No", {"No": 0.75, "Yes": 0.25})


def url_of(picture: np.ndarray) -> str:
    return "data:image/png;base64," + base64.b64encode(encode_png(picture)).decode()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with listening(Endpoint(lambda handler, _: send(handler, 200, YES))) as opened:
        yield opened


@pytest.fixture
def base_url(endpoint: Endpoint) -> str:
    return f"{endpoint.url}/v1"


@asynccontextmanager
async def provider_at(base_url: str, *, timeout_s: float = 5.0, **options: Any) -> AsyncIterator[OpenAIProvider]:
    # No proxy of the environment stands between a test and its own server.
    http = openai.DefaultAsyncHttpx2Client(trust_env=False)
    async with openai.AsyncOpenAI(
        base_url=base_url, api_key=KEY, timeout=timeout_s, max_retries=0, http_client=http
    ) as client:
        yield OpenAIProvider(client, model="m", **options)


async def ask(
    base_url: str,
    pictures: int = 1,
    *,
    timeout_s: float = 5.0,
    attempts: int = 2,
    limiter: ProviderLimiter | None = None,
    question: Question = PROMPT,
) -> dict[str, Score]:
    async with provider_at(base_url, timeout_s=timeout_s) as provider:
        judge = PictureJudge(provider, question, limiter=limiter, retry_policy=RetryPolicy(attempts, first_s=0.01))
        chosen = dict(list(PICTURES.items())[:pictures])
        return dict(await judge.score(chosen, CONTEXT))


async def test_log_probabilities_grade_the_answer(endpoint: Endpoint, base_url: str) -> None:
    alternatives = {"Yes": 0.5, " yes": 0.1, "No": 0.2, "Maybe": 0.2}
    endpoint.reply = lambda handler, _: send(handler, 200, completion("Yes", alternatives))
    scores = await ask(base_url)
    assert scores == {"c0": pytest.approx(0.75)}


async def test_the_request_shows_the_picture_and_asks_about_the_prompt(endpoint: Endpoint, base_url: str) -> None:
    await ask(base_url)
    (body,) = endpoint.bodies
    picture, question = body["messages"][1]["content"]
    assert picture["image_url"]["url"].startswith("data:image/png;base64,iVBOR")
    assert 'make {her} "smile"' in question["text"]
    assert body["logprobs"] is True


async def test_a_question_about_the_edit_shows_scene_and_result(endpoint: Endpoint, base_url: str) -> None:
    await ask(base_url, pictures=2, question=load_question("prompt", 2), limiter=ProviderLimiter(1))
    scene, result, question = endpoint.bodies[1]["messages"][1]["content"]
    assert [part["image_url"]["url"] for part in (scene, result)] == [url_of(CONTEXT.scene), url_of(PICTURES["c1"])]
    assert "the second picture" in question["text"]


async def test_a_callers_question_is_put_as_it_is(endpoint: Endpoint, base_url: str) -> None:
    await ask(base_url, question=callers_question("no_hat", "Is {result}, made to {prompt}, without a hat?"))
    text = endpoint.bodies[0]["messages"][1]["content"][-1]["text"]
    assert text == 'Is the picture, made to make {her} "smile", without a hat?'


async def test_without_log_probabilities_a_graded_answer_is_asked_for(endpoint: Endpoint, base_url: str) -> None:
    endpoint.reply = lambda handler, n: send(
        handler, 200, completion("Yes" if n == 1 else '{"probability_of_yes": 0.7}')
    )
    assert await ask(base_url, pictures=2, limiter=ProviderLimiter(1)) == {"c0": 0.7, "c1": 0.7}
    word, *graded = endpoint.bodies
    assert word["logprobs"] is True
    assert "response_format" not in word
    for body in graded:
        assert "logprobs" not in body
        assert body["response_format"]["json_schema"]["strict"] is True
        assert "probability_of_yes" in body["messages"][0]["content"]


async def test_a_plain_word_counts_of_an_endpoint_that_says_nothing_else(endpoint: Endpoint, base_url: str) -> None:
    endpoint.reply = lambda handler, _: send(handler, 200, completion("Answer: No"))
    assert await ask(base_url) == {"c0": GRADE_EDGE}


async def test_log_probabilities_without_an_answer_among_them_do_not_grade(endpoint: Endpoint, base_url: str) -> None:
    endpoint.reply = lambda handler, _: send(handler, 200, completion("Yes", {"The": 0.9, "No": 0.001}))
    assert await ask(base_url) == {"c0": 1.0 - GRADE_EDGE}
    assert "logprobs" not in endpoint.bodies[-1]


async def test_one_odd_answer_does_not_change_how_an_endpoint_is_asked(endpoint: Endpoint, base_url: str) -> None:
    odd = completion("Yes", {"The": 0.9, "No": 0.001})
    grade = completion('{"probability_of_yes": 0.5}')
    endpoint.reply = lambda handler, n: send(handler, 200, {2: odd, 3: grade}.get(n, YES))
    assert await ask(base_url, pictures=3, limiter=ProviderLimiter(1)) == {
        "c0": pytest.approx(0.75),
        "c1": 0.5,
        "c2": pytest.approx(0.75),
    }
    assert ["logprobs" in body for body in endpoint.bodies] == [True, True, False, True]


async def test_many_calls_are_in_flight_within_the_limit(endpoint: Endpoint, base_url: str) -> None:
    def slow(handler: BaseHTTPRequestHandler, _: int) -> None:
        time.sleep(0.2)
        send(handler, 200, YES)

    endpoint.reply = slow
    assert await ask(base_url, pictures=8, limiter=ProviderLimiter(4)) == dict.fromkeys(PICTURES, pytest.approx(0.75))
    assert 2 <= endpoint.peak <= 4


async def test_scores_belong_to_their_pictures_whatever_the_order_of_answers(endpoint: Endpoint, base_url: str) -> None:
    # Which picture a call shows is told by its bytes; the first calls answer last.
    def reply(handler: BaseHTTPRequestHandler, number: int) -> None:
        time.sleep(0.05 * (8 - number))
        shown = endpoint.bodies[number - 1]["messages"][1]["content"][0]["image_url"]["url"]
        probability = 0.1 * (1 + urls.index(shown))
        send(handler, 200, completion("Yes", {"Yes": probability, "No": 1 - probability}))

    urls = [url_of(picture) for picture in PICTURES.values()]
    endpoint.reply = reply
    scores = await ask(base_url, pictures=8)
    assert scores == {f"c{i}": pytest.approx(0.1 * (1 + i)) for i in range(8)}


async def test_too_many_requests_are_retried_after_the_time_asked_for(endpoint: Endpoint, base_url: str) -> None:
    def busy_once(handler: BaseHTTPRequestHandler, number: int) -> None:
        if number == 1:
            send(handler, 429, b'{"error": {"message": "slow down"}}', retry_after="1")
        else:
            send(handler, 200, YES)

    endpoint.reply = busy_once
    started = time.monotonic()
    assert await ask(base_url) == {"c0": pytest.approx(0.75)}
    assert time.monotonic() - started >= 0.9
    assert len(endpoint.bodies) == 2


async def test_an_unreadable_answer_is_asked_for_again(endpoint: Endpoint, base_url: str) -> None:
    perhaps = completion("Perhaps", {"Perhaps": 1.0})
    endpoint.reply = lambda handler, n: send(handler, 200, perhaps if n == 1 else NO)
    assert await ask(base_url) == {"c0": pytest.approx(0.25)}
    assert len(endpoint.bodies) == 2


def body_of(choice: Any) -> bytes:
    return json.dumps({"choices": [choice]}).encode()


def ungraded(logprobs: Any) -> bytes:
    return body_of({"message": {"content": "No"}, "logprobs": logprobs})


ODD_LOGPROBS = [
    "many",
    {},
    {"content": "many"},
    {"content": [None]},
    {"content": [{"token": "No"}]},
    {"content": [{"token": "No", "top_logprobs": None}]},
    {"content": [{"token": "No", "top_logprobs": [None, {"token": None, "logprob": -0.1}]}]},
    {"content": [{"token": "No", "top_logprobs": [{"token": "Yes", "logprob": "-1"}]}]},
    {"content": [{"token": "No", "top_logprobs": [{"token": "Yes", "logprob": 1e9}]}]},
    {"content": [{"token": "No", "top_logprobs": [{"token": "Yes", "logprob": math.nan}]}]},
]


@pytest.mark.parametrize("logprobs", ODD_LOGPROBS)
async def test_log_probabilities_that_cannot_be_read_do_not_grade(
    endpoint: Endpoint, base_url: str, logprobs: Any
) -> None:
    endpoint.reply = lambda handler, _: send(handler, 200, ungraded(logprobs))
    assert await ask(base_url) == {"c0": GRADE_EDGE}


def answering(body: bytes) -> Reply:
    return lambda handler, _: send(handler, 200, body)


FAULTS: dict[str, tuple[Reply, str]] = {
    "server error": (lambda handler, _: send(handler, 500, b"{}"), "HTTP 500"),
    "bad key": (lambda handler, _: send(handler, 401, b'{"error": {"message": "sk-secret"}}'), "HTTP 401"),
    "refusal": (lambda handler, _: send(handler, 200, completion(None, refusal="I will not")), "refused"),
    "filtered": (lambda handler, _: send(handler, 200, completion("Yes", ending="content_filter")), "refused"),
    "nonsense": (lambda handler, _: send(handler, 200, completion("It is a lovely picture.")), "neither"),
    "empty": (lambda handler, _: send(handler, 200, completion("")), "empty"),
    "cut off": (lambda handler, _: send(handler, 200, completion("Yes", ending="length")), "cut off"),
    "thoughts in a field of their own": (answering(completion(None, reasoning_content="Yes")), "cut off"),
    "no choices": (lambda handler, _: send(handler, 200, b'{"choices": []}'), "no choice"),
    "choices are none": (answering(b'{"choices": null}'), "no choice"),
    "choices are an object": (answering(b'{"choices": {"message": "Yes"}}'), "no choice"),
    "no object": (answering(b'["Yes"]'), "no choice"),
    "null": (answering(b"null"), "no choice"),
    "choice is null": (answering(body_of(None)), "no text"),
    "no message": (answering(body_of({"index": 0})), "no text"),
    "message is null": (answering(body_of({"message": None})), "no text"),
    "message is text": (answering(body_of({"message": "Yes"})), "no text"),
    "no content": (answering(body_of({"message": {}})), "no text"),
    "content is a list": (answering(body_of({"message": {"content": [{"text": "Yes"}]}})), "no text"),
    "content is a number": (answering(body_of({"message": {"content": 1}})), "no text"),
    "truncated": (lambda handler, _: send(handler, 200, completion("Yes")[:40]), "cannot be read"),
    "a web page": (lambda handler, _: send(handler, 200, b"<html>", content_type="text/html"), "no choice"),
    "slow": (lambda handler, _: (time.sleep(1.0), send(handler, 200, completion("Yes")))[1], "APITimeoutError"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_failed_call_is_missing_with_its_reason(endpoint: Endpoint, base_url: str, fault: str) -> None:
    endpoint.reply, reason = FAULTS[fault]
    outcome = (await ask(base_url, timeout_s=0.4, attempts=1))["c0"]
    assert isinstance(outcome, MissingScore)
    assert reason in outcome.reason
    assert "secret" not in outcome.reason


@pytest.mark.parametrize("fault", ["server error", "bad key", "refusal", "truncated", "slow"])
async def test_the_key_is_in_no_log_line_and_no_reason(
    endpoint: Endpoint, base_url: str, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    caplog.set_level(logging.DEBUG)
    endpoint.reply, _ = FAULTS[fault]
    outcomes = await ask(base_url, timeout_s=0.4)
    assert endpoint.headers[0]["authorization"] == f"Bearer {KEY}"
    assert caplog.text, "the libraries log"
    assert KEY not in caplog.text + str(outcomes)


async def test_one_failed_call_leaves_the_others_alone(endpoint: Endpoint, base_url: str) -> None:
    endpoint.reply = lambda handler, n: send(handler, 403 if n == 3 else 200, YES)
    outcomes = await ask(base_url, pictures=8, limiter=ProviderLimiter(1))
    assert [isinstance(outcome, MissingScore) for outcome in outcomes.values()] == [i == 2 for i in range(8)]


async def test_an_endpoint_that_is_not_there_is_missing(unused_tcp_port: int) -> None:
    outcome = (await ask(f"http://127.0.0.1:{unused_tcp_port}/v1", attempts=1))["c0"]
    assert isinstance(outcome, MissingScore)
    assert "APIConnectionError" in outcome.reason


async def test_cancelling_the_score_cancels_its_calls(endpoint: Endpoint, base_url: str) -> None:
    endpoint.reply = lambda handler, _: (time.sleep(0.5), send(handler, 200, YES))[1]
    task = asyncio.create_task(ask(base_url, pictures=8, limiter=ProviderLimiter(2)))
    async with asyncio.timeout(10):
        while len(endpoint.bodies) < 3:
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0.5)
    assert len(endpoint.bodies) == 3, "the first alone, then two"
