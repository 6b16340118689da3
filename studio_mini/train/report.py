"""What a stage says while it trains: a progress bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import logging
import time
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

LINE_EVERY_S: Final = 30.0

log = logging.getLogger(__name__)


class Report:
    """Shows how far a stage is; used as a context manager.

    Args:
        name: Of the stage.
        console: Where to; by default the terminal's error output.
    """

    def __init__(self, name: str, console: Console | None = None) -> None:
        self._name, self._console = name, console or Console(stderr=True)
        self._bar: Progress | None = None
        self._last = time.monotonic()
        if self._console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, TextColumn("{task.fields[note]}"), console=self._console)
            self._task = self._bar.add_task(name, total=1.0, note="")

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, share: float, step: int, note: str) -> None:
        """Report that ``share`` (0 to 1) of the stage is done after ``step`` steps; ``note`` holds its losses."""
        if self._bar is not None:
            self._bar.update(self._task, completed=min(share, 1.0), note=f"step {step}, {note}")
        elif time.monotonic() - self._last > LINE_EVERY_S:
            self._last = time.monotonic()
            log.info("%s %.0f%%, step %d, %s", self._name, 100 * share, step, note)
