"""The commands over searches that a server keeps: submit, watch, list, cancel, delete, download, render, score."""

import json
from collections.abc import Callable, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from google.protobuf.json_format import MessageToDict
from rich.console import Console
from rich.table import Table

from eacps.cli.composition import Composition
from eacps.cli.exit_codes import ExitCode
from eacps.cli.interrupts import run_cancellable
from eacps.cli.live import LiveView
from eacps.cli.outcome import CommandFailed
from eacps.cli.record import SearchRecord
from eacps.cli.remote import PATIENCE, calling, fetch_result
from eacps.cli.report import make_folder, write_report
from eacps.cli.request import FRAMINGS, FramingName
from eacps.cli.searching import result_console
from eacps.cli.summary import print_summary
from eacps.client import AsyncClient
from eacps.v1 import search_service_pb2 as pb
from eacps.wire import copy_fields, images_in

T = TypeVar("T")
STATES = {
    name.removeprefix("SEARCH_STATE_").lower(): number
    for name, number in pb.SearchState.items()
    if number != pb.SEARCH_STATE_UNSPECIFIED
}
_SHARED = (
    "scene",
    "character",
    "mask",
    "prompt",
    "negative_prompt",
    "sampler",
    "framing",
    "scene_face",
    "character_face",
    "scene_face_by",
    "character_face_by",
    "more_characters",
    "references",
)
"""Fields that requests for a search and for one of its candidates have in common."""
_NAMES = {number: name for name, number in STATES.items()}


@dataclass(frozen=True)
class Kept:
    """How to reach a server, and how to answer.

    Args:
        composition: Names the server.
        console: For people; standard error.
        as_json: Answer in JSON.
        results: Where answers go.
    """

    composition: Composition
    console: Console
    as_json: bool = False
    results: Console = field(default_factory=result_console)

    def submit(self, request: pb.RunSearchRequest) -> None:
        """Create a search and say its id."""
        search = self._call(lambda client: client.submit(request))
        self._say(search, search.search_id)

    def watch(self, search_id: str, out: Path) -> None:
        """Follow a search to its end, and write its result."""
        make_folder(out)
        record = SearchRecord()

        async def follow(client: AsyncClient) -> pb.RunSearchRequest:
            request = (await client.get(search_id)).request
            for _, image in images_in(request):
                image.data = await client.download(image.artifact)
            with LiveView(self.console) as view:
                async with aclosing(client.watch(search_id, inline_pictures=True)) as events:
                    async for event in events:
                        if event.HasField("failed"):
                            failed = event.failed
                            raise CommandFailed(failed.message, ExitCode.SERVER, code=failed.reason)
                        if event.HasField("cancelled"):
                            raise CommandFailed("the search was cancelled", ExitCode.REQUEST, code="CANCELLED")
                        await fetch_result(client, event)
                        record.add(event)
                        view.show(event, record)
            return request

        request = self._call(follow)
        search = record.complete()
        result = write_report(search, request, out)
        if self.as_json:
            print(json.dumps(result, ensure_ascii=False))
        else:
            print_summary(search, self.results)

    def list(self, states: Sequence[str], labels: dict[str, str], most: int) -> None:
        """Show searches, newest first."""

        async def gather(client: AsyncClient) -> list[pb.Search]:
            found: list[pb.Search] = []
            numbers: Any = [STATES[state] for state in states]
            listed = client.list(states=numbers, labels=labels, page_size=min(most, 1000))
            async with aclosing(listed) as searches:
                async for search in searches:
                    found.append(search)
                    if len(found) == most:
                        break
            return found

        found = self._call(gather)
        if self.as_json:
            print(json.dumps([_json_of(search) for search in found]))
            return
        table = Table("search", "state", "created, UTC", "events", "labels")
        for search in found:
            created = search.create_time.ToDatetime().strftime("%Y-%m-%d %H:%M:%S")
            labelled = " ".join(f"{key}={value}" for key, value in sorted(search.labels.items()))
            state = _NAMES.get(search.state, "?")
            table.add_row(search.search_id, state, created, str(search.last_sequence), labelled)
        self.results.print(table)

    def cancel(self, search_id: str) -> None:
        """Cancel a search and say its state."""
        search = self._call(lambda client: client.cancel(search_id))
        self._say(search, _NAMES.get(search.state, "?"))

    def delete(self, search_id: str) -> None:
        """Delete a search."""
        self._call(lambda client: client.delete(search_id))

    def download(self, artifact: str, out: Path) -> None:
        """Write an artifact to a file."""
        data = self._call(lambda client: client.download(artifact))
        _write(out, data)
        self._say(pb.Image(artifact=artifact), f"wrote {len(data)} bytes to {out}")

    def render(
        self, search_id: str, candidate_id: str, out: Path, steps: int | None, framing: FramingName | None = None
    ) -> None:
        """Make a candidate's picture again, and write it to a file in the scene as it came."""

        async def render(client: AsyncClient) -> pb.RenderCandidateResponse:
            asked = (await client.get(search_id)).request
            recipe = await _recipe(client, search_id, candidate_id)
            request = pb.RenderCandidateRequest(recipe=recipe)
            copy_fields(asked, request, _SHARED)
            if steps is not None:
                request.sampler.steps = steps
            if framing is not None:
                request.framing = FRAMINGS[framing]
            answer = await client.render(request)
            if answer.delivered.artifact:
                answer.delivered.data = await client.download(answer.delivered.artifact)
            return answer

        answer = self._call(render)
        _write(out, answer.delivered.data or answer.picture.data)
        for image in (answer.picture, answer.delivered):
            image.ClearField("data")
        self._say(answer, f"wrote {answer.picture_sha256[:12]} to {out}")

    def score(self, request: pb.ScoreImagesRequest, names: Sequence[str]) -> None:
        """Score pictures and show what they are worth."""
        answer = self._call(lambda client: client.score(request))
        if self.as_json:
            print(json.dumps(_json_of(answer)))
            return
        scorers = [score.scorer for score in answer.evaluations[0].scores]
        table = Table("picture", "potential", *scorers)
        for name, evaluation in zip(names, answer.evaluations, strict=True):
            scores = {score.scorer: score for score in evaluation.scores}
            cells = [f"{scores[one].value:.3f}" if scores[one].HasField("value") else "-" for one in scorers]
            potential = f"{evaluation.potential:.3f}" if evaluation.HasField("potential") else "-"
            table.add_row(name, potential, *cells)
        self.results.print(table)

    def _call(self, work: Callable[[AsyncClient], Coroutine[Any, Any, T]]) -> T:
        here = self.composition
        server = here.server or "127.0.0.1:50051"

        async def run() -> T:
            async with AsyncClient(server, tls=here.server_tls, api_key=here.api_key, retries=PATIENCE) as client:
                return await work(client)

        with calling(server):
            return run_cancellable(run)

    def _say(self, message: Any, text: str) -> None:
        if self.as_json:
            print(json.dumps(_json_of(message)))
        else:
            print(text)


async def _recipe(client: AsyncClient, search_id: str, candidate_id: str) -> pb.Recipe:
    async with aclosing(client.watch(search_id)) as events:
        async for event in events:
            if event.candidate_scored.candidate_id == candidate_id:
                return event.candidate_scored.recipe
    message = f"search {search_id} has no candidate {candidate_id}"
    raise CommandFailed(message, ExitCode.REQUEST, code="NO_CANDIDATE")


def _json_of(message: Any) -> dict[str, Any]:
    found: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True)
    return found


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as exc:
        raise CommandFailed(f"cannot write {path}: {exc.strerror}", ExitCode.REQUEST, code="UNWRITABLE_FILE") from exc
