"""The live view of a running search: a progress bar with the best so far, and a line for every round."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from eacps.cli.record import SearchRecord
from eacps.v1 import search_service_pb2 as pb


class LiveView:
    """Context manager; `show` is called with every event after the record has taken it in.

    On a terminal the bar is drawn anew as candidates come in; elsewhere only the lines of the rounds appear.
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

    def show(self, event: pb.SearchEvent, record: SearchRecord) -> None:
        """Reflect one event."""
        match event.WhichOneof("event"):
            case "started":
                self._progress.update(self._task, total=event.started.planned_candidates)
            case "prior_ready":
                self._console.print(_prior_line(event.prior_ready), highlight=False)
                self._progress.update(self._task, description="exploring")
            case "candidate_scored":
                self._progress.update(self._task, completed=len(record.candidates), best=_best_text(record))
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
        return "prior: the face is swapped in, but could not be scored"
    return f"prior: the face is swapped in, potential {ready.evaluation.potential:.3f}"


def _round_line(finished: pb.RoundFinished) -> str:
    name = "exploration" if finished.generation == 0 else f"local round {finished.generation}"
    mean = f"mean {finished.mean_potential:.3f}, " if finished.HasField("mean_potential") else ""
    return f"{name}: {mean}best so far {finished.best_potential:.3f} ({finished.best_candidate_id})"
