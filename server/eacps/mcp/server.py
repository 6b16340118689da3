"""The tools and resources."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Annotated, Any, Literal

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError, ToolError
from mcp_types import CallToolResult, ContentBlock, ResourceLink, TextContent, ToolAnnotations
from pydantic import Field

from eacps import __version__
from eacps.client import AsyncClient, CallFailed
from eacps.client.variations import variation_of
from eacps.enums import SEARCH_STATE
from eacps.limits import MAX_PROMPT_CHARACTERS, RANGES
from eacps.mcp.errors import tool_errors
from eacps.mcp.pictures import PictureFolder, image_of, media_type, preview_of
from eacps.mcp.searches import SearchList, SearchSummary, candidate_facts
from eacps.v1 import search_service_pb2 as pb

_TRAJECTORIES, _RANDOM_SEED = "search.eacps_adaptive.trajectories", "search.random_seed"
OpenForContext = Callable[[Context[Any, Any]], AsyncClient]
_INSTRUCTIONS = (
    "Edits a picture so that a given person appears in it, and searches for the best result. Call submit_search, then "
    "wait_for_search until the state is succeeded, then get_result to look at the best pictures. more_like_this "
    "searches around pictures that are liked. A search costs as much as its number of trajectories, "
    f"{RANGES[_TRAJECTORIES].default} by default."
)
_OVER = (pb.SEARCH_STATE_SUCCEEDED, pb.SEARCH_STATE_FAILED, pb.SEARCH_STATE_CANCELLED)
_MAX_RESOURCE_BYTES = 64 * 2**20
_READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
_WRITES = ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=False)
_ENDS = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False)

_Picture = Annotated[str, Field(description="A picture: data:image/png;base64,..., artifact:HASH, or a file's name")]
_SearchId = Annotated[str, Field(description="Id of the search", pattern=r"^[0-9a-f]{32}$")]
_Trajectories = Annotated[
    int | None,
    Field(
        ge=RANGES[_TRAJECTORIES].least,
        le=RANGES[_TRAJECTORIES].most,
        description=f"Cost in plain pictures; default {RANGES[_TRAJECTORIES].default}",
    ),
]
_Seed = Annotated[int | None, Field(ge=RANGES[_RANDOM_SEED].least, le=RANGES[_RANDOM_SEED].most)]
_Labels = Annotated[dict[str, str] | None, Field(description="Labels to find searches by")]
StateWord = Literal["queued", "running", "succeeded", "failed", "cancelled"]


class Tools:
    """The tools over one search server.

    Args:
        open_client: Opens a client with the key of a call.
        folder: Where files may be read and written; None for no files.
    """

    def __init__(self, open_client: OpenForContext, folder: PictureFolder | None) -> None:
        self._open_client, self._folder = open_client, folder

    @asynccontextmanager
    async def _client(self, context: Context[Any, Any]) -> AsyncGenerator[AsyncClient, None]:
        with tool_errors():
            async with self._open_client(context) as client:
                yield client

    async def submit_search(
        self,
        context: Context[Any, Any],
        scene: _Picture,
        character: _Picture,
        prompt: Annotated[str, Field(description="The edit in words", min_length=1, max_length=MAX_PROMPT_CHARACTERS)],
        mask: Annotated[str | None, Field(description="White where the scene may change; as large as it")] = None,
        references: Annotated[list[str] | None, Field(description="Further pictures for the model")] = None,
        trajectories: _Trajectories = None,
        random_seed: _Seed = None,
        labels: _Labels = None,
        request_id: Annotated[str | None, Field(description="The same id and request are the same search")] = None,
    ) -> SearchSummary:
        """Put the person of one picture into a scene and search for the best result. Returns at once."""
        request = pb.RunSearchRequest(prompt=prompt, labels=labels, request_id=request_id or "")
        request.scene.CopyFrom(image_of(scene, self._folder))
        request.character.CopyFrom(image_of(character, self._folder))
        request.references.extend(image_of(one, self._folder) for one in references or ())
        if mask is not None:
            request.mask.CopyFrom(image_of(mask, self._folder))
        if trajectories is not None:
            request.search.eacps_adaptive.trajectories = trajectories
        if random_seed is not None:
            request.search.random_seed = random_seed
        async with self._client(context) as client:
            return SearchSummary.of(await client.submit(request))

    async def more_like_this(
        self,
        context: Context[Any, Any],
        search_id: _SearchId,
        candidate_ids: Annotated[list[str], Field(min_length=1)],
        trajectories: _Trajectories = None,
    ) -> SearchSummary:
        """Search again for the same edit, around candidates of a search that are liked. Returns at once."""
        async with self._client(context) as client:
            request = variation_of(await client.get(search_id), candidate_ids, trajectories=trajectories)
            return SearchSummary.of(await client.submit(request))

    async def wait_for_search(
        self,
        context: Context[Any, Any],
        search_id: _SearchId,
        timeout_s: Annotated[float, Field(gt=0, le=600, description="Seconds to wait at most")] = 60.0,
    ) -> SearchSummary:
        """Wait until a search is over, or the time is up, and return its state. Call it again while it runs."""
        async with self._client(context) as client:
            try:
                async with asyncio.timeout(timeout_s):
                    await _follow(client, search_id, context)
            except TimeoutError:
                pass  # its state says that it runs on
            return SearchSummary.of(await client.get(search_id))

    async def get_result(
        self,
        context: Context[Any, Any],
        search_id: _SearchId,
        count: Annotated[int, Field(ge=1, le=10, description="How many of the best pictures")] = 1,
        max_side: Annotated[int, Field(ge=64, le=2048, description="Longest side of the pictures shown")] = 768,
    ) -> CallToolResult:
        """Show the best pictures of a search, best first, with their scores. Works while it runs, too.

        Pictures are shown small; the linked resources are the delivered files at full resolution.
        """
        async with self._client(context) as client:
            ranking = await client.rank(pb.RankCandidatesRequest(search_id=search_id))
            if not ranking.candidates:
                raise ToolError("the search has made no picture so far")
            facts: list[dict[str, Any]] = []
            content: list[ContentBlock] = []
            for rank, one in enumerate(ranking.candidates[:count], start=1):
                delivered = await client.pick(search_id, one.candidate_id)
                facts.append(candidate_facts(one, rank) | {"uri": _uri(search_id, one.candidate_id)})
                content.append(await asyncio.to_thread(preview_of, delivered, max_side))
                content.append(_link(search_id, one.candidate_id, delivered))
        result = {"search_id": search_id, "pictures": facts, "candidates": len(ranking.candidates)}
        text = TextContent(type="text", text=json.dumps(result))
        return CallToolResult(content=[text, *content], structured_content=result)

    async def save_picture(
        self,
        context: Context[Any, Any],
        search_id: _SearchId,
        candidate_id: Annotated[str, Field(description="Id of the candidate, from get_result")],
        file: Annotated[str, Field(description="Name of a new file in the folder of pictures")],
    ) -> str:
        """Write a candidate's picture, at full resolution, to a new file, and return its path."""
        if self._folder is None:
            raise ToolError("files cannot be written here")
        async with self._client(context) as client:
            return str(self._folder.write(file, await client.pick(search_id, candidate_id)))

    async def list_searches(
        self,
        context: Context[Any, Any],
        limit: Annotated[int, Field(ge=1, le=100)] = 20,
        state: StateWord | None = None,
        labels: _Labels = None,
    ) -> SearchList:
        """List searches, newest first."""
        states = [SEARCH_STATE.number_of(state)] if state else []
        found: list[SearchSummary] = []
        async with (
            self._client(context) as client,
            aclosing(client.list(states=states, labels=labels, page_size=limit)) as searches,
        ):
            async for search in searches:
                found.append(SearchSummary.of(search))
                if len(found) == limit:
                    break
        return SearchList(searches=found)

    async def cancel_search(self, context: Context[Any, Any], search_id: _SearchId) -> SearchSummary:
        """Cancel a search. Its pictures so far are kept."""
        async with self._client(context) as client:
            return SearchSummary.of(await client.cancel(search_id))

    async def picture(self, context: Context[Any, Any], search_id: str, candidate_id: str) -> bytes:
        """Return a candidate's picture at full resolution, in the format of its scene."""
        try:
            async with self._open_client(context) as client:
                delivered = await client.pick(search_id, candidate_id)
        except CallFailed as exc:
            kind = ResourceNotFoundError if exc.code.name == "NOT_FOUND" else ResourceError
            raise kind(f"{exc.code.name}: {exc.message}") from exc
        if len(delivered) > _MAX_RESOURCE_BYTES:
            raise ResourceError(f"the picture has {len(delivered)} bytes; at most {_MAX_RESOURCE_BYTES} are sent")
        return delivered


