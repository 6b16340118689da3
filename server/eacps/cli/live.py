"""The live view of a running search: a progress bar with the best so far, and a line for every round."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from eacps.client.record import SearchRecord
from eacps.v1 import search_service_pb2 as pb

_PRIORS = {
    pb.PRIOR_MODE_UNSPECIFIED: "the face is swapped in",
    pb.PRIOR_MODE_SWAP: "the face is swapped in",
    pb.PRIOR_MODE_NONE: "the scene itself",
    pb.PRIOR_MODE_GIVEN: "the given picture",
}


class LiveView:
    """Context manager; call `show` with every event after the record has added it.

    On a terminal the bar is redrawn as candidates come in; elsewhere only the lines of the rounds are printed.
    """

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=32),
            MofNCompleteColumn(),
            TextColumn("[green]{task.fields[best]}"),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._console = console
        self._task = self._progress.add_task("preparing", total=None, best="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show_queued(self, search: pb.Search) -> None:
        """Show that a search waits in the queue, if it does."""
        if search.HasField("queue_position"):
            self._console.print(f"queued: number {search.queue_position} of your searches", highlight=False)
            self._progress.update(self._task, description="queued")

    def show(self, event: pb.SearchEvent, record: SearchRecord) -> None:
        """Show one event."""
        match event.WhichOneof("event"):
            case "started":
                self._progress.update(self._task, total=event.started.planned_candidates, description="preparing")
            case "prior_ready":
                self._console.print(_prior_line(event.prior_ready), highlight=False)
                self._progress.update(self._task, description="exploring")
            case "candidate_scored":
                self._progress.update(self._task, completed=record.spent, best=_best_text(record))
            case "round_finished":
                self._console.print(_round_line(event.round_finished), highlight=False)
                self._progress.update(self._task, description="annealing")
            case "finished":
                self._progress.update(self._task, description="done")


def _best_text(record: SearchRecord) -> str:
    best = record.best_potential
    return "" if best is None else f"best {best:.3f}"


def _prior_line(ready: pb.PriorReady) -> str:
    if not ready.evaluation.HasField("potential"):
        return f"prior: {_PRIORS[ready.mode]}, but could not be scored"
    return f"prior: {_PRIORS[ready.mode]}, potential {ready.evaluation.potential:.3f}"


def _round_line(finished: pb.RoundFinished) -> str:
    name = "exploration" if finished.generation == 0 else f"local round {finished.generation}"
    mean = f"mean {finished.mean_potential:.3f}, " if finished.HasField("mean_potential") else ""
    return f"{name}: {mean}best so far {finished.best_potential:.3f} ({finished.best_candidate_id})"
