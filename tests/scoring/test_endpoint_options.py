"""How a judge finds out what an OpenAI-compatible endpoint accepts and gives, and remembers it.

The refusals are bodies that the named servers were seen to send, in their own words where these matter.
"""

import asyncio
import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from eacps.scoring import MissingScore, PictureJudge, callers_question
from eacps.scoring.judge import RetryPolicy
from eacps.scoring.provider_limiter import CircuitBreaker, CircuitState, ProviderLimiter
from tests.scoring.endpoint import Endpoint, listening, send
from tests.scoring.test_openai_provider import CONTEXT, PICTURES, PROMPT, YES, completion, provider_at

GRADE = completion('{"probability_of_yes": 0.5}')
LIMITS = ("max_completion_tokens", "max_tokens")


def openai_error(message: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}


def vllm_error(message: str) -> dict[str, Any]:
    return {"object": "error", "message": message, "type": "BadRequestError", "param": None, "code": 400}


def extra_forbidden(name: str) -> str:
    return f"[{{'type': 'extra_forbidden', 'loc': ('body', '{name}'), 'msg': 'Extra inputs are not permitted'}}]"


REFUSALS: dict[str, tuple[str, int, Any]] = {
    # parameter that is refused, status, body
    "OpenAI, o-series and GPT-5, a value": (
        "temperature",
        400,
        openai_error(
            "Unsupported value: 'temperature' does not support 0.0 with this model. Only the default (1) value is "
            "supported.",
            "temperature",
            "unsupported_value",
        ),
    ),
    "OpenAI, o3-mini": (
        "temperature",
        400,
        openai_error(
            "Unsupported parameter: 'temperature' is not supported with this model.",
            "temperature",
            "unsupported_parameter",
        ),
    ),
    "OpenAI, o1, log-probabilities": (
        "logprobs",
        403,
        openai_error("You are not allowed to request logprobs from this model"),
    ),
    "Azure": ("logprobs", 400, openai_error("This model does not support the following parameters: logprobs")),
    "Groq": ("logprobs", 400, openai_error("`logprobs` is not supported with this model")),
    "LiteLLM": (
        "logprobs",
        400,
        openai_error(
            "litellm.UnsupportedParamsError: ollama_chat does not support parameters: ['logprobs'], for model=x. To "
            "drop these, set `litellm.drop_params=True`. Supported: temperature, max_tokens"
        ),
    ),
    "vLLM on Gaudi": (
        "logprobs",
        400,
        {"error": vllm_error("Gaudi doesn't support logprobs. Please remove 'logprobs'/'top_logprobs'.")},
    ),
    "a proxy of Gemini": (
        "logprobs",
        400,
        [{"error": {"code": 400, "message": 'Unknown name "logprobs": Cannot find field.', "status": "X"}}],
    ),
    "vLLM, old": ("max_completion_tokens", 400, vllm_error(extra_forbidden("max_completion_tokens"))),
    "Mistral": (
        "max_completion_tokens",
        422,
        {
            "object": "error",
            "message": {
                "detail": [
                    {
                        "type": "extra_forbidden",
                        "loc": ["body", "max_completion_tokens"],
                        "msg": "Extra inputs are not permitted",
                        "input": 64,
                    }
                ]
            },
            "type": "invalid_request_error",
            "param": None,
            "code": None,
        },
    ),
    "FastAPI": (
        "temperature",
        422,
        {"detail": [{"type": "extra_forbidden", "loc": ["body", "temperature"], "msg": "Extra inputs", "input": 0.0}]},
    ),
    "Ollama, old": (
        "response_format",
        400,
        {"error": "json: cannot unmarshal object into Go struct field ChatCompletionRequest.response_format"},
    ),
    "llama.cpp, old": (
        "logprobs",
        500,
        {"error": {"code": 500, "message": '"logprobs" requires "n_probs"', "type": "server_error"}},
    ),
    "plain text": ("temperature", 400, "temperature must not be given"),
    "nothing said": ("temperature", 400, {}),
    "nothing said, of a schema": ("response_format", 400, {"error": {}}),
    "a web page": ("logprobs", 400, "<html><body>Bad Request</body></html>"),
}


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with listening(Endpoint(lambda handler, _: send(handler, 200, YES))) as opened:
        yield opened


