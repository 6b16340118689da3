"""Every picture that was ever scored in a study, kept as its scores: computed once, used by all parts.

A picture is named by its task, the digest of its recipe, and the steps of its schedule: those of a draft are fewer.
Scores are appended to a journal as they come, so that a study cut off goes on where it was; a finished study publishes
them as one compressed file that is checked in. Both name the weights they were measured on: scores of other weights are
neither read nor overwritten.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, TextIO

from eacps.search.recipe import Recipe

SCORES = ("identity", "realism", "prompt", "identity_heldout", "preservation", "truth_error")
"""Raw scores in [0, 1], but for ``truth_error``: mean absolute difference to the drawn truth, in 8-bit levels."""
_DIGITS = 7
_COLUMNS = ("task", "recipe", "steps", *SCORES)
_HEAD_LINES = 2  # weights, columns

Scores = Mapping[str, float]


class Key(NamedTuple):
    """Names one picture."""

    task: int
    recipe: str
    steps: int


def key_of(task: int, recipe: Recipe, steps: int) -> Key:
    """Name a picture; coefficients count to nine digits, so that another processor's last bit is no other picture."""
    named: list[list[float]] = [[seed, round(coefficient, 9)] for seed, coefficient in recipe.terms]
    terms = json.dumps([*named, *([one.step, one.seed, 0] for one in recipe.restarts)])  # a third number: no term
    return Key(task, hashlib.blake2b(terms.encode(), digest_size=9).hexdigest(), steps)


def fingerprint(checkpoint: Path, *, shows_character: bool) -> str:
    """Digest of all weights that scores depend on, and of how the backbone is conditioned."""
    digest = hashlib.sha256(b"character" if shows_character else b"prior")
    files = sorted(path for path in checkpoint.rglob("*") if path.suffix in {".safetensors", ".onnx", ".npy"})
    for path in files:
        digest.update(path.relative_to(checkpoint).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


class OtherWeightsError(RuntimeError):
    """The published scores are of other weights."""


class Pool:
    """Scores by picture.

    Args:
        folder: Of the journal, one for each fingerprint; made where it is not there.
        published: Read too where it is there.
        weights: `fingerprint` of the checkpoint.

    Raises:
        OtherWeightsError: What is published was measured on other weights, and would be overwritten.
    """

    def __init__(self, folder: Path, published: Path, *, weights: str) -> None:
        self.weights = weights
        self._journal, self._published = folder / f"pool-{weights}.csv", published
        self._known: dict[Key, tuple[float, ...]] = {}
        if published.exists():
            with gzip.open(published, "rt", encoding="utf-8", newline="") as file:
                if next(file, "").split() != ["#", "weights", weights]:
                    raise OtherWeightsError(f"{published} was measured on other weights; name another file")
                self._read(file)
        if self._journal.exists() and _drop_torn_line(self._journal) >= _HEAD_LINES:
            with self._journal.open(encoding="utf-8", newline="") as file:
                next(file, None)  # the weights, as in its name
                self._read(file)

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: Key) -> dict[str, float] | None:
        """Return a picture's scores; None where it was not scored yet."""
        found = self._known.get(key)
        return None if found is None else dict(zip(SCORES, found, strict=True))

    def put(self, scored: Iterable[tuple[Key, Scores]]) -> None:
        """Record scores; they are on disk when this returns."""
        rows = [(key, tuple(round(scores[name], _DIGITS) for name in SCORES)) for key, scores in scored]
        self._known.update(rows)
        self._journal.parent.mkdir(parents=True, exist_ok=True)
        new = not self._journal.exists()
        with self._journal.open("a", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            if new:
                self._write_head(file)
            writer.writerows((*key, *values) for key, values in rows)

    def publish(self) -> None:
        """Write everything known, in an order that does not depend on how it came."""
        self._published.parent.mkdir(parents=True, exist_ok=True)
        partial = self._published.with_suffix(".partial")
        with partial.open("wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", mtime=0, filename="") as packed:
            lines = [",".join(map(str, (*key, *self._known[key]))) for key in sorted(self._known)]
            head = f"# weights {self.weights}\n{','.join(_COLUMNS)}\n"
            packed.write((head + "\n".join(lines) + "\n").encode())
        partial.rename(self._published)

    def _write_head(self, file: TextIO) -> None:
        file.write(f"# weights {self.weights}\n")
        csv.writer(file).writerow(_COLUMNS)

    def _read(self, lines: Iterator[str]) -> None:
        """Read the rows below the columns' names."""
        next(lines, None)
        for task, recipe, steps, *scores in csv.reader(lines):
            self._known[Key(int(task), recipe, int(steps))] = tuple(map(float, scores))


def _drop_torn_line(journal: Path) -> int:
    """Cut off what follows the last whole line, which a killed process leaves; remove the file where no head is left.

    Returns:
        Whole lines.
    """
    with journal.open("r+b") as file:
        *lines, _ = file.read().split(b"\n")
        file.truncate(sum(len(line) + 1 for line in lines))
    if len(lines) < _HEAD_LINES:
        journal.unlink()
    return len(lines)
