"""The whole study, very small, over a real Triton: cut off, gone on with, written down."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from eacps.search.calibration import Calibration
from eacps.triton.embedded import EmbeddedTriton
from studies.oracle import NoFaceError
from studies.parts import Bench
from studies.pool import Pool, fingerprint
from studies.potentials import Yardstick
from studies.runner import Runner, open_runner
from studies.study import Paths, Size, run_in

SIZE = Size(
    tasks=2,
    tuned=2,
    fresh=32,
    budgets=(8,),
    noises=(1.0,),
    tuned_seeds=6,
    paired=4,
    probed=3,
    settings=2,
)


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory, checkpoint_dir: Path, model_repository_dir: Path) -> Paths:
    folder = tmp_path_factory.mktemp("study")
    shutil.copytree(checkpoint_dir, folder / "checkpoint")
    return Paths(
        checkpoint=folder / "checkpoint",
        model_repository=model_repository_dir,
        work_dir=folder / "work",
        out=folder / "out",
        pool=folder / "pool.csv.gz",
    )


@asynccontextmanager
async def opened(triton: EmbeddedTriton, paths: Paths) -> AsyncIterator[Runner]:
    weights = fingerprint(paths.checkpoint, shows_character=False)
    pool = Pool(paths.work_dir, paths.pool, weights=weights)
    async with open_runner(triton.grpc_url, pool, Yardstick(), shows_character=False) as runner:
        yield runner


@pytest.mark.timeout(600)
async def test_a_study_cut_off_goes_on_and_writes_everything_down(triton: EmbeddedTriton, paths: Paths) -> None:
    async with opened(triton, paths) as runner:
        running = asyncio.create_task(run_in(runner, paths, SIZE))
        while len(runner.oracle.pool) < 40 and not running.done():
            await asyncio.sleep(0.05)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        before = runner.oracle.made
    async with opened(triton, paths) as runner:
        assert len(runner.oracle.pool) >= 40
        await run_in(runner, paths, SIZE)
        assert runner.oracle.made + before >= len(runner.oracle.pool) > runner.oracle.made
        runner.oracle.pool.publish()
    async with opened(triton, paths) as runner:
        first = {path.name: path.read_bytes() for path in paths.out.iterdir()}
        await run_in(runner, paths, SIZE)
        assert runner.oracle.made == 0, "everything was in the pool"
        again = {path.name: path.read_bytes() for path in paths.out.iterdir()}
    assert again == first
    pictures = {"moves.png", "best_of_n.png", "comparison.png", "held_out.png"}
    rows = {"fresh.csv", "searches.csv", "trials.csv", "moves.csv", "prices.json"}
    assert set(first) == {*pictures, *rows, "tables.md"}
    tables = first["tables.md"].decode()
    assert "nan" not in tables
    for part in ("1. ", "2. ", "3a. ", "3b. ", "3c. ", "3d. ", "3e. ", "3f. ", "4. ", "5. "):
        assert f"## {part}" in tables
    known = Calibration.from_dict(json.loads((paths.checkpoint / "calibration.json").read_text()))
    assert known.landscape.spread is not None
    assert known.restart_correlation(0.75) is not None


async def test_a_task_without_a_face_is_passed_over(triton: EmbeddedTriton, paths: Paths, tmp_path: Path) -> None:
    async def part(bench: Bench) -> list[int]:
        if bench.task == 1:
            raise NoFaceError("no face found in task 1")
        return [bench.task]

    async with opened(triton, paths) as runner:
        assert await runner.over_tasks("tasks", range(3), part) == [0, 2]