Refuses = Callable[[dict[str, Any]], tuple[int, Any] | None]


def choosy(endpoint: Endpoint, refuses: Refuses, *, gives_logprobs: bool = True) -> None:
    """Make an endpoint that refuses some calls, and answers all others in the form that was asked for."""

    def reply(handler: BaseHTTPRequestHandler, number: int) -> None:
        body = endpoint.bodies[number - 1]
        refusal = refuses(body)
        if refusal is not None:
            status, said = refusal
            send(handler, status, said.encode() if isinstance(said, str) else json.dumps(said).encode())
        else:
            send(handler, 200, YES if gives_logprobs and "logprobs" in body else GRADE)

    endpoint.reply = reply


async def judged(
    endpoint: Endpoint, pictures: int = 3, *, limiter: ProviderLimiter | None = None, **options: Any
) -> list[Any]:
    async with provider_at(f"{endpoint.url}/v1", **options) as provider:
        judge = PictureJudge(
            provider, PROMPT, limiter=limiter or ProviderLimiter(1), retry_policy=RetryPolicy(2, first_s=0.01)
        )
        chosen = dict(list(PICTURES.items())[:pictures])
        return list((await judge.score(chosen, CONTEXT)).values())


@pytest.mark.parametrize("server", REFUSALS)
async def test_what_an_endpoint_refuses_is_left_out_from_then_on(endpoint: Endpoint, server: str) -> None:
    parameter, status, body = REFUSALS[server]
    graded = parameter in ("logprobs", "response_format")
    choosy(endpoint, lambda sent: (status, body) if parameter in sent else None, gives_logprobs=not graded)
    scores = await judged(endpoint)
    assert all(isinstance(score, float) for score in scores)
    assert len(set(scores)) == 1
    refused = [parameter in sent for sent in endpoint.bodies]
    assert not any(refused[-2:]), "every further picture is one call without it"
    assert len(endpoint.bodies) <= 3 + 5


EXPLAINED = [name for name in REFUSALS if not name.startswith("nothing") and name != "a web page"]


@pytest.mark.parametrize("server", EXPLAINED)
async def test_a_refusal_that_is_explained_costs_only_what_it_names(endpoint: Endpoint, server: str) -> None:
    parameter, status, body = REFUSALS[server]
    graded = parameter in ("logprobs", "response_format")
    choosy(endpoint, lambda sent: (status, body) if parameter in sent else None, gives_logprobs=not graded)
    await judged(endpoint)
    last = endpoint.bodies[-1]
    assert ("temperature" in last) == (parameter != "temperature")
    assert any(limit in last for limit in LIMITS)
    assert ("logprobs" in last) == (not graded)
    assert ("response_format" in last) == (parameter == "logprobs")


async def test_fewer_alternatives_are_asked_for_before_none(endpoint: Endpoint) -> None:
    too_many = vllm_error("Cannot request more than 5 logprobs.")  # EleutherAI/lm-evaluation-harness, issue 1735
    choosy(endpoint, lambda sent: (400, too_many) if sent.get("top_logprobs", 0) > 5 else None)
    assert await judged(endpoint) == [pytest.approx(0.75)] * 3
    assert [sent["top_logprobs"] for sent in endpoint.bodies] == [20, 5, 5, 5]


async def test_a_limit_goes_by_its_other_name_before_by_none(endpoint: Endpoint) -> None:
    choosy(endpoint, lambda sent: (400, vllm_error(extra_forbidden(LIMITS[0]))) if LIMITS[0] in sent else None)
    await judged(endpoint)
    assert "max_tokens" in endpoint.bodies[-1]
    endpoint.bodies.clear()
    neither = openai_error("Unsupported parameter: 'max_tokens' is not supported", "max_tokens")
    choosy(endpoint, lambda sent: (400, neither) if any(limit in sent for limit in LIMITS) else None)
    assert await judged(endpoint) == [pytest.approx(0.75)] * 3
    assert not any(limit in endpoint.bodies[-1] for limit in LIMITS)