def create_server(open_client: OpenForContext, folder: PictureFolder | None = None) -> MCPServer[Any]:
    """Return the server; see `Tools`."""
    tools = Tools(open_client, folder)
    server: MCPServer[Any] = MCPServer(
        "eacps", title="EACPS", instructions=_INSTRUCTIONS, version=__version__, log_level="WARNING"
    )
    offered: dict[Callable[..., Any], ToolAnnotations] = {
        tools.submit_search: _WRITES,
        tools.wait_for_search: _READS,
        tools.get_result: _READS,
        tools.more_like_this: _WRITES,
        tools.list_searches: _READS,
        tools.cancel_search: _ENDS,
    }
    if folder is not None:
        offered[tools.save_picture] = _WRITES
    for tool, annotations in offered.items():
        server.add_tool(tool, annotations=annotations)
    uri = _uri("{search_id}", "{candidate_id}")
    server.resource(uri, mime_type="application/octet-stream")(tools.picture)
    return server


async def _follow(client: AsyncClient, search_id: str, context: Context[Any, Any]) -> None:
    """Report the progress of a search until it is over."""
    if (await client.get(search_id)).state in _OVER:
        return
    planned = 0
    async with aclosing(client.watch(search_id)) as events:
        async for event in events:
            if event.HasField("started"):
                planned = event.started.planned_candidates
            if event.HasField("candidate_scored"):
                scored = event.candidate_scored
                best = f"best so far {scored.best_potential:.3f}" if scored.HasField("best_potential") else None
                await context.report_progress(scored.done, planned, best)


def _uri(search_id: str, candidate_id: str) -> str:
    return f"eacps://searches/{search_id}/candidates/{candidate_id}"


def _link(search_id: str, candidate_id: str, delivered: bytes) -> ResourceLink:
    return ResourceLink(
        type="resource_link",
        uri=_uri(search_id, candidate_id),
        name=f"{candidate_id} at full resolution",
        mime_type=media_type(delivered),
        size=len(delivered),
    )
