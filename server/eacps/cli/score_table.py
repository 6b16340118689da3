"""The table of candidates with their scores, which fits 80 columns with four scorers."""

from collections.abc import Iterable, Sequence

from rich.table import Table
from rich.text import Text

from eacps.client.record import ScoredPicture

SATURATED_MARK = "*"
"""Marks a score at the upper end of its scale."""
_SCORER_WIDTH = 9


def score_table(scorers: Sequence[tuple[str, float | None]], *, last: str | None = None) -> Table:
    """Return an empty table: rank, candidate, potential, one column a scorer, and one for words.

    Args:
        scorers: Name and weight; None for one that does not count.
        last: Title of the last column; None for none.
    """
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 1, 0, 0))
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("candidate", no_wrap=True, overflow="fold")
    table.add_column("poten-\ntial", justify="right", no_wrap=True)
    for name, weight in scorers:
        title = _folded(name) + ("" if weight is None else f"\n×{weight:.2g}")
        table.add_column(title, justify="right", max_width=_SCORER_WIDTH, overflow="fold", min_width=5)
    if last is not None:
        table.add_column(last, overflow="ellipsis", no_wrap=True)
    return table


def score_cells(scored: ScoredPicture | None, scorers: Iterable[tuple[str, float | None]]) -> list[str | Text]:
    """Return the cells of one candidate's scores; a saturated one, which tells no pictures apart, has a mark."""
    cells: list[str | Text] = []
    for name, _ in scorers:
        value = None if scored is None else scored.scores.get(name)
        if scored is None or value is None:
            cells.append("-")
        elif name in scored.saturated:
            cells.append(Text(f"{value:.3f}{SATURATED_MARK}", style="yellow"))
        else:
            cells.append(f"{value:.3f}")
    return cells


def _folded(name: str) -> str:
    """Break a scorer's name where it has a mark."""
    return name.replace("_", "_\n").replace(".", ".\n")
