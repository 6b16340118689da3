"""The live table of a batch: what runs, what waits, and what is done."""

import time
from collections import Counter
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from eacps.client import ShotStatus

_STYLES = {"running": "cyan", "succeeded": "green", "failed": "bold red", "cancelled": "yellow"}
_ORDER = ("running", "failed", "cancelled", "submitted", "waiting", "succeeded")
_REST_LINES = 5
_REFRESHES_PER_SECOND = 4


class BatchView:
    """Context manager; call `show` with every change.

    On a terminal the table is redrawn; elsewhere one line is printed for every shot that begins to run or is over.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown: dict[str, ShotStatus] = {}
        self._begun_s = time.monotonic()
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=_REFRESHES_PER_SECOND)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def show(self, status: ShotStatus) -> None:
        """Show where a shot stands."""
        before = self._shown.get(status.shot.name)
        if status.state == "waiting" and status.entry is not None and status.entry.files:
            status = _done_before(status)
            before = status
        self._shown[status.shot.name] = status
        said = status.state in ("running", "succeeded", "failed", "cancelled")
        if said and not self._console.is_terminal and (before is None or before.state != status.state):
            self._console.print(_line(status), markup=False, highlight=False, soft_wrap=True)

    def _render(self) -> RenderableType:
        room = max(4, self._console.size.height - _REST_LINES)
        order = {state: index for index, state in enumerate(_ORDER)}
        urgent = sorted(self._shown.values(), key=lambda one: order[one.state])[:room]
        names = {one.shot.name for one in urgent}
        table = Table(box=None, pad_edge=False, header_style="dim", expand=False)
        for column, most in (("shot", 24), ("state", 9), ("candidates", 20), ("best", 5), ("file", None)):
            table.add_column(column, max_width=most, no_wrap=True, overflow="ellipsis")
        for status in self._shown.values():
            if status.shot.name in names:
                table.add_row(*_cells(status))
        return Group(table, Text(self._summary(), style="dim"))

    def _summary(self) -> str:
        counts = Counter(status.state for status in self._shown.values())
        shown = ", ".join(f"{counts[state]} {state}" for state in reversed(_ORDER) if counts[state])
        return f"{shown}; {time.monotonic() - self._begun_s:.0f} s"


def _cells(status: ShotStatus) -> tuple[RenderableType, ...]:
    best = "" if status.best is None else f"{status.best:.3f}"
    bar: RenderableType = ""
    if status.planned and status.state == "running":
        bar = ProgressBar(total=status.planned, completed=status.done, width=20)
    elif status.done:
        bar = str(status.done)
    outcome = "" if status.entry is None else next(iter(status.entry.files.values()), status.entry.failure)
    return Text(status.shot.name), Text(status.state, _STYLES.get(status.state, "dim")), bar, best, Text(outcome)


def _line(status: ShotStatus) -> str:
    entry = status.entry
    if status.state == "running":
        return f"{status.shot.name}: running"
    if entry is None or status.state != "succeeded":
        return f"{status.shot.name}: {status.state}, {'' if entry is None else entry.failure}"
    best = "" if status.best is None else f", best {status.best:.3f}"
    return f"{status.shot.name}: {status.state}{best}, {next(iter(entry.files.values()), entry.failure)}"


def _done_before(status: ShotStatus) -> ShotStatus:
    entry = status.entry
    candidates = [] if entry is None else entry.candidates
    best = candidates[0]["potential"] if candidates else None
    return ShotStatus(status.shot, "succeeded", len(candidates), len(candidates), best, entry)
