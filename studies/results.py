"""All rows of a study."""

from __future__ import annotations

from dataclasses import dataclass

from studies.contenders import Contender
from studies.costs import Prices
from studies.potentials import Yardstick
from studies.tables import FreshRow, ProbeRow, SearchRow, TrialRow


@dataclass(frozen=True)
class Results:
    """All rows of a study.

    Attributes:
        steps: Of the full schedule.
        compared: Budget at which everything is compared.
        yardstick: What searches climbed, with the calibration that they had.
        contenders: In the order of the tables.
        trials: Of their settings, on other tasks.
        prices: What an evaluation and a picture take.
        fresh, searches, probes: Rows of the parts.
    """

    steps: int
    compared: int
    yardstick: Yardstick
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
