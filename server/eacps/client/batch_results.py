"""Every candidate of a batch with its scores and recipe, as a table: Parquet where pyarrow is installed, else CSV."""

import csv
import importlib.util
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from eacps.client.batch_journal import ShotEntry
from eacps.client.record import CandidateRecord, CompleteSearch

_TEXTS = ("shot", "search_id", "state", "failure", "candidate", "move", "artifact", "file")
_NUMBERS = ("potential", "shortfall")
_INTEGERS = ("rank", "generation")
_LISTS = ("parents", "recipe", "restarts")
PARQUET, CSV = "results.parquet", "results.csv"
_MARK = b"eacps.batch"
"""Key of the metadata of a Parquet file that a batch wrote."""
Row = dict[str, Any]


def candidate_rows(search: CompleteSearch) -> list[Row]:
    """Return a row for every candidate of a finished search, best first."""
    return [_row(candidate, rank) for rank, candidate in enumerate(search.ranking, start=1)]


def _row(candidate: CandidateRecord, rank: int) -> Row:
    evaluation = candidate.evaluation
    return {
        "candidate": candidate.id,
        "rank": rank,
        "potential": candidate.potential,
        "complete": None if evaluation is None else evaluation.complete,
        "shortfall": None if evaluation is None else evaluation.shortfall,
        "scores": {} if evaluation is None else dict(evaluation.scores),
        "generation": candidate.generation,
        "move": candidate.move,
        "parents": list(candidate.parents),
        "recipe": [{"seed": seed, "coefficient": coefficient} for seed, coefficient in candidate.recipe],
        "restarts": [{"step": step, "seed": seed} for step, seed in candidate.restarts],
        "failure": candidate.failure,
        "artifact": candidate.artifact,
    }


def result_rows(entries: Iterable[ShotEntry]) -> list[Row]:
    """Return the rows of all shots: one for every candidate, and one for a shot that has none."""
    rows: list[Row] = []
    for entry in entries:
        shot = {"shot": entry.shot, "search_id": entry.search_id, "state": entry.state}
        files = entry.files
        rows += [{**one, **shot, "file": files.get(one["candidate"], "")} for one in entry.candidates]
        rows += [] if entry.candidates else [{**shot, "failure": entry.failure}]
    return rows


def write_results(entries: Sequence[ShotEntry], folder: Path) -> Path:
    """Write ``results.parquet``, or ``results.csv`` where pyarrow is not installed; return the file."""
    rows = result_rows(entries)
    scorers = sorted({name for row in rows for name in row.get("scores", {})})
    data, name = (
        (_parquet(rows, scorers), PARQUET) if importlib.util.find_spec("pyarrow") else (_csv(rows, scorers), CSV)
    )
    path, part = folder / name, folder / f".{name}.part"
    part.write_bytes(data)
    part.replace(path)
    return path


def foreign_results(folder: Path) -> Path | None:
    """Return a file in a folder that has the name of a batch's results and that no batch wrote; None if there is none.

    Only that of the name that would be written counts.
    """
    parquet = importlib.util.find_spec("pyarrow") is not None
    path = folder / (PARQUET if parquet else CSV)
    if not path.is_file():
        return None
    data = path.read_bytes()
    own = _MARK in data if parquet else data.startswith(",".join(_TEXTS).encode())
    return None if own else path


def _parquet(rows: Sequence[Row], scorers: Sequence[str]) -> bytes:
    import pyarrow
    import pyarrow.parquet

    term = pyarrow.struct([("seed", pyarrow.uint32()), ("coefficient", pyarrow.float64())])
    restart = pyarrow.struct([("step", pyarrow.int32()), ("seed", pyarrow.uint32())])
    fields = [(name, pyarrow.string()) for name in _TEXTS]
    fields += [(name, pyarrow.float64()) for name in _NUMBERS] + [(name, pyarrow.int32()) for name in _INTEGERS]
    fields += [("complete", pyarrow.bool_()), ("parents", pyarrow.list_(pyarrow.string()))]
    fields += [("recipe", pyarrow.list_(term)), ("restarts", pyarrow.list_(restart))]
    fields += [(f"score.{name}", pyarrow.float64()) for name in scorers]
    table = pyarrow.Table.from_pylist(
        [_flat(row, scorers) for row in rows], schema=pyarrow.schema(fields, {_MARK: b"1"})
    )
    sink = io.BytesIO()
    pyarrow.parquet.write_table(table, sink)
    return sink.getvalue()


def _csv(rows: Sequence[Row], scorers: Sequence[str]) -> bytes:
    names = [*_TEXTS, *_NUMBERS, *_INTEGERS, "complete", *_LISTS, *(f"score.{name}" for name in scorers)]
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        flat = _flat(row, scorers)
        lists = {name: json.dumps(flat[name]) for name in _LISTS if flat[name] is not None}
        writer.writerow({**flat, **lists})
    return text.getvalue().encode()


def _flat(row: Row, scorers: Sequence[str]) -> Row:
    names = (*_TEXTS, *_NUMBERS, *_INTEGERS, "complete", *_LISTS)
    scores = row.get("scores", {})
    return {**{name: row.get(name) for name in names}, **{f"score.{name}": scores.get(name) for name in scorers}}
