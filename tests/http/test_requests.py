"""What other clients than OpenAI's may send: wrong bodies, wrong places, pages of a browser."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from eacps.http import HttpLimits
from tests.http.conftest import CHARACTER, SCENE, SMALL, file_of, gateway_over

FORM = "multipart/form-data; boundary=X"


@pytest.fixture
async def http(keyed: tuple[str, str]) -> AsyncIterator[httpx2.AsyncClient]:
    limits = HttpLimits(max_body_bytes=100_000, body_timeout_s=1.0)
    headers = {"authorization": f"Bearer {keyed[1]}"}
    async with (
        gateway_over(keyed[0], limits=limits, local=True) as address,
        httpx2.AsyncClient(base_url=address, headers=headers, trust_env=False, timeout=20) as client,
    ):
        yield client


def error_of(answer: httpx2.Response) -> str:
    error = answer.json()["error"]
    assert set(error) <= {"message", "type", "param", "code", "eacps"}
    return str(error["code"])


@pytest.mark.parametrize(
    ("kind", "body", "status", "code"),
    [
        ("application/json", b"{}", 415, "unsupported_content_type"),
        ("", b"", 415, "unsupported_content_type"),
        ("multipart/form-data", b"--X\r\n", 400, "invalid_form"),
        (FORM, b"", 400, "missing_required_parameter"),
        (FORM, b"no parts at all", 400, "invalid_form"),
        (FORM, b"--X\r\nContent-Disposition: form-data\r\n\r\nx\r\n--X--\r\n", 400, "invalid_form"),
        (FORM, b'--X\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n--X--\r\n', 400, "unknown_parameter"),
        (FORM, b'--X\r\nContent-Disposition: form-data; name="image[]"\r\n\r\nx\r\n--X--\r\n', 400, "invalid_type"),
        (FORM, b'--X\r\nContent-Disposition: form-data; name="x"; filename="x"\r\n\r\nx\r\n--X--\r\n', 400, None),
        (FORM, b"--X\r\n" + b'Content-Disposition: form-data; name="n"\r\n\r\n1\r\n--X\r\n' * 2 + b"--X--", 400, None),
        (FORM, b'--X\r\nContent-Disposition: form-data; name="n"\r\n\r\n1\r\n--X\r\n' * 100, 400, "invalid_form"),
    ],
)
async def test_bodies_that_are_no_such_form(
    http: httpx2.AsyncClient, kind: str, body: bytes, status: int, code: str | None
) -> None:
    answer = await http.post("/v1/images/edits", content=body, headers={"content-type": kind} if kind else {})
    assert answer.status_code == status
    assert error_of(answer) == code or code is None


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_is_too_large_is_refused_in_words(http: httpx2.AsyncClient, chunked: bool) -> None:
    body = b'--X\r\nContent-Disposition: form-data; name="mask"; filename="m"\r\n\r\n' + b"x" * 250_000

    async def parts() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 10_000):
            yield body[start : start + 10_000]

    content: Any = parts() if chunked else body
    answer = await http.post("/v1/images/edits", content=content, headers={"content-type": FORM})
    assert (answer.status_code, error_of(answer)) == (413, "request_too_large")


async def test_a_field_that_is_too_large_is_refused(keyed: tuple[str, str]) -> None:
    async with gateway_over(keyed[0]) as address, httpx2.AsyncClient(base_url=address, trust_env=False) as client:
        answer = await client.post(
            "/v1/images/edits",
            files=[("image[]", file_of(SCENE))],
            data={"prompt": "x" * 2**21},
            headers={"authorization": f"Bearer {keyed[1]}"},
        )
    assert (answer.status_code, error_of(answer)) == (400, "invalid_form")


async def test_a_body_that_does_not_arrive_is_not_waited_for(http: httpx2.AsyncClient) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"--X\r\n"
        await asyncio.sleep(3)

    answer = await http.post("/v1/images/edits", content=parts(), headers={"content-type": FORM})
    assert (answer.status_code, error_of(answer)) == (408, "request_timeout")


async def test_pages_of_a_browser_may_not_call(http: httpx2.AsyncClient) -> None:
    files = [("image[]", file_of(SCENE)), ("image[]", file_of(CHARACTER))]
    fields = {"prompt": "x", "eacps": SMALL}
    for headers in ({"origin": "https://attacker.example"}, {"host": "attacker.example"}):
        answer = await http.post("/v1/images/edits", files=files, data=fields, headers=headers)
        assert answer.status_code == 403
        assert (await http.get("/v1/models", headers=headers)).status_code == 403


async def test_other_places_answer_in_the_same_form(http: httpx2.AsyncClient) -> None:
    assert error_of(await http.post("/v1/images/generations")) == "unknown_url"
    answer = await http.get("/v1/images/edits")
    assert (answer.status_code, error_of(answer)) == (405, "not_allowed")
    assert (await http.get("/health/live")).json() == {"status": "ok"}
    assert (await http.get("/health/ready")).status_code == 200
