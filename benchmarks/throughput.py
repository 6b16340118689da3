"""``python -m benchmarks.throughput``: candidates per second of EACPS and of what a user would write instead.

The ways, on the same weights, edits, seeds, steps and scorers, one after another and all again with other edits:

    diffusers_loop      for every seed ``pipe(...)``, then score
    diffusers_batched   ``pipe(..., num_images_per_prompt=...)``, then score
    eacps_1             one best-of-N search through gRPC and Triton
    eacps_4             four at once

All have the same cores, two by default. A whole edit is measured: identity prior, conditioning, pictures, scores.
Outside the windows the results are compared; where they are not the same work, there is no report.
"""

import argparse
import asyncio
import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

from rich.console import Console

from benchmarks import machine
from benchmarks.agreement import Agreement, WorkDiffers
from benchmarks.edits import Edit, drawn_edits
from benchmarks.outcome import Outcome
from benchmarks.plain import BACKBONE as PLAIN_BACKBONE
from benchmarks.plain import PlainEditor
from benchmarks.plain_faces import NoFace, PlainFaces
from benchmarks.report import BATCHED, FOUR, LOOP, ONE, WAYS, Settings, make_report, print_report, write_report
from benchmarks.served import ServedEditor, served_editor
from benchmarks.windows import Window, measure
from eacps.errors import EacpsError
from eacps.models.checkpoint_config import UnsupportedCheckpoint
from eacps.triton.embedded import EmbeddedTriton
from export.backbones import exporter_for
from export.backbones.qwen_image_edit.checkpoint import CheckpointSettings

SIDE_BY_SIDE = 4
MAX_MISSED = 20
Search = Callable[[Sequence[Edit]], Sequence[Outcome]]


class Alternation:
    """Takes turns between the ways.

    Args:
        plain: What a user would write.
        search: EACPS: runs searches at once.
        edits: Without end; every repetition takes its own, so that no cache holds anything of an earlier one.
        metrics_url: Of Triton.
    """

    def __init__(self, plain: PlainEditor, search: Search, edits: Iterator[Edit], metrics_url: str) -> None:
        self._plain, self._search, self._edits, self._metrics_url = plain, search, edits, metrics_url
        self.agreement = Agreement()

    def warm_up(self) -> None:
        """Measure every way once for nothing, and let the plain code settle on its threads."""
        self._plain.choose_threads(next(self._edits))
        self.repeat(0)

    def repeat(self, number: int) -> list[Window]:
        """Measure every way once, another one first each time.

        Raises:
            WorkDiffers: The ways have not done the same work.
        """
        alone, *together = [next(self._edits) for _ in range(1 + SIDE_BY_SIDE)]
        work: dict[str, Callable[[], Sequence[Outcome]]] = {
            LOOP: lambda: [self._plain.loop(alone)],
            BATCHED: lambda: [self._plain.batched(alone)],
            ONE: lambda: self._search([alone]),
            FOUR: lambda: self._search(together),
        }
        first = number % len(WAYS)
        turns = WAYS[first:] + WAYS[:first]
        windows = {way: measure(way, number, self._metrics_url, work[way]) for way in turns}
        self._compare({way: window.outcomes for way, window in windows.items()})
        return [windows[way] for way in WAYS]

    def _compare(self, outcomes: dict[str, Sequence[Outcome]]) -> None:
        """Compare every way with the loop; for the searches side by side, by their best pictures."""
        (looped,) = outcomes[LOOP]
        for way in (BATCHED, ONE):
            self.agreement.compare(outcomes[way][0], looped)
        for outcome in outcomes[FOUR]:
            self.agreement.compare(outcome, self._plain.loop(outcome.edit, list(outcome.pictures)))


