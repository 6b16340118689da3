"""Where the study's pictures are made: an embedded Triton, and parts run over tasks with a progress bar."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from eacps.triton import TritonGateway
from eacps.triton.embedded import EmbeddedTriton
from studies.oracle import NoFaceError, Oracle, UnscoredError
from studies.parts import Bench
from studies.pool import Pool
from studies.potentials import Yardstick

SIDE_BY_SIDE = 3
"""Tasks at once: while one is scored another is denoised."""
Row = TypeVar("Row")


@dataclass
class Runner:
    """Runs parts over tasks.

    Attributes:
        oracle: Makes and scores pictures.
        yardstick: What searches climb; a tuned one takes its place once it is known.
    """

    oracle: Oracle
    yardstick: Yardstick

    async def over_tasks(
        self, title: str, tasks: Sequence[int], part: Callable[[Bench], Awaitable[list[Row]]]
    ) -> list[Row]:
        """Run a part on every task, a few side by side.

        Returns:
            All rows in the order of the tasks, without tasks in which no face is found.
        """
        slots = asyncio.Semaphore(SIDE_BY_SIDE)
        with _bar() as bar:
            line = bar.add_task(title, total=len(tasks))

            async def one(task: int) -> list[Row]:
                async with slots:
                    try:
                        return await part(self._bench(task))
                    except NoFaceError:
                        return []
                    finally:
                        self.oracle.forget(task)
                        bar.advance(line)

            async with asyncio.TaskGroup() as group:
                running = [group.create_task(one(task)) for task in tasks]
        return [row for done in running for row in done.result()]

    def _bench(self, task: int) -> Bench:
        scoreboard, pictures = partial(self.oracle.scores, task), partial(self.oracle.pictures, task)
        return Bench(task, scoreboard, pictures, self.yardstick, self.oracle.steps)


@asynccontextmanager
async def embedded(model_repository: Path, log_file: Path) -> AsyncIterator[str]:
    """Serve a model repository until the block ends; its address.

    Raises:
        EacpsError: Triton cannot be started.
    """
    triton = EmbeddedTriton(model_repository, log_file=log_file)
    await asyncio.to_thread(triton.start)
    try:
        yield triton.grpc_url
    finally:
        await asyncio.to_thread(triton.stop)


@asynccontextmanager
async def open_runner(url: str, pool: Pool, yardstick: Yardstick, *, shows_character: bool) -> AsyncIterator[Runner]:
    """A runner over a running Triton.

    Raises:
        EacpsError: Nothing serves at ``url``.
        UnscoredError: What is served there lacks a scorer.
    """
    gateway = await TritonGateway.connect(url)
    try:
        served = await gateway.describe()
        if not served.judge:
            raise UnscoredError(f"{served.name} is served without a judge, and studies compare by its scores")
        yield Runner(Oracle(gateway, pool, steps=served.default_steps, shows_character=shows_character), yardstick)
    finally:
        await gateway.close()


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn()
    )
