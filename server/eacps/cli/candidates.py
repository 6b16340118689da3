"""``eacps pick`` and ``eacps rank``: another candidate than the best, and other weights over the kept scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eacps.cli.exit_codes import ExitCode
from eacps.cli.files import check_new, is_stream, write_picture
from eacps.cli.outcome import CommandFailed
from eacps.cli.parsing import number_of
from eacps.cli.score_table import score_cells, score_table
from eacps.cli.search_ids import whole_id
from eacps.cli.server_caller import ServerCaller, json_of
from eacps.cli.streams import print_json
from eacps.client import AsyncClient
from eacps.client.file_names import LAYERS, SUFFIXES, fitting, id_in_name
from eacps.client.record import ScoredPicture
from eacps.enums import SCALARIZATION
from eacps.v1 import search_service_pb2 as pb

BEST = "best"


@dataclass(frozen=True)
class Weighing:
    """What counts; all empty for what counted in the search.

    Args:
        weights: By scorer.
        floors: Likewise.
        scalarization: Word of the command line; None for the search's.
    """

    weights: Mapping[str, float] = field(default_factory=dict)
    floors: Mapping[str, float] = field(default_factory=dict)
    scalarization: str | None = None

    def request(self, search_id: str) -> pb.RankCandidatesRequest:
        """Return the request for a search."""
        named = dict.fromkeys((*self.weights, *self.floors))
        scorers = [
            pb.ScorerSettings(name=name, weight=self.weights.get(name, 0.0), floor=self.floors.get(name))
            for name in named
        ]
        method: Any = None
        if self.scalarization is not None:
            method = number_of(SCALARIZATION, self.scalarization)
        return pb.RankCandidatesRequest(search_id=search_id, scorers=scorers, scalarization=method)


def show_ranking(caller: ServerCaller, search_id: str, weighing: Weighing, most: int) -> None:
    """Print the candidates of a search, best first.

    Raises:
        CommandFailed: It has made none so far.
    """

    async def ask(client: AsyncClient) -> tuple[pb.RankCandidatesResponse, pb.RankCandidatesResponse]:
        whole = await whole_id(client, search_id)
        return await client.rank(weighing.request(whole)), await client.rank(Weighing().request(whole))

    answer, own = caller.call(ask)
    if not own.candidates:
        raise _nothing_found(search_id)
    if caller.as_json:
        print_json(json_of(answer))
        return
    before = {one.candidate_id: rank for rank, one in enumerate(own.candidates, start=1)}
    weights = {one.name: one.weight for one in answer.scorers}
    names = sorted({score.scorer for one in answer.candidates for score in one.evaluation.scores})
    scorers = [(name, weights.get(name)) for name in sorted(names, key=lambda name: (name not in weights, name))]
    table = score_table(scorers, last="was")
    for rank, one in enumerate(answer.candidates[:most], start=1):
        scored = ScoredPicture.from_message(one.evaluation)
        low = " below a floor" if scored.shortfall > 0 else ""
        was = f"#{before[one.candidate_id]}{low}" if one.candidate_id in before else low.strip()
        table.add_row(str(rank), one.candidate_id, _potential(scored), *score_cells(scored, scorers), was)
    caller.results.print(table)
    if (rest := len(answer.candidates) - most) > 0:
        caller.results.print(f"and {rest} more (--most)", style="dim")


def pick(
    caller: ServerCaller, search_id: str, candidate: str, out: Path, *, overwrite: bool, layers: bool = False
) -> None:
    """Write one candidate's picture, of the scene's size; ``best`` names the best one so far.

    Args:
        caller: Calls the server.
        search_id: Of the search.
        candidate: Its id.
        out: The file.
        overwrite: Whether files may be there already.
        layers: Whether plate, patch and matte are written beside it.
    """
    beside = {name: out.with_name(f"{out.stem}_{name}{out.suffix}") for name in LAYERS} if layers else {}
    check_new([out, *beside.values()], overwrite=overwrite)

    async def fetch(client: AsyncClient) -> tuple[str, dict[Path, bytes]]:
        whole = await whole_id(client, search_id)
        name = (await _candidates(client, whole))[0] if candidate == BEST else candidate
        files = {out: await client.pick(whole, name)}
        if layers:
            files |= {beside[layer]: data for layer, data in (await client.layers(whole, name)).items()}
        return name, files

    name, files = caller.call(fetch)
    check_new([file if is_stream(file) else fitting(file, data) for file, data in files.items()], overwrite=overwrite)
    _say(caller, [(name, write_picture(file, data, overwrite=overwrite)) for file, data in files.items()])


def pick_all(caller: ServerCaller, search_id: str, folder: Path, *, overwrite: bool) -> None:
    """Write every candidate's picture into a folder, named after its rank and id."""

    async def fetch(client: AsyncClient) -> list[tuple[str, Path]]:
        whole = await whole_id(client, search_id)
        names = await _candidates(client, whole)
        width = len(str(len(names)))
        files = [(name, folder / f"{rank:0{width}}_{id_in_name(name)}.png") for rank, name in enumerate(names, start=1)]
        check_new([file.with_suffix(suffix) for _, file in files for suffix in SUFFIXES], overwrite=overwrite)
        return [
            (name, write_picture(file, await client.pick(whole, name), overwrite=overwrite)) for name, file in files
        ]

    _say(caller, caller.call(fetch))


async def _candidates(client: AsyncClient, search_id: str) -> Sequence[str]:
    """Return the ids of a search's candidates, best first."""
    names = [one.candidate_id for one in (await client.rank(Weighing().request(search_id))).candidates]
    if not names:
        raise _nothing_found(search_id)
    return names


def _nothing_found(search_id: str) -> CommandFailed:
    message = f"search {search_id} has made no candidate so far"
    return CommandFailed(message, ExitCode.REQUEST, code="NO_CANDIDATE")


def _say(caller: ServerCaller, files: Sequence[tuple[str, Path]]) -> None:
    if caller.as_json:
        print_json([{"candidate": name, "file": str(file)} for name, file in files])
        return
    for name, file in files:
        caller.results.print(f"wrote {name} to {file}", markup=False, highlight=False, soft_wrap=True)


def _potential(scored: ScoredPicture) -> str:
    bound = "" if scored.complete else "≥"
    return "-" if scored.potential is None else f"{bound}{scored.potential:.3f}"
