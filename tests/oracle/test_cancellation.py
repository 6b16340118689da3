"""Whoever stops waiting stops the sampler at its next step."""

import asyncio
import re
import time
from pathlib import Path

import pytest

from eacps.errors import DeadlineExceeded
from eacps.triton.embedded import EmbeddedTriton
from eacps.triton.gateway import TritonGateway
from tests.oracle.test_pictures import request

LONG = 600
CANCELLED = re.compile(rf"sampler: cancelled at step (\d+) of {LONG}")


async def _step_reached(log_file: Path, seen: int) -> int:
    """Wait for one more cancellation in Triton's log than ``seen``, and give its step."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        steps = CANCELLED.findall(log_file.read_text(encoding="utf-8", errors="replace"))
        if len(steps) > seen:
            return int(steps[-1])
        await asyncio.sleep(0.1)
    pytest.fail("Triton's log tells of no cancellation")


async def test_a_cancelled_call_ends_within_the_schedule(triton: EmbeddedTriton, gateway: TritonGateway) -> None:
    seen = len(CANCELLED.findall(triton.log_file.read_text(encoding="utf-8", errors="replace")))
    call = asyncio.create_task(gateway.generate(request(5, steps=LONG)))
    await asyncio.sleep(1.5)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert 0 < await _step_reached(triton.log_file, seen) < LONG


async def test_a_deadline_ends_the_work_too(triton: EmbeddedTriton, gateway: TritonGateway) -> None:
    seen = len(CANCELLED.findall(triton.log_file.read_text(encoding="utf-8", errors="replace")))
    with pytest.raises(DeadlineExceeded):
        await gateway.generate(request(5, steps=LONG), timeout_s=1.5)
    assert 0 < await _step_reached(triton.log_file, seen) < LONG