def run(arguments: argparse.Namespace, console: Console) -> None:
    """Measure, compare, report.

    Raises:
        WorkDiffers: The ways have not done the same work.
        UnsupportedCheckpoint: The plain code is not for checkpoints of this backbone.
        EacpsError: Triton or a search failed.
    """
    if (backbone := exporter_for(arguments.checkpoint).name) != PLAIN_BACKBONE:
        raise UnsupportedCheckpoint(
            f"{arguments.checkpoint} is for {backbone}; the plain code that EACPS is compared with is for "
            f"{PLAIN_BACKBONE}, judge included"
        )
    cores = machine.confine(arguments.cores)
    checkpoint = CheckpointSettings.read(arguments.checkpoint)
    plain = PlainEditor(arguments.checkpoint, steps=arguments.steps, threads=cores)
    settings = Settings(
        checkpoint.name, arguments.candidates, plain.steps, arguments.micro_batch, arguments.repetitions
    )
    with (
        EmbeddedTriton(arguments.model_repository, log_file=arguments.out / "triton.log") as triton,
        searches(triton, settings) as search,
    ):
        edits = with_faces(drawn_edits(settings.candidates), plain.faces)
        alternation = Alternation(plain, search, edits, triton.metrics_url)
        windows = list(measured_windows(alternation, settings.repetitions, console))
    described = machine.describe(cores) | {"threads_of_plain_code": plain.threads}
    report = make_report(windows, settings, alternation.agreement, described)
    write_report(report, arguments.out / "throughput.json")
    print_report(report, Console(width=None if sys.stdout.isatty() else 120))


def measured_windows(alternation: Alternation, repetitions: int, console: Console) -> Iterator[Window]:
    """Warm up, then give the windows of all repetitions."""
    console.print("warming up")
    alternation.warm_up()
    for number in range(repetitions):
        windows = alternation.repeat(number)
        speeds = ", ".join(f"{window.way} {window.candidates_per_s:.2f}" for window in windows)
        console.print(f"repetition {number + 1} of {repetitions}: {speeds} candidates/s", highlight=False)
        yield from windows


@contextmanager
def searches(triton: EmbeddedTriton, settings: Settings) -> Iterator[Search]:
    """A search server over ``triton``, as a function that waits for its searches."""
    opened = served_editor(triton, steps=settings.steps, micro_batch=settings.micro_batch)
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        served: ServedEditor = runner.run(stack.enter_async_context(opened))
        try:
            yield lambda edits: runner.run(served.search_all(edits))
        finally:
            runner.run(stack.aclose())


def with_faces(edits: Iterator[Edit], faces: PlainFaces) -> Iterator[Edit]:
    """Return the edits in whose pictures the face pack finds faces.

    Raises:
        NoFace: It finds none in many, one after another.
    """
    missed = 0
    for edit in edits:
        try:
            faces.swap(edit.scene, edit.character)
        except NoFace:
            missed += 1
            if missed >= MAX_MISSED:
                raise
        else:
            missed = 0
            yield edit


def main() -> int:
    """Run the command; 1 where the ways have not done the same work, 2 where something failed."""
    quieten_libraries()
    console = Console(stderr=True)
    try:
        run(parse_arguments(), console)
    except WorkDiffers as exc:
        console.print(f"[bold red]the ways do not do the same work:[/] {exc}")
        return 1
    except NoFace:
        console.print(f"[bold red]failed:[/] the face pack finds no face in {MAX_MISSED} edits; is it trained?")
        return 2
    except (EacpsError, UnsupportedCheckpoint) as exc:
        console.print(f"[bold red]failed:[/] {exc}")
        return 2
    return 0


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    root = Path(__file__).resolve().parents[1]
    parser = argparse.ArgumentParser(description="Measure candidates per second of EACPS and of plain diffusers code.")
    parser.add_argument("--checkpoint", type=Path, default=root / "studio_mini" / "checkpoint")
    parser.add_argument("--model-repository", type=Path, default=root / ".build" / "model_repository")
    parser.add_argument("--out", type=Path, default=root / "out" / "bench")
    parser.add_argument("--candidates", type=int, default=32, help="of one edit")
    parser.add_argument("--repetitions", type=int, default=5, help="windows of each way")
    parser.add_argument("--micro-batch", type=int, default=8, help="candidates that EACPS sends to Triton together")
    parser.add_argument("--cores", type=int, default=machine.CORES, help="that all ways share, each in its turn")
    parser.add_argument("--steps", type=int, default=None, help="default: the checkpoint's")
    return parser.parse_args()


def quieten_libraries() -> None:
    """Leave out what the libraries would print between our lines."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    logging.getLogger("diffusers").setLevel(logging.ERROR)
    # InsightFace 2.1 aligns faces by a call that scikit-image has deprecated.
    warnings.filterwarnings("ignore", message="`estimate` is deprecated", category=FutureWarning)


if __name__ == "__main__":
    sys.exit(main())
