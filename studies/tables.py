"""The study's results as plain rows, and as CSV files that are checked in."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from studies.costs import Work


@dataclass(frozen=True, slots=True)
class FreshRow:
    """One fresh seed's final picture."""

    task: int
    index: int
    potential: float
    uncapped: float
    identity: float
    realism: float
    prompt: float
    identity_heldout: float
    preservation: float
    truth_error: float


@dataclass(frozen=True, slots=True)
class SearchRow:
    """What one search held to be the best after some `Work`; ``last`` marks its result."""

    task: int
    contender: str
    budget: int
    noise_sd: float
    nfe: int
    pictures: int
    calls: int
    batches: int
    last: int
    potential: float
    uncapped: float
    identity: float
    realism: float
    prompt: float
    identity_heldout: float
    preservation: float
    truth_error: float

    @property
    def work(self) -> Work:
        """All of it until then."""
        return Work(self.nfe, self.pictures, self.calls, self.batches)


@dataclass(frozen=True, slots=True)
class ProbeRow:
    """Potentials of a child and of its parents; NaN stands for the second of a child that has one."""

    task: int
    move: str
    angle: float
    parent: float
    other_parent: float
    child: float


@dataclass(frozen=True, slots=True)
class PairedRow:
    """Potential of a fresh seed's picture, or of another one of the same seed: a draft or restart at ``steps``."""

    task: int
    index: int
    steps: int
    potential: float


@dataclass(frozen=True, slots=True)
class TrialRow:
    """What one search with a setting that was tried found, on a task that settings are chosen on."""

    task: int
    contender: str
    setting: str
    potential: float


@dataclass(frozen=True, slots=True)
class JudgedRow:
    """Log-odds by a held-out judge that a picture was drawn; ``contender`` is empty for a fresh seed.

    ``side`` is the side in pixels of what the judge sees.
    """

    task: int
    contender: str
    budget: int
    side: int
    log_odds: float


Row = TypeVar("Row", FreshRow, SearchRow, ProbeRow, TrialRow, JudgedRow)


def write_rows(path: Path, kind: type[Row], rows: Iterable[Row]) -> None:
    """Write rows under their fields' names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(field.name for field in fields(kind))
        writer.writerows([_short(value) for value in astuple(row)] for row in rows)


def read_rows(path: Path, kind: type[Row]) -> list[Row]:
    """Read what `write_rows` has written."""
    types = get_type_hints(kind)
    with path.open(encoding="utf-8", newline="") as file:
        return [kind(**{name: types[name](text) for name, text in row.items()}) for row in csv.DictReader(file)]


def _short(value: Any) -> Any:
    return f"{value:.5g}" if isinstance(value, float) else value