async def test_everything_may_be_refused(endpoint: Endpoint) -> None:
    optional = ("temperature", *LIMITS, "logprobs", "top_logprobs", "response_format")

    def refuses(sent: dict[str, Any]) -> tuple[int, Any] | None:
        found = [name for name in optional if name in sent]
        if any(message["role"] == "system" for message in sent["messages"]):
            return 400, openai_error("'messages[0].role' does not support 'system' with this model", "messages[0].role")
        return (400, openai_error(f"Unrecognized request argument supplied: {found[0]}")) if found else None

    choosy(endpoint, refuses)
    assert await judged(endpoint) == [0.5] * 3
    assert set(endpoint.bodies[-1]) == {"model", "messages", "stream"}
    (message,) = endpoint.bodies[-1]["messages"]
    assert "probability_of_yes" in message["content"][-1]["text"]
    assert len(endpoint.bodies) <= 3 + 10


async def test_calls_at_once_find_it_out_once(endpoint: Endpoint) -> None:
    refusal = openai_error("Unsupported value: 'temperature'", "temperature")
    choosy(endpoint, lambda sent: (400, refusal) if "temperature" in sent else None)
    assert len(await judged(endpoint, 8, limiter=ProviderLimiter(8))) == 8
    assert len(endpoint.bodies) == 9
    assert ["temperature" in sent for sent in endpoint.bodies].count(True) == 1


async def test_scorers_of_one_endpoint_share_what_is_known(endpoint: Endpoint) -> None:
    refusal = openai_error("Unsupported value: 'temperature'", "temperature")
    choosy(endpoint, lambda sent: (400, refusal) if "temperature" in sent else None)
    async with provider_at(f"{endpoint.url}/v1") as provider:
        for text in ("Is it?", "Is it so?"):
            judge = PictureJudge(provider, callers_question("it", text))
            assert await judge.score({"c0": PICTURES["c0"]}, CONTEXT) == {"c0": pytest.approx(0.75)}
    assert ["temperature" in sent for sent in endpoint.bodies] == [True, False, False]


async def test_a_picture_that_is_refused_changes_nothing(endpoint: Endpoint) -> None:
    """What an endpoint accepted before cannot be at fault, and what it never accepted is not remembered as refused."""
    endpoint.reply = lambda handler, n: send(handler, 400 if n == 2 else 200, b"{}" if n == 2 else YES)
    first, second, third = await judged(endpoint)
    assert second == MissingScore("HTTP 400 (1 of 2 attempts)")
    assert first == third == pytest.approx(0.75)
    assert ["logprobs" in sent for sent in endpoint.bodies] == [True, True, True]
    endpoint.bodies.clear()
    endpoint.reply = lambda handler, n: send(handler, 400 if n <= 6 else 200, b"{}" if n <= 6 else YES)
    first, second, third = await judged(endpoint)
    assert isinstance(first, MissingScore)
    assert second == third == pytest.approx(0.75)
    assert [len(sent) for sent in endpoint.bodies][-1] == len(endpoint.bodies[0])


@pytest.mark.parametrize("status", [401, 404, 413])
async def test_other_failures_are_no_refusals(endpoint: Endpoint, status: int) -> None:
    body = json.dumps(openai_error("the model temperature-7b does not exist")).encode()
    endpoint.reply = lambda handler, _: send(handler, status, body)
    assert await judged(endpoint, 1) == [MissingScore(f"HTTP {status} (1 of 2 attempts)")]
    assert len(endpoint.bodies) == 1


async def test_a_refusal_is_an_answer_to_the_circuit_breaker_and_an_outage_is_none(endpoint: Endpoint) -> None:
    breaker = CircuitBreaker(failures=3, pause_s=60.0)
    endpoint.reply = lambda handler, _: send(handler, 400, b"{}")
    await judged(endpoint, 8, limiter=ProviderLimiter(1, breaker=breaker))
    assert breaker.state is CircuitState.CLOSED
    endpoint.reply = lambda handler, _: send(handler, 503, b"{}")
    outcomes = await judged(endpoint, 8, limiter=ProviderLimiter(1, breaker=breaker))
    assert breaker.state is CircuitState.OPEN
    assert outcomes[-1] == MissingScore("not asked: its last calls have all failed")


