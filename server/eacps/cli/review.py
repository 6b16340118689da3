"""``eacps review``: one HTML file to look at the candidates of searches, reweight them, compare and pick."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path

import grpc

from eacps.cli.exit_codes import ExitCode
from eacps.cli.files import check_new, failure_of_file, write_file
from eacps.cli.outcome import CommandFailed
from eacps.cli.search_ids import whole_id
from eacps.cli.server_caller import ServerCaller
from eacps.cli.streams import print_json
from eacps.client import AsyncClient, CallFailed
from eacps.client.batch_journal import JOURNAL, Journal
from eacps.client.record import SearchRecord
from eacps.drawing import ReviewedSearch, embedded, render_review
from eacps.enums import SCALARIZATION, SEARCH_STATE
from eacps.v1 import search_service_pb2 as pb

_RESULT = "result.json"


def write_review(caller: ServerCaller, what: str, out: Path, *, overwrite: bool) -> None:
    """Write the page.

    Args:
        caller: Reaches the server that keeps the searches.
        what: Id of a search or its beginning, or the folder of a batch or of a result.
        out: File for the page.
        overwrite: Whether it may be there already.

    Raises:
        CommandFailed: There is no such search, it has made nothing yet, or the page cannot be written.
    """
    check_new([out], overwrite=overwrite)
    ids = _searches_in(Path(what)) if Path(what).is_dir() else [what]

    async def gather(client: AsyncClient) -> list[ReviewedSearch]:
        found = []
        for number, text in enumerate(ids, start=1):
            caller.console.print(f"reading search {number} of {len(ids)}", highlight=False)
            try:
                found.append(await _reviewed(client, await whole_id(client, text)))
            except CallFailed as exc:
                if exc.code is not grpc.StatusCode.NOT_FOUND or len(ids) == 1:
                    raise
                caller.console.print(f"search {text} is left out: {exc.message}", markup=False, highlight=False)
        return found

    searches = [one for one in caller.call(gather) if one.candidates]
    if not searches:
        raise CommandFailed(f"{what} has no candidate so far", ExitCode.REQUEST, code="NO_CANDIDATE")
    write_file(out, render_review(searches).encode())
    if caller.as_json:
        print_json({"file": str(out), "searches": [one.search_id for one in searches]})
    else:
        caller.results.print(f"wrote {out}; open it in a browser", markup=False, highlight=False, soft_wrap=True)


def _searches_in(folder: Path) -> Sequence[str]:
    """Return the searches of a batch, or the one of a result."""
    if (folder / JOURNAL).is_file():
        ids = [entry.search_id for entry in Journal(folder).entries() if entry.search_id]
    elif (result := folder / _RESULT).is_file():
        try:
            ids = [str(json.loads(result.read_bytes())["search_id"])]
        except OSError as exc:
            raise failure_of_file("read", result, exc) from exc
        except (ValueError, KeyError, TypeError) as exc:
            raise CommandFailed(
                f"{result} is not the result of a search", ExitCode.REQUEST, code="UNREADABLE_FILE"
            ) from exc
    else:
        ids = []
    if not ids:
        message = f"{folder} holds neither {JOURNAL} of a batch nor {_RESULT} of a search"
        raise CommandFailed(message, ExitCode.REQUEST, code="NO_SEARCHES")
    return ids


async def _reviewed(client: AsyncClient, search_id: str) -> ReviewedSearch:
    search = await client.get(search_id)
    record = await _record_of(client, search)
    pictures = {"scene": search.request.scene, "character": search.request.character}
    if record.prior is not None:
        pictures["scene"], pictures["prior"] = record.prior.scene, record.prior.prior
    if record.finished is not None and record.finished.delivered.artifact != record.finished.best.artifact:
        pictures["result"] = record.finished.delivered
    made = {one.id: one.artifact for one in record.candidates if one.artifact and one.potential is not None}
    return ReviewedSearch(
        record=record,
        search_id=search_id,
        shot=dict(search.labels).get("shot", ""),
        state=SEARCH_STATE.word_of(search.state) or "",
        prompt=search.request.prompt,
        method=SCALARIZATION.word_of(search.request.scalarization) or "",
        drops_incomplete=search.request.missing_scores == pb.MISSING_SCORES_DROP,
        pictures={name: await _fetched(client, image.artifact) for name, image in pictures.items()},
        candidates={name: await _fetched(client, artifact) for name, artifact in made.items()},
    )


async def _fetched(client: AsyncClient, artifact: str) -> str:
    return await asyncio.to_thread(embedded, await client.download(artifact))


async def _record_of(client: AsyncClient, search: pb.Search) -> SearchRecord:
    """Return what a search has reported so far, without waiting for more."""
    record, seen = SearchRecord(), 0
    if search.last_sequence == 0:
        return record
    async with aclosing(client.watch(search.search_id)) as events:
        async for event in events:
            record.add(event)
            seen = event.sequence
            if seen >= search.last_sequence:
                break
    return record
