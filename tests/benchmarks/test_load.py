"""The load harness and the soak, for some seconds each, over models that cost nothing."""

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.loading.arrivals import Closed, Open, arrive
from benchmarks.loading.records import Record

ROOT = Path(__file__).parents[2]


def run(module: str, *words: object) -> str:
    command = [sys.executable, "-m", module, *map(str, words)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_harness_writes_down_what_callers_saw(tmp_path: Path) -> None:
    words = ("--duration", 4, "--concurrency", 2, "--unary-rate", 4, "--cancel-share", 0.2, "--out", tmp_path)
    run("benchmarks.load", "--models", "free", *words)
    found = json.loads((tmp_path / "load.json").read_text())
    assert found["done"]["searches"] > 0
    assert found["errors"] == {}
    assert found["processor_s_per_candidate"] > 0
    result = found["latency_s"]["result"]
    assert 0 < result["p50"] <= result["p90"] <= result["p99"]
    assert found["latency_s"]["first candidate"]["p50"] <= result["p99"]
    assert (tmp_path / "latency.png").stat().st_size > 1000


def test_a_soak_loses_nothing(tmp_path: Path) -> None:
    run("benchmarks.soak", "--models", "free", "--minutes", 0.25, "--kills", 1, "--out", tmp_path)
    found = json.loads((tmp_path / "soak.json").read_text())
    assert found["unfinished"] == 0
    assert found["errors"] == {}
    assert found["done"]["searches"] > 0
    assert found["done"]["hostile requests refused"] > 0
    assert found["memory"]["last_mib"] > 0


@pytest.mark.parametrize("most", [1000, 0])
async def test_open_arrivals_come_whether_or_not_others_are_served(most: int) -> None:
    record = Record()

    async def visit() -> None:
        record.done["visits"] += 1
        await asyncio.sleep(0.2)

    def turn_away() -> None:
        record.turned_away += 1

    await arrive(Open(100.0, most=most), visit, until_s=time.monotonic() + 0.5, turned_away=turn_away)
    came = record.done["visits"] + record.turned_away
    assert 20 < came < 90
    assert bool(record.turned_away) == (most == 0)


async def test_closed_arrivals_come_again_when_they_were_served() -> None:
    inside, most = 0, 0

    async def visit() -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0.02)
        inside -= 1

    await arrive(Closed(3), visit, until_s=time.monotonic() + 0.3, turned_away=lambda: None)
    assert most == 3
