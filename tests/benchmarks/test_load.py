"""The load harness and the soak, for some seconds each, over models that cost nothing."""

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks.loading.arrivals import Closed, Open, arrive
from benchmarks.loading.free_models import FreeModels, StampScorer
from benchmarks.loading.records import Record
from eacps.imaging import content_hash
from eacps.scoring.scorer import EditContext
from eacps.triton.types import GenerateRequest

ROOT = Path(__file__).parents[2]


def run(module: str, *words: object) -> str:
    command = [sys.executable, "-m", module, *map(str, words)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
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


def test_the_table_has_a_line_for_every_load(tmp_path: Path) -> None:
    window = ("--warm-up", 3, "--duration", 3, "--out", tmp_path)
    printed = run("benchmarks.load_table", "--concurrency", 2, "--watchers", 0, 3, "--size", 64, *window)
    rows = json.loads((tmp_path / "table.json").read_text())["rows"]
    assert [(row["size"], row["concurrency"], row["watchers"]) for row in rows] == [(64, 2, 0), (64, 2, 3)]
    assert all(row["candidates_per_second"] > 0 and row["processor_ms"] > 0 for row in rows)
    assert [row["watched_per_second"] > 0 for row in rows] == [False, True]
    assert (tmp_path / "table.md").read_text() in printed


async def test_free_models_make_pictures_that_differ() -> None:
    size, models = 32, FreeModels(32)
    seeds = np.arange(200, dtype=np.uint32)[:, None]
    scene = np.full((1, size, size, 3), 128, np.uint8)
    request = GenerateRequest(scene, "", seeds, np.ones((200, 1), np.float32), steps=4)
    pictures = (await models.generate(request)).pictures
    assert pictures.shape == (200, size, size, 3)
    assert len({content_hash(picture) for picture in pictures}) == 200
    assert 1.0 < pictures[:, 1:].std() < 3.0
    context = EditContext(scene[0], "", np.eye(1, 512, dtype=np.float32)[0], scene[0], 0, (0.0, 0.0, 1.0, 1.0))
    scores = await StampScorer().score({"one": pictures[0], "other": pictures[1]}, context)
    assert scores["one"] != scores["other"]


def test_a_soak_loses_nothing(tmp_path: Path) -> None:
    run("benchmarks.soak", "--models", "free", "--minutes", 0.25, "--kills", 1, "--out", tmp_path)
    found = json.loads((tmp_path / "soak.json").read_text())
    assert found["unfinished"] == 0
    assert found["errors"] == {}
    assert found["done"]["searches"] > 0
    assert found["done"]["hostile requests refused"] > 0
    assert found["memory"]["last_mib"] > 0
    assert 0 < found["descriptors"]["fewest"] <= found["descriptors"]["most"]


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
