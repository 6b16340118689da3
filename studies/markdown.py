"""Tables as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from studies.analysis.by_task import Estimate


def thousandths(value: Estimate) -> str:
    """Write an estimate to three digits."""
    return f"{value.mean:+.3f} ± {value.error:.3f}"


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table under its heading."""
    return f"## {title}\n\n{lines(head, rows)}"


def lines(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))