async def test_every_call_passes_the_limit_on_calls_a_second(endpoint: Endpoint) -> None:
    choosy(
        endpoint, lambda sent: (400, openai_error("no temperature", "temperature")) if "temperature" in sent else None
    )
    started = asyncio.get_running_loop().time()
    await judged(endpoint, 2, limiter=ProviderLimiter(4, per_second=10.0))
    assert len(endpoint.bodies) == 3
    assert asyncio.get_running_loop().time() - started >= 0.19


class TestThinking:
    """Models that think before they answer."""

    async def test_one_that_was_cut_off_gets_room_for_it(self, endpoint: Endpoint) -> None:
        def reply(handler: BaseHTTPRequestHandler, number: int) -> None:
            room = endpoint.bodies[number - 1]["max_completion_tokens"]
            cut = completion("", ending="length", reasoning_content="The skin looks even, but")
            send(handler, 200, cut if room < 5000 else GRADE)

        endpoint.reply = reply
        assert await judged(endpoint) == [0.5] * 3
        assert [sent["max_completion_tokens"] for sent in endpoint.bodies] == [64, *[16_384] * 4]

    @pytest.mark.parametrize(
        "cut",
        [
            completion("<think>The skin looks even, but", ending="length"),
            completion("<think>The skin looks even, but yes"),  # a server that does not say why it ended
            completion(None, reasoning="The skin"),
            completion("", reasoning_content="Yes"),
            completion('{"probability_of', ending="length"),
        ],
    )
    async def test_however_it_shows(self, endpoint: Endpoint, cut: bytes) -> None:
        endpoint.reply = lambda handler, n: send(handler, 200, cut if n == 1 else GRADE)
        assert await judged(endpoint, 1, max_tokens=9000) == [0.5]
        assert endpoint.bodies[1]["max_completion_tokens"] == 9000

    async def test_room_that_an_endpoint_has_not_is_left_to_it(self, endpoint: Endpoint) -> None:
        too_much = openai_error(
            "This model's maximum context length is 8192 tokens. However, you requested 17384 tokens (1000 in the "
            "messages, 16384 in the completion)."
        )

        def refuses(sent: dict[str, Any]) -> tuple[int, Any] | None:
            return (400, too_much) if any(sent.get(limit, 0) > 8000 for limit in LIMITS) else None

        choosy(endpoint, refuses, gives_logprobs=False)
        answer = endpoint.reply

        def reply(handler: BaseHTTPRequestHandler, number: int) -> None:
            if any(endpoint.bodies[number - 1].get(limit) == 64 for limit in LIMITS):
                send(handler, 200, completion("<think>", ending="length"))
            else:
                answer(handler, number)

        endpoint.reply = reply
        assert await judged(endpoint) == [0.5] * 3

    async def test_a_limit_that_is_called_too_low_is_raised(self, endpoint: Endpoint) -> None:
        too_low = openai_error(
            "Could not finish the message because max_tokens or model output limit was reached. Please try again with "
            "higher max_tokens."
        )
        choosy(endpoint, lambda sent: (400, too_low) if sent.get("max_completion_tokens", 0) < 1000 else None)
        assert await judged(endpoint) == [pytest.approx(0.75)] * 3
        assert endpoint.bodies[-1]["max_completion_tokens"] == 16_384

    async def test_thoughts_in_parts_and_fields_are_not_the_answer(self, endpoint: Endpoint) -> None:
        thought = {"type": "thinking", "thinking": [{"type": "text", "text": "0.1 or no"}]}
        parts = [thought, {"type": "text", "text": '{"probability_of_yes": 0.9}'}]  # Magistral's form
        answer = completion(parts, reasoning_content="No, it is not", reasoning="0.2")
        endpoint.reply = lambda handler, _: send(handler, 200, answer)
        assert await judged(endpoint, 1) == [0.9]

    async def test_one_that_never_ends_has_no_score(self, endpoint: Endpoint) -> None:
        endpoint.reply = lambda handler, _: send(handler, 200, completion("<think>Hm", ending="length"))
        (outcome,) = await judged(endpoint, 1)
        assert outcome == MissingScore("the answer was cut off (2 of 2 attempts)")
