"""All rows of a study, and how tables of them are written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eacps.search.calibration import Calibration
from studies.analysis.by_task import Estimate
from studies.contenders import Contender
from studies.costs import Prices
from studies.tables import FreshRow, ProbeRow, SearchRow, TrialRow


@dataclass(frozen=True)
class Results:
    """All rows of a study.

    Attributes:
        steps: Of the full schedule.
        compared: Budget at which everything is compared.
        calibration: That searches were given.
        contenders: In the order of the tables.
        trials: Of their settings, on other tasks.
        prices: What an evaluation and a picture take.
        fresh, searches, probes: Rows of the parts.
    """

    steps: int
    compared: int
    calibration: Calibration
    contenders: tuple[Contender, ...]
    trials: list[TrialRow]
    prices: Prices
    fresh: list[FreshRow]
    searches: list[SearchRow]
    probes: list[ProbeRow]

    @property
    def titles(self) -> dict[str, str]:
        """Names for people."""
        return {contender.name: contender.title for contender in self.contenders}


def thousandths(value: Estimate) -> str:
    """Write an estimate to three digits."""
    return f"{value.mean:+.3f} ± {value.error:.3f}"


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table under its heading."""
    return f"## {title}\n\n{lines(head, rows)}"


def lines(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))
