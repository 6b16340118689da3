"""The commands over searches that a server keeps: submit, watch, list, cancel, delete, download, render, score."""

import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from rich.table import Table

from eacps.cli.exit_codes import ExitCode
from eacps.cli.files import check_new, make_folder, write_file, write_picture
from eacps.cli.live import LiveView
from eacps.cli.outcome import CommandFailed
from eacps.cli.parsing import number_of
from eacps.cli.remote import completed
from eacps.cli.report import check_no_result, write_report
from eacps.cli.search_ids import whole_id
from eacps.cli.search_table import search_table, state_of
from eacps.cli.server_caller import ServerCaller, json_of
from eacps.cli.streams import print_json
from eacps.cli.summary import print_summary, score_text
from eacps.client import AsyncClient
from eacps.client.errors import failure_in
from eacps.client.record import SearchRecord
from eacps.client.rendering import render_request
from eacps.enums import FRAMING, SEARCH_STATE
from eacps.limits import RANGES
from eacps.v1 import search_service_pb2 as pb
from eacps.wire import artifact_of, images_in

T = TypeVar("T")


@dataclass(frozen=True)
class StoredSearches(ServerCaller):
    """Runs the commands."""

    def submit(self, request: pb.RunSearchRequest) -> None:
        """Create a search and print its id."""
        search = self.call(lambda client: client.submit(request))
        self.answer(search, search.search_id)

    def watch(self, search_id: str, out: Path, *, overwrite: bool) -> None:
        """Follow a search to its end, and write its result."""
        check_no_result(out, overwrite=overwrite)
        make_folder(out)
        record = SearchRecord()

        async def follow(client: AsyncClient) -> pb.RunSearchRequest:
            whole = await whole_id(client, search_id)
            search = await client.get(whole)
            request = search.request
            await client.fetch(image for _, image in images_in(request))
            with LiveView(self.console) as view:
                view.show_queued(search)
                async with aclosing(client.watch(whole, inline_pictures=True)) as events:
                    async for event in events:
                        if (failure := failure_in(event)) is not None:
                            raise failure
                        record.add(event)
                        view.show(event, record)
            return request

        request = self.call(follow)
        search = completed(record)
        result = write_report(search, request, out)
        if self.as_json:
            print_json(result)
        else:
            print_summary(search, self.results)

    def list(self, states: Sequence[str], labels: dict[str, str], most: int) -> None:
        """Show searches, newest first."""

        async def gather(client: AsyncClient) -> list[pb.Search]:
            found: list[pb.Search] = []
            numbers: Any = [number_of(SEARCH_STATE, state) for state in states]
            listed = client.list(states=numbers, labels=labels, page_size=min(most, int(RANGES["page_size"].most)))
            async with aclosing(listed) as searches:
                async for search in searches:
                    found.append(search)
                    if len(found) == most:
                        break
            return found

        found = self.call(gather)
        if self.as_json:
            print_json([json_of(search) for search in found])
            return
        self.results.print(search_table(found, now_s=time.time()))

    def cancel(self, search_id: str) -> None:
        """Cancel a search and print its state."""
        search = self.call(lambda client: _with_id(client, search_id, client.cancel))
        self.answer(search, state_of(search))

    def delete(self, search_id: str) -> None:
        """Delete a search."""
        self.call(lambda client: _with_id(client, search_id, client.delete))

    def download(self, artifact: str, out: Path, *, overwrite: bool) -> None:
        """Write an artifact to a file."""
        check_new([out], overwrite=overwrite)
        data = self.call(lambda client: client.download(artifact))
        write_file(out, data)
        self.answer(pb.Image(artifact=artifact), f"wrote {len(data)} bytes to {out}")

    def render(
        self, search_id: str, candidate_id: str, out: Path, steps: int | None, framing: str | None, *, overwrite: bool
    ) -> None:
        """Make a candidate's picture again, and write the delivered picture to a file."""
        check_new([out], overwrite=overwrite)

        async def render(client: AsyncClient) -> pb.RenderCandidateResponse:
            whole = await whole_id(client, search_id)
            asked = (await client.get(whole)).request
            recipe = await _recipe(client, whole, candidate_id)
            request = render_request(asked, recipe)
            if steps is not None:
                request.sampler.steps = steps
            if framing is not None:
                request.framing = FRAMING.number_of(framing)
            return await client.render(request)

        answer = self.call(render)
        out = write_picture(out, answer.delivered.data, overwrite=overwrite)
        for image in (answer.picture, answer.delivered):
            image.artifact = artifact_of(image)
        self.answer(answer, f"wrote {out}; download {answer.delivered.artifact} is the same file")

    def score(self, request: pb.ScoreImagesRequest, names: Sequence[str]) -> None:
        """Score pictures and print the scores."""
        answer = self.call(lambda client: client.score(request))
        if self.as_json:
            print_json(json_of(answer))
            return
        scorers = [score.scorer for score in answer.evaluations[0].scores]
        table = Table("picture", "potential", *scorers)
        for name, evaluation in zip(names, answer.evaluations, strict=True):
            scores = {score.scorer: score for score in evaluation.scores}
            cells = [
                score_text(scores[one].value, saturated=scores[one].saturated) if scores[one].HasField("value") else "-"
                for one in scorers
            ]
            potential = f"{evaluation.potential:.3f}" if evaluation.HasField("potential") else "-"
            table.add_row(name, potential, *cells)
        self.results.print(table)


async def _with_id(client: AsyncClient, text: str, call: Callable[[str], Awaitable[T]]) -> T:
    return await call(await whole_id(client, text))


async def _recipe(client: AsyncClient, search_id: str, candidate_id: str) -> pb.Recipe:
    async with aclosing(client.watch(search_id)) as events:
        async for event in events:
            if event.candidate_scored.candidate_id == candidate_id:
                return event.candidate_scored.recipe
    message = f"search {search_id} has no candidate {candidate_id}"
    raise CommandFailed(message, ExitCode.REQUEST, code="NO_CANDIDATE")
