"""Searches as JSON, and their events as a stream."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from eacps.client import AsyncClient, CallFailed, v1
from eacps.client.rendering import render_request
from eacps.enums import SEARCH_STATE
from eacps.limits import RANGES
from eacps.studio.failures import RequestRefused, call_failure
from eacps.studio.guard import json_body
from eacps.studio.messages import json_text, message_of, message_response
from eacps.studio.pictures import attached, client_of, path_id, picture_response

_LISTED, _MOST_LISTED = 100, 10_000
_RECONNECT_MS = 1500
_BEAT_S = 10.0
"""Between signs of life on a quiet stream, so that browsers and proxies notice when it is gone."""


async def _create(request: Request) -> Response:
    """Create a search from the JSON form of its request."""
    asked = message_of(await json_body(request), v1.RunSearchRequest)
    return message_response(await client_of(request).submit(asked))


async def _listed(request: Request) -> Response:
    """List searches, newest first, by ``state`` and by ``label`` (``KEY=VALUE``), both repeatable.

    At most ``limit`` of them; ``more`` says whether there are others.
    """
    query = request.query_params
    try:
        states = [SEARCH_STATE.number_of(word) for word in query.getlist("state")]
    except KeyError as exc:
        raise RequestRefused(400, "INVALID_STATE", f"there is no state {exc}") from exc
    limit_text = query.get("limit", str(_LISTED))
    if not re.fullmatch(r"[0-9]{1,5}", limit_text) or not 1 <= (limit := int(limit_text)) <= _MOST_LISTED:
        raise RequestRefused(400, "INVALID_LIMIT", f"limit is a number from 1 to {_MOST_LISTED}")
    labels = {key: value for key, _, value in (text.partition("=") for text in query.getlist("label"))}
    found: list[v1.Search] = []
    per_call = min(limit + 1, int(RANGES["page_size"].most))
    async with aclosing(client_of(request).list(states=states, labels=labels, page_size=per_call)) as searches:
        async for search in searches:
            found.append(search)
            if len(found) > limit:
                break
    shown, more = found[:limit], json.dumps(len(found) > limit)
    return Response(f'{{"searches":[{",".join(map(json_text, shown))}],"more":{more}}}', media_type="application/json")


async def _shown_search(request: Request) -> Response:
    """Return a search."""
    return message_response(await client_of(request).get(path_id(request, "search")))


async def _cancel(request: Request) -> Response:
    """Cancel a search."""
    return message_response(await client_of(request).cancel(path_id(request, "search")))


async def _delete(request: Request) -> Response:
    """Delete a search."""
    await client_of(request).delete(path_id(request, "search"))
    return Response(status_code=204)


async def _events(request: Request) -> Response:
    """Stream the events of a search after the last one that the browser has, as server-sent events."""
    text = request.headers.get("last-event-id") or request.query_params.get("after", "0")
    if not text.isdecimal():
        raise RequestRefused(400, "INVALID_EVENT", f"{text[:80]!r} is no number of an event")
    lines = _lines(client_of(request), path_id(request, "search"), int(text))
    stopping: asyncio.Event = request.app.state.stopping
    return StreamingResponse(_until(stopping, lines), media_type="text/event-stream")


async def _lines(client: AsyncClient, search_id: str, after: int) -> AsyncGenerator[str, None]:
    yield f"retry: {_RECONNECT_MS}\n\n"
    try:
        async with aclosing(client.watch(search_id, after=after)) as seen:
            async for event in seen:
                yield f"id: {event.sequence}\ndata: {json_text(event)}\n\n"
    except CallFailed as exc:
        yield f"event: failure\ndata: {json.dumps(call_failure(exc))}\n\n"
        return
    yield "event: over\ndata: {}\n\n"


async def _until(stopping: asyncio.Event, lines: AsyncGenerator[str, None]) -> AsyncIterator[str]:
    """Yield lines until the studio stops, and signs of life between them."""
    stop, line = asyncio.ensure_future(stopping.wait()), asyncio.ensure_future(_next_line(lines))
    try:
        while True:
            await asyncio.wait({stop, line}, timeout=_BEAT_S, return_when=asyncio.FIRST_COMPLETED)
            if stop.done():
                return
            if not line.done():
                yield ": quiet\n\n"
                continue
            if (text := line.result()) is None:
                return
            yield text
            line = asyncio.ensure_future(_next_line(lines))
    finally:
        stop.cancel()
        line.cancel()
        await asyncio.wait({line})
        await lines.aclose()


async def _next_line(lines: AsyncGenerator[str, None]) -> str | None:
    return await anext(lines, None)


async def _whole(request: Request) -> Response:
    """Return a candidate in its scene, as browsers show it."""
    client = client_of(request)
    data = await client.pick(path_id(request, "search"), path_id(request, "candidate"))
    return await picture_response(data, request, {"cache-control": "private, max-age=3600", "vary": "cookie"})


async def _candidate_file(request: Request) -> Response:
    """Stream the file of a candidate in its scene."""
    client, search_id, candidate_id = client_of(request), path_id(request, "search"), path_id(request, "candidate")
    image = await client.picked(search_id, candidate_id)
    chunks = client.download_chunks(image.artifact) if image.artifact else _once(image.data)
    return await attached(chunks, f"{search_id[:8]}_{candidate_id}")


async def _once(data: bytes) -> AsyncGenerator[bytes, None]:
    yield data


async def _ranking(request: Request) -> Response:
    """Rank the candidates of a search by other weights."""
    asked = message_of(await json_body(request), v1.RankCandidatesRequest)
    asked.search_id = path_id(request, "search")
    return message_response(await client_of(request).rank(asked))


async def _render(request: Request) -> Response:
    """Render a candidate again from its recipe, and keep the pictures like uploads, so that they have addresses."""
    client, asked = client_of(request), message_of(await json_body(request), v1.RenderCandidateRequest)
    search = await client.get(path_id(request, "search"))
    wanted = render_request(search.request, asked.recipe)
    if asked.sampler.HasField("steps"):
        wanted.sampler.steps = asked.sampler.steps
    answer = await client.render(wanted)
    kept = [(await client.upload(image.data)).artifact for image in (answer.picture, answer.delivered)]
    return JSONResponse({"steps": answer.steps, "picture": kept[0], "delivered": kept[1]})


async def _capabilities(request: Request) -> Response:
    """Return what the server offers, and the samples that the studio has."""
    offered: dict[str, Any] = json.loads(json_text(await client_of(request).capabilities()))
    samples = [{"name": name, "prompt": prompt} for name, prompt in request.app.state.samples.prompts.items()]
    signed_in = request.app.state.sessions.is_signed_in(request)
    return JSONResponse({**offered, "samples": samples, "signed_in": signed_in})


SEARCH_ROUTES = (
    Route("/api/capabilities", _capabilities),
    Route("/api/searches", _create, methods=["POST"]),
    Route("/api/searches", _listed),
    Route("/api/searches/{search}", _shown_search),
    Route("/api/searches/{search}", _delete, methods=["DELETE"]),
    Route("/api/searches/{search}/cancel", _cancel, methods=["POST"]),
    Route("/api/searches/{search}/events", _events),
    Route("/api/searches/{search}/ranking", _ranking, methods=["POST"]),
    Route("/api/searches/{search}/candidates/{candidate}/render", _render, methods=["POST"]),
    Route("/api/searches/{search}/candidates/{candidate}/whole", _whole),
    Route("/api/searches/{search}/candidates/{candidate}/file", _candidate_file),
)
