"""``python -m export.calibrate``: measure the scale of identity scores of a face pack, from pictures of people.

The scale of `eacps.search.calibration` runs from the similarity of pictures of two people to that of pictures of one
person. Exit codes: 0 if the file was written, 1 if measuring failed, 2 if an option is invalid.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Annotated, NoReturn

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from eacps.scoring.score_maps import ScoreMaps
from export.calibration import (
    CALIBRATION_FILE,
    HELD_OUT,
    IDENTITY,
    SCORERS,
    Section,
    UnusableCalibration,
    digests_of_faces,
    distribution,
    read_calibration,
    write_sections,
)
from export.face_checks import check_faces
from export.face_pack import IncompleteFacePack, UnsupportedFacePack, find_faces
from export.people import Embedder, Embeddings, MixedPeople, People, different_people, read_people, same_person
from export.request import locate_face_pack
from export.sources import MissingSource, locate_file
from export.terminal import FAILED, WRONG_OPTION, fail, message_of, run_command, say

SCORER_OF = {"recognizer": IDENTITY, "verifier": HELD_OUT}
LEAST_PAIRS = 10
"""Fewest pairs of pictures of one person: the scale's upper end is their 95% quantile."""
FEW_PEOPLE = 10
"""With fewer, the result says so: the scale may not hold for other people."""


class TooFewPictures(Exception):
    """There are too few pictures for a scale."""


FAILURES = (IncompleteFacePack, UnsupportedFacePack, UnusableCalibration, TooFewPictures, MixedPeople)


def main(
    faces: Annotated[str, typer.Option(help="Face pack: a folder, or InsightFace's name for it: buffalo_l.")],
    people: Annotated[Path, typer.Option(help="Folder with one folder of pictures per person, who is alone in them.")],
    verifier: Annotated[
        str | None, typer.Option(help="Held-out recognizer, an ONNX file. [default: the pack's own, if it has one]")
    ] = None,
    detection_size: Annotated[
        int | None,
        typer.Option(min=32, help="Input side of the detector in pixels. [default: InsightFace's 640]"),
    ] = None,
    output: Annotated[
        Path, typer.Option(help="File to write, for python -m export --calibration; its other sections stay.")
    ] = Path(CALIBRATION_FILE),
) -> None:
    """Measure the scale of identity scores of a face pack, from pictures that you bring.

    Use at least ten people, as similar as possible to those of your searches; more are better.
    Pictures stay on this machine; the file holds statistics and digests of networks only.
    """
    console = Console()
    # InsightFace 2.1 aligns faces by a call that scikit-image has deprecated.
    warnings.filterwarnings("ignore", message="`estimate` is deprecated", category=FutureWarning)
    try:
        held_out = None if verifier is None else locate_file(verifier, ".onnx")
        pack = locate_face_pack(faces)
        files = find_faces(pack, verifier=held_out, detection_size=detection_size, without_swapper=True)
        check_faces(files, fixed=False)
        if output.exists():
            read_calibration(output)  # what cannot be added to is refused before the pictures are read
        found = read_people(people, Embedder(files), lambda name: say(console, f"reading {name}"))
        measured = measure(found)
        report(found, measured, console)
        sections = {f"{SCORERS}.{name}": section for name, section in measured.items()}
        write_sections(output, sections, digests_of_faces(files))
    except MissingSource as wrong:
        _fail(wrong, WRONG_OPTION)
    except (*FAILURES, OSError) as failure:
        _fail(failure, FAILED)
    say(console, f"wrote {output}: python -m export --calibration {output}")


def measure(people: People) -> dict[str, Section]:
    """Return the calibration section of every scorer that uses a recognizer of the pack.

    Args:
        people: Their embeddings.

    Raises:
        TooFewPictures: There are fewer than two people, or fewer than ``LEAST_PAIRS`` pairs of one person.
        UnusableCalibration: Pictures of one person are no more alike than those of two.
    """
    recognizers = next(iter(people.embeddings.values()), {})
    pairs = len(same_person(people.of("recognizer"))) if recognizers else 0
    if len(people.embeddings) < 2 or pairs < LEAST_PAIRS:
        raise TooFewPictures(
            f"{len(people.embeddings)} people and {pairs} pairs of pictures of one person were found; "
            f"2 and {LEAST_PAIRS} are needed{_left_out(people)}"
        )
    return {SCORER_OF[name]: _section(SCORER_OF[name], people.of(name)) for name in recognizers}


def report(people: People, measured: dict[str, Section], console: Console) -> None:
    """Print what was found and measured, and what was left out."""
    for path, reason in people.left_out.items():
        say(console, f"left out {path}: {reason}")
    table = Table(box=None, pad_edge=False)
    for name in ("scorer", "pairs of", "count", "mean", "sd", "5%", "50%", "95%"):
        table.add_column(name, justify="left" if name in ("scorer", "pairs of") else "right")
    for scorer, section in measured.items():
        for kind, whom in (("positive", "one person"), ("negative", "two people")):
            figures = section[kind]
            quantiles = [f"{figures['quantiles'][q]:.3f}" for q in ("0.05", "0.5", "0.95")]
            mean, sd = f"{figures['mean']:.3f}", f"{figures['sd']:.3f}"
            table.add_row(scorer, whom, str(figures["count"]), mean, sd, *quantiles)
    console.print(table)
    for scorer, scale in ScoreMaps.from_calibration({SCORERS: measured}).maps.items():
        say(console, f"{scorer}: {scale.zero:.3f} counts as 0, {scale.one:.3f} as 1")
    for first, second, likeness in alike(people):
        say(console, f"{first} and {second} look like one person (cosine {likeness:.3f} on average): are they two?")
    if (count := len(people.embeddings)) < FEW_PEOPLE:
        say(console, f"measured with {count} people only; a scale that holds for others needs {FEW_PEOPLE} or more")


def alike(people: People) -> Iterator[tuple[str, str, float]]:
    """Yield the pairs of people whose pictures are as alike as those of one person, with their mean cosine.

    The scale begins at the median of pairs of two people, and counts such a pair as two.
    """
    found = {name: recognizers["recognizer"] for name, recognizers in people.embeddings.items()}
    usual = float(np.median(same_person([*found.values()])))
    for first, second in combinations(found, 2):
        likeness = float((found[first] @ found[second].T).mean())
        if likeness >= usual:
            yield first, second, likeness


def _section(scorer: str, people: Sequence[Embeddings]) -> Section:
    same, different = same_person(people), different_people(people)
    if not _separates(same, different):
        raise UnusableCalibration(
            f"{scorer}: pictures of one person ({same.mean():.3f} on average) are no more alike than those of two "
            f"people ({different.mean():.3f}): is every folder of one person?"
        )
    return {"positive": distribution(same), "negative": distribution(different), "people": len(people)}


def _separates(same: NDArray[np.float64], different: NDArray[np.float64]) -> bool:
    """Return whether the scale has a direction: most pairs of one person score above the median of pairs of two."""
    return float(np.median(same)) > max(float(np.median(different)), 0.0)


def _left_out(people: People) -> str:
    reasons = "; ".join(f"{path.parent.name}/{path.name}: {reason}" for path, reason in people.left_out.items())
    return f" (left out: {reasons})" if reasons else ""


def _fail(failure: Exception, code: int) -> NoReturn:
    fail(Console(stderr=True), f"calibration failed: {message_of(failure)}", code)


if __name__ == "__main__":
    run_command(main)
