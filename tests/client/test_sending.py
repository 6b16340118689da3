"""Uploads that the server refuses while they are being sent fail with the server's own reason."""

from collections.abc import AsyncIterator
from dataclasses import replace

import grpc
import grpc.aio
import pytest

from eacps.api.admission import CallLimits
from eacps.client import CallFailed, Retries
from eacps.client.calls import Calls
from eacps.client.transfer import Transfer
from eacps.imaging import Limits
from tests.api.conftest import RULES, UNRATED, Serve, serve

__all__ = ["serve"]  # a fixture
ONCE = Retries(attempts=1)
TIMES = 40
"""Which of the server's status and the failed write comes first is a matter of chance."""


async def chunks() -> AsyncIterator[bytes]:
    for _ in range(64):
        yield b"x" * 256 * 1024


async def refusals(channel: grpc.aio.Channel) -> list[CallFailed]:
    """Upload what is refused, in chunks and as a whole, many times."""
    transfer = Transfer(Calls(channel, None, ONCE, 60.0))
    found = []
    for upload in (lambda: transfer.upload_chunks(chunks()), lambda: transfer.upload(bytes(16 * 2**20))):
        for _ in range(TIMES):
            with pytest.raises(CallFailed) as caught:
                await upload()
            found.append(caught.value)
    return found


async def test_what_is_too_large(serve: Serve) -> None:
    async with serve(admitted=UNRATED, rules=replace(RULES, uploads=Limits(max_bytes=300 * 1024))) as channel:
        errors = await refusals(channel)
    assert {(error.code, error.reason) for error in errors} == {
        (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_PICTURE"),
    }
    assert all("more than 307200 bytes" in error.message for error in errors)


async def test_what_comes_too_often(serve: Serve) -> None:
    async with serve(admitted=CallLimits(calls_per_second=1e-6)) as channel:
        _, *errors = await refusals(channel)
    assert {(error.code, error.reason) for error in errors} == {
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_CALLS"),
    }
    assert all(error.retry_after_s is not None for error in errors)
