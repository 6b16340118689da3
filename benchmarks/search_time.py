"""``python -m benchmarks.search_time``: how long searches take by the clock, and what they find, beside best-of-N.

The study computes wall time from the work of a search and measured prices. This command measures it: the same edits
through gRPC and Triton, by best-of-N and by the default search planned for several budgets, in turns, another one first
for each edit. What is prepared for an edit once is prepared before, and not in these times.
"""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Final

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import machine
from benchmarks.edits import Edit, drawn_edits
from eacps.assembly import serving
from eacps.client import AsyncClient
from eacps.errors import EacpsError
from eacps.imaging import encode_png
from eacps.settings import Settings
from eacps.triton.embedded import EmbeddedTriton
from eacps.v1 import search_service_pb2 as pb

ROOT: Final = Path(__file__).resolve().parents[1]
DEFAULT: Final = "adaptive, restarts"
FIRST_EDIT: Final = 1000
"""Where the tasks of the study begin."""


@dataclass(frozen=True)
class Took:
    """One search.

    Attributes:
        seconds: From the request to the end of the stream.
        potential: Of the best candidate.
        pictures: Scored, the prior's not included.
    """

    seconds: float
    potential: float
    pictures: int


@dataclass(frozen=True)
class Compared:
    """Searches of one way against best-of-N on the same edits, as means with their standard errors.

    Attributes:
        time_ratio: Geometric mean; its error is relative.
        gain: Difference of the potentials.
    """

    time_ratio: float
    time_ratio_error: float
    gain: float
    gain_error: float


def compare(searches: Sequence[Took], baseline: Sequence[Took]) -> Compared:
    """Compare searches with those of the baseline, pair by pair: two at least.

    Raises:
        ValueError: They are not pairs, or too few.
    """
    pairs = list(zip(searches, baseline, strict=True))
    if len(pairs) < 2:
        raise ValueError(f"{len(pairs)} pairs have no standard error")
    ratios = np.log([one.seconds / other.seconds for one, other in pairs])
    gains = np.array([one.potential - other.potential for one, other in pairs])
    errors = [float(each.std(ddof=1) / np.sqrt(len(pairs))) for each in (ratios, gains)]
    return Compared(float(np.exp(ratios.mean())), errors[0], float(gains.mean()), errors[1])


def ways_of(trajectories: int, planned: Sequence[int]) -> dict[str, pb.SearchSettings]:
    """Return the searches by what they are called, best-of-N first."""
    best_of_n = pb.SearchSettings(best_of_n=pb.BestOfNSettings(trajectories=trajectories))
    own = {
        f"{DEFAULT}, planned for {count}": pb.SearchSettings(
            eacps_adaptive=pb.EacpsAdaptiveSettings(trajectories=count)
        )
        for count in planned
    }
    return {f"best-of-{trajectories}": best_of_n, **own}


async def measure(
    client: AsyncClient, edits: Sequence[Edit], ways: Mapping[str, pb.SearchSettings], console: Console
) -> dict[str, list[Took]]:
    """Run every way on every edit."""
    found: dict[str, list[Took]] = {way: [] for way in ways}
    names = list(ways)
    for at, edit in enumerate(edits):
        await _search(client, edit, pb.SearchSettings(best_of_n=pb.BestOfNSettings(trajectories=1)))
        first = at % len(names)
        for way in names[first:] + names[:first]:
            found[way].append(await _search(client, edit, ways[way]))
        took = ", ".join(f"{way} {searches[-1].seconds:.2f} s" for way, searches in found.items())
        console.print(f"edit {at + 1} of {len(edits)}: {took}", highlight=False)
    return found


async def _search(client: AsyncClient, edit: Edit, settings: pb.SearchSettings) -> Took:
    search = pb.SearchSettings(random_seed=edit.number)
    search.MergeFrom(settings)
    request = pb.RunSearchRequest(
        scene=pb.Image(data=encode_png(edit.scene)),
        character=pb.Image(data=encode_png(edit.character)),
        prompt=edit.prompt,
        search=search,
    )
    started = perf_counter()
    events = [event async for event in client.run(request)]
    seconds = perf_counter() - started
    scored = sum(event.HasField("candidate_scored") for event in events)
    return Took(seconds, events[-1].finished.evaluation.potential, scored)


@asynccontextmanager
async def served_client(triton: EmbeddedTriton) -> AsyncIterator[AsyncClient]:
    """A search server over ``triton`` on a free port, and a client of it."""
    settings = Settings(address="127.0.0.1:0", triton=triton.grpc_url, grace_s=0.0, insecure=True)
    async with serving(settings) as server, AsyncClient(f"127.0.0.1:{server.port}") as client:
        yield client


def table_of(found: Mapping[str, Sequence[Took]]) -> Table:
    """Return what was measured, the first way as the baseline of all others."""
    table = Table("search", "seconds", "time over the first's", "potential", "over the first's", "pictures", box=None)
    baseline = next(iter(found.values()))
    for way, searches in found.items():
        seconds, potential, pictures = (
            float(np.mean([getattr(one, name) for one in searches])) for name in ("seconds", "potential", "pictures")
        )
        ratio = gain = ""
        if searches is not baseline:
            against = compare(searches, baseline)
            ratio = f"{against.time_ratio:.2f} ± {against.time_ratio * against.time_ratio_error:.2f}"
            gain = f"{against.gain:+.4f} ± {against.gain_error:.4f}"
        table.add_row(way, f"{seconds:.2f}", ratio, f"{potential:.4f}", gain, f"{pictures:.0f}")
    return table


async def run(arguments: argparse.Namespace, console: Console) -> dict[str, list[Took]]:
    """Measure on a Triton and a server of its own.

    Raises:
        EacpsError: Triton or a search failed.
    """
    edits = list(islice(drawn_edits(arguments.trajectories), arguments.first, arguments.first + arguments.edits))
    ways = ways_of(arguments.trajectories, arguments.planned)
    with EmbeddedTriton(arguments.model_repository, log_file=arguments.out / "triton.log") as triton:
        async with served_client(triton) as client:
            return await measure(client, edits, ways, console)


def main() -> int:
    """Run the command; 2 where something failed."""
    parser = argparse.ArgumentParser(description="Measure what searches take by the clock, and what they find.")
    parser.add_argument("--model-repository", type=Path, default=ROOT / ".build" / "model_repository")
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "bench", help="Triton's log")
    parser.add_argument("--trajectories", type=int, default=32, help="of best-of-N")
    parser.add_argument("--planned", type=int, nargs="+", default=[8, 16, 32], help="trajectories of the default")
    parser.add_argument("--edits", type=int, default=30)
    parser.add_argument("--first", type=int, default=FIRST_EDIT, help="drawn task to begin with")
    parser.add_argument("--cores", type=int, default=machine.CORES)
    arguments = parser.parse_args()
    if arguments.edits < 2:
        parser.error("--edits: two at least, or there is no error")
    console = Console(stderr=True)
    cores = machine.confine(arguments.cores)
    arguments.out.mkdir(parents=True, exist_ok=True)
    try:
        found = asyncio.run(run(arguments, console))
    except EacpsError as exc:
        console.print(f"[bold red]failed:[/] {exc}")
        return 2
    described = machine.describe(cores)
    Console(width=None if sys.stdout.isatty() else 120).print(table_of(found))
    print(f"{described['processor']}, {described['cores_used']} cores, {arguments.edits} edits")
    return 0


if __name__ == "__main__":
    sys.exit(main())
