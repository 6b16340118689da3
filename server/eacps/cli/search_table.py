"""The list of searches, which fits 80 columns: the beginning of each id is enough for all commands."""

from collections.abc import Iterable

from rich.table import Table
from rich.text import Text

from eacps.cli.search_ids import SHORT
from eacps.enums import SEARCH_STATE
from eacps.v1 import search_service_pb2 as pb

_STYLES = {"succeeded": "green", "running": "cyan", "failed": "bold red", "cancelled": "yellow"}
_UNITS = (("d", 86_400), ("h", 3_600), ("m", 60))


def search_table(searches: Iterable[pb.Search], *, now_s: float) -> Table:
    """Return the table. Queued searches have their position behind their state.

    Args:
        searches: In the order of its rows.
        now_s: Seconds since the epoch.
    """
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 1, 0, 0))
    for name in ("search", "state", "best", "age", "prompt", "labels"):
        table.add_column(
            name, no_wrap=True, overflow="ellipsis", justify="right" if name in ("best", "age") else "left"
        )
    table.columns[0].min_width = SHORT
    for search in searches:
        state = state_of(search)
        best = f"{search.best_potential:.3f}" if search.HasField("best_potential") else ""
        labeled = " ".join(f"{key}={value}" for key, value in sorted(search.labels.items()))
        age = age_text(now_s - search.create_time.ToNanoseconds() / 1e9)
        position = f" {search.queue_position}" if search.HasField("queue_position") else ""
        shown = Text(state + position, _STYLES.get(state, "dim"))
        table.add_row(search.search_id[:SHORT], shown, best, age, Text(search.prompt), Text(labeled))
    return table


def state_of(search: pb.Search) -> str:
    """Return a search's state in a word; "unknown" for one that only a newer server knows."""
    try:
        return SEARCH_STATE.word_of(search.state) or "unknown"
    except ValueError:
        return "unknown"


def age_text(seconds: float) -> str:
    """Return a duration in its largest unit."""
    for unit, length in _UNITS:
        if seconds >= length:
            return f"{seconds // length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
